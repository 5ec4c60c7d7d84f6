"""A small random base, and jobs on it that take seconds."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import finetune_sdk as ft
from local_data import chats
from nursery import Shortcuts

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


@pytest.fixture(scope="session")
def remembered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of these tests share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "remembered"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def weighed_once(remembered: Path) -> Iterator[None]:
    """The same step is weighed once, whatever home a test has."""
    pytest.importorskip("torch")
    from finetune_sdk_local import holding

    weigh = holding.Step.held

    def once(self: holding.Step, sequences: Any, examples: Any, how: Callable[[int], float] = float) -> float:
        key = f"{self._key(sequences, examples, how)}-{int(sequences.lengths.min())}"
        file = remembered / f"held-{key}.json"
        with FileLock(f"{file}.lock"):
            if not file.exists():
                file.write_text(json.dumps(weigh(self, sequences, examples, how)))
            return float(json.loads(file.read_text()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holding.Step, "held", once)
        yield


@pytest.fixture(scope="session", autouse=True)
def steady_machine(shortcuts: Shortcuts) -> None:
    """A machine that need not be measured, which takes a process of its own for each shape, and is always the same."""


@pytest.fixture
def no_shortcuts(shortcuts: Shortcuts) -> Iterator[None]:
    """The machine is measured, and workers start from nothing, as with users."""
    with shortcuts.left():
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
