"""A checkpoint answers by the name that it declares: as the run's model does where it became that, and safely."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk.job import Adapter
from finetune_sdk_local import bases, checkpoints, prepare, publish
from finetune_sdk_local.runs import RunFolder
from local_data import chats
from prepared import prepared

torch = pytest.importorskip("torch")

ASKED = [example.prompt for example in chats(3, 200)]
KEY = "c0ffee"
ADAPTERS: tuple[Adapter, ...] = (
    ft.LoRA(rank=4, dropout=0.2), ft.LoRA(rank=4, dora=True), ft.QLoRA(rank=4), ft.Full(), ft.PromptTuning(tokens=3),
    ft.PrefixTuning(tokens=3),
)  # fmt: skip


def trained(client: ft.Client, adapter: Adapter = ADAPTERS[0], key: str = KEY, seed: int = 0) -> RunFolder:
    """A run of six steps in the client's home that has succeeded, and keeps those of steps 4 and 6."""
    method = ft.SFT(steps=6, batch_size=4, learning_rate=3e-2, schedule="constant")
    job = ft.Job(name="a", train=chats(12), method=method, adapter=adapter, seed=seed)
    run, training, model = prepared(client, job, client.settings.home / "runs" / key, checkpoint_every=2)
    training.run()
    publish.model(run, prepare.RunJob.read(run), model)
    return run


def said(model: ft.Model) -> list[list[tuple[str, float]]]:
    """The tokens of each answer with their log probabilities."""
    answers = model.answers(ASKED, ft.Sampling(max_tokens=6, logprobs=0))
    return [[(token.text, token.logprob) for token in answer.said or ()] for answer in answers]


def names(client: ft.Client) -> list[str]:
    return [saved.model or "" for saved in client.backend.checkpoints(KEY)]


@pytest.mark.parametrize(
    "adapter", ADAPTERS, ids=lambda adapter: f"{adapter.kind}{'-dora' * getattr(adapter, 'dora', 0)}"
)
def test_a_checkpoint_answers_as_the_model_that_it_became(client: ft.Client, adapter: Adapter) -> None:
    if isinstance(adapter, ft.QLoRA):
        pytest.importorskip("bitsandbytes")
    trained(client, adapter)
    assert names(client) == [f"{KEY}@step-00000004", f"{KEY}@step-00000006"]
    earlier, last = (client.model(name) for name in names(client))
    assert said(last) == said(client.model(KEY))
    assert said(earlier) != said(last)
    assert said(last) == said(client.model(KEY))
    assert (last.origin.base, last.origin.run) == (
        client.resolve(ft.Job(name="a", train=chats(2))).base,
        f"local:{KEY}",
    )


def test_checkpoints_and_models_stand_on_one_base(client: ft.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(client)
    loads, load = list[str](), bases.load
    monkeypatch.setattr(bases, "load", lambda *given, **more: loads.append("") or load(*given, **more))
    models = [client.model(name) for name in (*names(client), KEY)]
    assert len({str(said(model)) for model in models}) == 2
    assert len(loads) == 1


def test_one_that_is_gone_names_those_that_there_are(client: ft.Client) -> None:
    run = trained(client)
    for name in ("step-00000002", "step-6", "", "..", "../../elsewhere/step-00000006"):
        with pytest.raises(ft.NotFoundError, match=r"has no checkpoint .* \(step-00000004, step-00000006\)"):
            client.model(f"{KEY}@{name}")
    held = client.model(f"{KEY}@step-00000004")
    shutil.rmtree(run.checkpoints / "step-00000004")
    with pytest.raises(ft.NotFoundError, match=r"\(step-00000006\)"):
        said(held)
    assert said(client.model(f"{KEY}@step-00000006"))


def test_one_that_was_cut_short_is_refused_and_the_others_answer(client: ft.Client) -> None:
    run = trained(client)
    weights = run.checkpoints / "step-00000004" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(ft.RunError, match="its files are not those that were written") as caught:
        said(client.model(f"{KEY}@step-00000004"))
    assert caught.value.cure
    assert said(client.model(f"{KEY}@step-00000006"))


def test_a_checkpoint_of_another_run_is_refused(client: ft.Client) -> None:
    run, other = trained(client), trained(client, key="decaf", seed=1)
    shutil.copytree(other.checkpoints / "step-00000006", run.checkpoints / "step-00000008")
    with pytest.raises(ft.RunError, match="it was written by another run"):
        said(client.model(f"{KEY}@step-00000008"))


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_code_in_a_checkpoint_is_never_run(client: ft.Client, tmp_path: Path) -> None:
    """Even where the list of sizes and hashes was made to fit."""
    folder = trained(client).checkpoints / "step-00000006"
    (folder / "weights.safetensors").write_bytes(pickle.dumps(Bomb(tmp_path / "mark")))
    listed = {file.name: checkpoints._seal(file) for file in folder.iterdir() if file.name != checkpoints.LIST}
    (folder / checkpoints.LIST).write_text(json.dumps(listed))
    with pytest.raises(ft.RunError, match="its files are not those that were written"):
        said(client.model(f"{KEY}@step-00000006"))
    assert not (tmp_path / "mark").exists()
