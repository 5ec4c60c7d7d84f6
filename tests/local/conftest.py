"""A small random base, and jobs on it that take seconds."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from local_data import chats

TINY = Path(__file__).parents[2] / "backends" / "finetune_sdk_local" / "tiny"


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[list[str]]:
    """No test leaves this machine: no name but its own is resolved. The names that were asked for."""
    asked, resolve = [], socket.getaddrinfo

    def refuse(host: str, *more: Any, **options: Any) -> Any:
        if host in ("127.0.0.1", "::1", "localhost"):
            return resolve(host, *more, **options)
        asked.append(host)
        raise socket.gaierror(socket.EAI_AGAIN, "this test allows no network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", refuse)
        patch.setattr("finetune_sdk_local.bases.getproxies", dict)
        yield asked


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other make small tensors many times slower on cores that others use too."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def probed_once() -> Iterator[None]:
    """The machine is measured once for a shape, whatever home a test has: it stays the same machine."""
    pytest.importorskip("torch")
    from finetune_sdk_local import bases, probe
    from finetune_sdk_local.devices import Device

    kept, measure = dict[str, probe.Probe](), probe._measured

    def once(base: str, adapter: ft.Adapter, device: Device, threads: int) -> probe.Probe:
        key = f"{bases.config(base).to_json_string()} {adapter} {device.kind} {device.dtype} {threads}"
        if key not in kept:
            kept[key] = measure(base, adapter, device, threads)
        return kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "_measured", once)
        yield


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a random Llama of 30,000 weights beside `tiny`'s tokenizer and template."""
    torch = pytest.importorskip("torch")
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("small")
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def client(home: Path, small: str) -> ft.Client:
    settings = ft.Settings(
        "local", home, {"local": {"base": small, "device": "cpu", "threads": 1, "checkpoint_every": 2}}
    )
    return ft.Client(settings=settings)


@pytest.fixture
def job() -> ft.Job:
    return ft.Job(
        name="colours",
        train=chats(24),
        validation=chats(6, 100),
        method=ft.SFT(epochs=2, batch_size=4, learning_rate=1e-2),
    )
