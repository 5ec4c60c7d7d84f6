"""Prompt and prefix tuning: virtual tokens before each sequence, in training, in answers, and in what is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import finetune_sdk as ft
from finetune_sdk_local import bases, checkpoints, engines, objectives, prompts
from finetune_sdk_local.batches import batch
from finetune_sdk_local.devices import Device
from finetune_sdk_local.prepare import sequences, steps, width
from finetune_sdk_local.training import Data, Options, Training
from local_data import chats, pairs
from watched import folder, weights

CPU = Device("cpu", "test", "float32", 1, 1)
ADAPTERS = [ft.PromptTuning(tokens=5), ft.PrefixTuning(tokens=5)]
each_adapter = pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.kind)
SFT = ft.SFT(steps=4, batch_size=8, learning_rate=1e-2, schedule="constant", max_length=400, loss_on="completions")


def model(base: str, adapter: ft.PromptTuning | ft.PrefixTuning) -> Any:
    return bases.adapt(bases.load(base, CPU, adapter, train=True), adapter, seed=1)


def training(base: str, how: Any, adapter: Any, to: Path, said: list[str] | None = None) -> Training:
    data = (pairs if width(how) == 2 else chats)(8)
    made = sequences(base, bases.tokenizer(base), data, how, 400)
    heard = [] if said is None else said
    return Training(
        model(base, adapter), Data(made, None, width(how)), steps(how, 0, 8), how, CPU, Options(200, 2), to, 0,
        lambda kind, message, figures: heard.append(message),
    )  # fmt: skip


@each_adapter
def test_only_the_virtual_tokens_move_and_they_begin_as_words_that_the_seed_draws(small: str, adapter: Any) -> None:
    one, same = (model(small, adapter) for _ in range(2))
    other = bases.adapt(bases.load(small, CPU, adapter), adapter, seed=2)
    ((name, drawn),) = bases.trainable(one).items()
    assert "prompt_encoder" in name
    assert drawn.dtype == torch.float32
    assert drawn.equal(bases.trainable(same)[name])
    assert not drawn.equal(bases.trainable(other)[name])
    assert drawn.std() < 0.5  # as the base's own, and not the noise of 1 that peft begins with
    assert drawn.shape == (5, 32 if adapter.kind == "prompt_tuning" else 2 * 2 * 16)


@each_adapter
def test_logits_are_those_behind_the_virtual_tokens(small: str, adapter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passing by the adapter, as for adapters beside layers, would score the base: the proof on a batch sees it too."""
    whole = model(small, adapter).eval()
    block = batch(sequences(small, bases.tokenizer(small), chats(3), SFT, 400), range(3), 0, "cpu")
    logits, picks = objectives.exact_logits(whole, block)
    assert picks is False
    row, marks = block.ids[0], block.trained[0]
    row, marks = row[block.mask[0] > 0], marks[block.mask[0] > 0]
    with torch.no_grad():
        if adapter.kind == "prompt_tuning":
            before = whole.prompt_encoder.default.embedding.weight
            embedded = torch.cat((before, whole.get_base_model().get_input_embeddings()(row)))[None]
            alone = whole.get_base_model()(inputs_embeds=embedded).logits[0, 5:]
        else:
            alone = whole.get_base_model()(input_ids=row[None], past_key_values=whole.get_prompt(1)).logits[0]
        expected = alone[:-1][marks[1:]]
        torch.testing.assert_close(logits(block)[: len(expected)], expected, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(objectives, "stands_before", lambda model: False)
    assert objectives.exact_logits(whole, block)[1] is False


@each_adapter
def test_prefixes_are_not_shared_behind_them(small: str, adapter: Any, tmp_path: Path) -> None:
    said = list[str]()
    training(small, SFT, adapter, tmp_path, said).run()
    assert "engine: each sequence by itself: its adapter stands before each sequence" in said
    setting = engines.Setting(model(small, adapter), 1, 0, CPU, answers=True)
    plain = engines.Separate(objectives.all_logits(setting.model), setting)
    made = sequences(small, bases.tokenizer(small), chats(4), SFT, 400)
    with pytest.raises(ft.BackendError, match="stands before each sequence"):
        engines.chosen("shared", setting, plain, False, made, [[0, 1]])


@each_adapter
def test_the_reference_is_the_base_without_them(small: str, adapter: Any, tmp_path: Path) -> None:
    how = ft.DPO(steps=1, batch_size=8, learning_rate=1e-2, beta=0.1, max_length=400)
    made = training(small, how, adapter, tmp_path)
    made.run()
    block = batch(made.data.train, range(16), 0, "cpu")
    with torch.no_grad():
        expected = objectives.row_scores(objectives.all_logits(bases.load(small, CPU)), block)
    torch.testing.assert_close(made.reference["train"], expected, rtol=1e-5, atol=1e-4)
    assert prompts.stands_before(made.model)


@each_adapter
def test_a_run_goes_on_from_a_checkpoint_bit_for_bit(small: str, adapter: Any, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = training(small, SFT, adapter, tmp_path / "a")
    whole.run()
    saved = next(each for each in checkpoints.every(tmp_path / "a" / "checkpoints") if each.step == 2)
    torch.manual_seed(99)
    later = training(small, SFT, adapter, tmp_path / "b")
    later.run(saved)
    (name,) = whole.weights
    assert later.progress.step == 4
    assert later.weights[name].equal(whole.weights[name])


@pytest.fixture(scope="module", params=ADAPTERS, ids=lambda adapter: adapter.kind)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[ft.Client, ft.Run]:
    """A run that learnt one answer by heart."""
    home = tmp_path_factory.mktemp("home")
    client = ft.Client(settings=ft.Settings("local", home, {"local": {"base": "tiny", "device": "cpu", "threads": 1}}))
    rows = [example.canonical() for example in chats(8)]
    for row in rows:
        row["messages"][-1]["content"] = "purple 42"
    method = ft.SFT(steps=60, batch_size=8, learning_rate=0.2, schedule="constant")
    data = ft.Dataset.of(rows, name="taught")
    run = client.submit(ft.Job(name="a", train=data, adapter=request.param, method=method))
    run.wait(progress=False)
    return client, run


def test_what_was_learnt_is_in_the_answers_and_in_what_is_exported(
    run: tuple[ft.Client, ft.Run], tmp_path: Path
) -> None:
    client, done = run
    asked, short = [example.prompt for example in chats(8)], ft.Sampling(max_tokens=8)
    tuned = done.model()
    together = [answer.text for answer in tuned.answers(asked, short)]
    assert together.count("purple 42") >= 7
    assert [tuned.answers([one], short)[0].text for one in asked] == together  # without padding before them
    left = weights(folder(client, done) / "model" / "adapter_model.safetensors")
    assert list(left) == ["prompt_embeddings"]
    made = done.export(tmp_path / "adapter")
    assert [answer.text for answer in client.model(str(made.folder)).answers(asked, short)] == together
    assert "finetune serve" in made.serving["vllm"]
    with pytest.raises(ft.UnsupportedError, match="nothing to merge"):
        done.export(tmp_path / "merged", "merged")
    assert not (tmp_path / "merged").exists()


def test_an_answer_is_what_the_trained_model_says_token_by_token(run: tuple[ft.Client, ft.Run]) -> None:
    from peft import PeftModel

    client, done = run
    left = folder(client, done) / "model"
    with bases.peft_hints_off():
        whole = PeftModel.from_pretrained(bases.load("tiny", CPU), left).eval()
    tokenizer, asked = bases.tokenizer("tiny"), [example.prompt for example in chats(5, 50)]
    answers = done.model().answers(asked, ft.Sampling(max_tokens=6))
    for one, answer in zip(asked, answers, strict=True):
        messages = [{"role": message.role, "content": message.content} for message in one.messages]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
        said = list[int]()
        with torch.no_grad():
            while len(said) < 6:
                said.append(int(whole(input_ids=torch.tensor([[*ids, *said]]), use_cache=False).logits[0, -1].argmax()))
                if said[-1] in bases.ends("tiny"):
                    break
        assert answer.text == tokenizer.decode(said, skip_special_tokens=True)


@each_adapter
def test_they_take_their_place_in_the_context(client: ft.Client, small: str, adapter: Any) -> None:
    job = ft.Job(name="a", train=chats(8), adapter=adapter)
    assert client.resolve(job).method.max_length == 512 - 5
    with pytest.raises(ft.JobError, match="virtual tokens are more than the 512") as caught:
        client.submit(ft.Job(name="a", train=chats(8), adapter=adapter, method=ft.SFT(max_length=512)))
    assert "at most 507" in str(caught.value.cure)
    assert client.backend.runs() == []
