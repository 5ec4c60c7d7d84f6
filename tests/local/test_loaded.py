"""Models on one base share it: loaded once, adapters switched from one request to the next, each answering as it would alone."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk.messages import Conversation
from finetune_sdk.serve.desks import Asker, Desks
from finetune_sdk_local import bases
from finetune_sdk_local.devices import Device
from finetune_sdk_local.loaded import Turns
from finished import write_adapter
from local_data import chats

SHORT = ft.Sampling(max_tokens=12)
ASKED = [example.prompt for example in chats(3)]


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Of unlike ranks."""
    root = tmp_path_factory.mktemp("adapters")
    return [write_adapter(root / f"adapter-{number}", number, rank) for number, rank in ((1, 4), (2, 8), (3, 4))]


def place(tmp_path: Path, **options: Any) -> ft.Client:
    settings = {"base": "tiny", "device": "cpu", "threads": 1, **options}
    return ft.Client(settings=ft.Settings("local", tmp_path, {"local": settings}))


def said(model: ft.Model) -> list[str]:
    return [answer.text for answer in model.answers(ASKED, SHORT)]


@pytest.fixture(scope="module")
def alone(adapters: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What each model says in a place of its own."""
    found = {name: said(place(tmp_path_factory.mktemp("home")).model(name)) for name in ("tiny", *adapters)}
    assert len({tuple(answers) for answers in found.values()}) == len(found)
    return found


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of adapter that a base was loaded for, in order."""
    seen, load = list[str](), bases.load

    def noted(base: str, device: Device, adapter: Any = None, **options: Any) -> Any:
        seen.append(adapter.kind if adapter else "none")
        return load(base, device, adapter, **options)

    monkeypatch.setattr(bases, "load", noted)
    return seen


def test_models_on_one_base_load_it_once_and_answer_as_each_does_alone(
    adapters: list[str], alone: dict[str, list[str]], loads: list[str], tmp_path: Path
) -> None:
    client = place(tmp_path)
    models = {name: client.model(name) for name in ("tiny", *adapters)}
    for name in [*adapters, "tiny", *reversed(adapters), "tiny", *adapters]:
        assert said(models[name]) == alone[name]
    assert len(loads) == 1


def test_memory_grows_by_the_adapters_and_not_by_a_base_each(adapters: list[str], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    client = place(tmp_path)
    models = [client.model(name) for name in ("tiny", *adapters)]
    sizes = []
    for model in models:
        said(model)
        sizes.append(model.voice.base.parameters)
    own = [sum(t.numel() for t in load_file(f"{name}/adapter_model.safetensors").values()) for name in adapters]
    assert [after - before for before, after in pairwise(sizes)] == own
    assert sum(own) < sizes[0]
    assert len({id(model.voice.base) for model in models}) == 1


def test_at_most_so_many_adapters_stay_and_the_one_asked_longest_ago_goes(
    adapters: list[str], alone: dict[str, list[str]], tmp_path: Path
) -> None:
    client = place(tmp_path, keep_adapters=2)
    first, second, third = models = [client.model(name) for name in adapters]
    for model in (first, second, first, third):
        said(model)
    assert [Path(kept.folder) for kept in first.voice.base.adapters] == [Path(adapters[0]), Path(adapters[2])]
    full = first.voice.base.parameters
    for name, model in zip(adapters, models, strict=True):
        assert said(model) == alone[name]
    assert len(first.voice.base.adapters) == 2
    assert first.voice.base.parameters <= full * 1.1
    assert second is not third


def test_models_are_asked_from_many_threads_at_once(
    adapters: list[str], alone: dict[str, list[str]], loads: list[str], tmp_path: Path
) -> None:
    client = place(tmp_path, keep_adapters=2)
    names = ["tiny", *adapters] * 4
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda name: said(client.model(name)), names))
    assert found == [alone[name] for name in names]


def test_requests_to_different_models_of_one_server_are_answered_each_by_its_own(
    adapters: list[str], alone: dict[str, list[str]], loads: list[str], tmp_path: Path
) -> None:
    desks = Desks(place(tmp_path).model, kept=4)
    names = ["tiny", *adapters] * 3
    waiting = [(name, row, Future[Any]()) for name in names for row in range(len(ASKED))]
    for name, row, future in waiting:
        desks.ask(name, Asker(Conversation.of(ASKED[row]), SHORT, 1, future.set_result))
    for name, row, future in waiting:
        assert [answer.text for answer in future.result(60)] == [alone[name][row]]
    desks.close()
    assert len(loads) == 1


def test_an_answer_is_heard_from_the_adapter_that_was_asked(
    adapters: list[str], alone: dict[str, list[str]], tmp_path: Path
) -> None:
    client = place(tmp_path)
    models = {name: client.model(name) for name in adapters}
    for name, model in models.items():
        heard = list[str]()
        model.speak([ASKED[0]], {0: lambda piece, heard=heard: bool(heard.append(piece)) or True}, SHORT)
        assert "".join(heard) == alone[name][0]


def test_a_base_is_let_go_with_the_last_model_that_stands_on_it(
    adapters: list[str], loads: list[str], tmp_path: Path
) -> None:
    import weakref

    client = place(tmp_path)
    one, other = client.model(adapters[0]), client.model(adapters[1])
    said(one), said(other)
    kept = weakref.ref(one.voice.base)
    del one
    gc.collect()
    assert kept() is not None
    del other
    gc.collect()
    assert kept() is None
    said(client.model(adapters[0]))
    assert len(loads) == 2


def test_an_adapter_that_was_written_anew_is_another_one(
    adapters: list[str], alone: dict[str, list[str]], tmp_path: Path
) -> None:
    client = place(tmp_path, keep_adapters=1)
    folder = tmp_path / "mine"
    write_adapter(folder, 1)
    before = client.model(str(folder))
    assert said(before) == alone[adapters[0]]
    write_adapter(folder, 3)
    assert said(before) == alone[adapters[0]]
    assert said(client.model(str(folder))) == alone[adapters[2]]
    with pytest.raises(ft.RunError, match="its files have changed"):
        said(before)  # it is not in memory any more, and what lies there is not what it was


def test_an_adapter_that_does_not_fit_leaves_the_others_as_they_are(
    adapters: list[str], alone: dict[str, list[str]], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    client = place(tmp_path)
    good = client.model(adapters[0])
    assert said(good) == alone[adapters[0]]
    folder = tmp_path / "bad"
    write_adapter(folder, 1)
    held = load_file(folder / "adapter_model.safetensors")
    cut = {name: tensor[:, :-1].contiguous() if "lora_A" in name else tensor for name, tensor in held.items()}
    save_file(cut, folder / "adapter_model.safetensors")
    for _ in range(2):
        with pytest.raises(ft.RunError, match="does not fit its base"):
            said(client.model(str(folder)))
    assert said(good) == alone[adapters[0]]
    assert said(client.model("tiny")) == alone["tiny"]


def test_qlora_stands_on_four_bits_of_its_own(
    adapters: list[str], alone: dict[str, list[str]], loads: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    client = place(tmp_path)
    quantised = [client.model(write_adapter(tmp_path / f"q{seed}", seed, kind="qlora")) for seed in (1, 2)]
    loads.clear()
    plain = client.model(adapters[0])
    assert len({tuple(said(model)) for model in (*quantised, plain)}) == 3
    assert loads == ["qlora", "lora"]
    assert said(plain) == alone[adapters[0]]


def test_a_base_with_penalties_of_its_own_is_not_heard_through_its_adapters(
    adapters: list[str], tmp_path: Path
) -> None:
    model = place(tmp_path).model(adapters[0])
    said(model)
    with model.voice.speaking() as speaking:
        assert speaking.generation_config.to_diff_dict().keys() <= {
            "eos_token_id", "pad_token_id", "bos_token_id", "transformers_version", "_from_model_config",
        }  # fmt: skip


def test_turns_are_taken_in_the_order_of_asking() -> None:
    turns, order = Turns(), list[int]()

    def take(number: int) -> None:
        with turns:
            order.append(number)

    def until(true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not true():
            assert time.monotonic() < deadline
            time.sleep(0.001)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(6)]
    with turns:
        for number, thread in enumerate(threads, 1):
            thread.start()
            until(lambda number=number: len(turns._waiting) == number)
    for thread in threads:
        thread.join(60)
    assert order == list(range(6))
    with turns:
        pass
