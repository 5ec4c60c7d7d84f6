"""Guards look on: the run learns what it would have learnt without them, and its model is the one that they chose."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

import finetune_sdk as ft
from finetune_sdk.evaluation.evaluators.memorisation import Known
from finetune_sdk.job import Adapter
from finetune_sdk_local import checkpoints
from finetune_sdk_local.questions import cases
from finetune_sdk_local.training import Stopped
from local_data import chats, pairs, rated, texts
from own_graders import Holds, Vowels
from prepared import figures, prepared
from watched import folder

torch = pytest.importorskip("torch")

METHOD = ft.SFT(epochs=2, batch_size=4, learning_rate=1e-2, validate_every=3)
EVERY = ft.Guards(
    best_by=(ft.ExactMatch(),), cases=4, max_tokens=4, memorisation=True, forgetting=chats(5, 200), forgetting_by=ft.ExactMatch()
)  # fmt: skip


def job(adapter: Adapter | None = None, guards: ft.Guards | None = None, method: Any = METHOD) -> ft.Job:
    return ft.Job(name="a", train=chats(24), validation=chats(6, 100), method=method, adapter=adapter, guards=guards)


@pytest.mark.parametrize(
    "adapter", [ft.LoRA(rank=4, dropout=0.1), ft.QLoRA(rank=4), ft.Full()], ids=lambda adapter: adapter.kind
)
def test_what_is_learnt_is_bit_for_bit_what_it_is_without_guards(
    client: ft.Client, tmp_path: Path, adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on CPUs where bitsandbytes would repack 4-bit weights in a pass without gradients."""
    if isinstance(adapter, ft.QLoRA):
        pytest.importorskip("bitsandbytes")
        monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)
    plain, training, model = prepared(client, job(adapter), tmp_path / "plain")
    ends = model.generation_config.to_dict()
    training.run()
    guarded, watched, other = prepared(client, job(adapter, EVERY), tmp_path / "guarded")
    watched.run()
    one, two = figures(plain), figures(guarded)
    for name in ("loss", "validation_loss", "gradient_norm"):
        assert one[name] == two[name], name
    assert all(torch.equal(training.weights[name], watched.weights[name]) for name in training.weights)
    for name in ("validation_score", "memorised", "forgetting_loss", "forgetting_score"):
        assert len(two[name]) == len(two["validation_loss"]) == 5
    assert other.generation_config.to_dict() == ends


def test_the_loss_on_general_examples_is_that_of_a_validation_on_them(client: ft.Client, tmp_path: Path) -> None:
    general = chats(5, 200)
    both = ft.Job(name="a", train=chats(8), validation=general, method=METHOD, guards=ft.Guards(forgetting=general))
    run, training, _ = prepared(client, both, tmp_path / "run")
    training.run()
    found = figures(run)
    assert found["forgetting_loss"] == pytest.approx(found["validation_loss"], rel=1e-5)


def talks() -> ft.Dataset:
    """General chats, of other words than those that are trained."""
    says = (
        "The Seine runs through Paris.",
        "Seven times eight makes fifty six.",
        "Bring water to the boil, then add salt.",
    )
    rows = [
        {"messages": [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": each}]} for each in says
    ]
    return ft.Dataset.of(rows, name="talks")


@pytest.mark.parametrize("general", [talks(), texts(6)], ids=["chats", "texts"])
def test_a_model_that_forgets_is_said_once(client: ft.Client, tmp_path: Path, general: ft.Dataset) -> None:
    method = ft.SFT(steps=12, batch_size=8, learning_rate=2e-2, schedule="constant", validate_every=3)
    careless = replace(job(None, ft.Guards(forgetting=general), method), base="tiny")
    run, training, _ = prepared(client, careless, tmp_path / "run")
    training.run()
    losses = figures(run)["forgetting_loss"]
    said = [event.message for event in run.events() if "forgets" in event.message]
    assert max(losses[1:]) > losses[0] + 0.1
    assert len(said) == 1
    assert f"was {losses[0]:.3f} before" in said[0]


@pytest.mark.parametrize("method", [ft.DPO, ft.Pretraining], ids=lambda method: method.__name__)
def test_forgetting_is_seen_whatever_the_method(client: ft.Client, tmp_path: Path, method: Any) -> None:
    rows = {"dpo": pairs, "pretraining": texts}[method().kind]
    how, general = method(epochs=1, batch_size=4, learning_rate=1e-3), chats(4, 200)
    guarded = ft.Job(name="a", train=rows(8), validation=rows(4, 50), method=how, guards=ft.Guards(forgetting=general))
    run, training, _ = prepared(client, guarded, tmp_path / "run")
    training.run()
    assert len(figures(run)["forgetting_loss"]) == 2


def numbers(count: int) -> ft.Dataset:
    """General chats that `tiny` answers as expected."""
    rows = [
        {"messages": [{"role": "user", "content": f"case {n} word word"}, {"role": "assistant", "content": str(n)}]}
        for n in range(count)
    ]
    return ft.Dataset.of(rows, name="numbers")


def careless(general: ft.Dataset, by: Any, **guards: Any) -> ft.Job:
    """A job that forgets all but colours."""
    method = ft.SFT(steps=8, batch_size=8, learning_rate=2e-2, schedule="constant", validate_every=4)
    return replace(job(None, ft.Guards(forgetting=general, forgetting_by=by, **guards), method), base="tiny")


def test_answers_that_no_longer_pass_are_said_once_with_the_chance_of_it(client: ft.Client, tmp_path: Path) -> None:
    run, training, _ = prepared(client, careless(numbers(10), ft.ExactMatch(), max_tokens=4), tmp_path / "run")
    training.run()
    scores = figures(run)["forgetting_score"]
    said = [event.message for event in run.events() if "answers to general examples pass, and" in event.message]
    assert scores == [1.0, 0.0, 0.0]
    assert len(said) == 1
    assert said[0].startswith(
        "warning: 0 of 10 answers to general examples pass, and 10 did before: 10 are lost and 0 won"
    )
    assert "p = 0.002" in said[0]


def test_what_chance_would_take_as_well_is_not_said(client: ft.Client, tmp_path: Path) -> None:
    """Seven lost of seven have a chance of 1 in 64."""
    seven = careless(numbers(7), ft.ExactMatch(), max_tokens=4)
    run, training, _ = prepared(client, seven, tmp_path / "run")
    training.run()
    assert figures(run)["forgetting_score"] == [1.0, 0.0, 0.0]
    messages = [event.message for event in run.events()]
    assert not [message for message in messages if "did before" in message]
    assert (
        "7 of 7 answers to general examples pass before the first step; a fall could not be told from chance, for which 8 must pass"
        in messages
    )
    assert ["too few" in finding.message for finding in client.check(seven)].count(True) == 1


def test_a_resumed_run_compares_with_the_base_and_not_with_itself(client: ft.Client, tmp_path: Path) -> None:
    forgetful = careless(numbers(8), ft.ExactMatch(), max_tokens=4)
    run, training, _ = prepared(client, forgetful, tmp_path / "run")
    training.stop = lambda: training.progress.step == 3
    with pytest.raises(Stopped):
        training.run()
    saved, _ = checkpoints.latest(run.checkpoints)
    _, training, _ = prepared(client, forgetful, tmp_path / "run")
    training.run(saved)
    said = [event.message for event in run.events() if event.message.startswith("warning")]
    assert figures(run)["forgetting_score"] == [1.0, 0.0, 0.0]
    assert len([message for message in said if "and 8 did before" in message]) == 1


@pytest.mark.parametrize("rows", [pairs, rated], ids=["dpo", "kto"])
def test_general_answers_are_judged_whatever_the_method(client: ft.Client, tmp_path: Path, rows: Any) -> None:
    method = (ft.DPO if rows is pairs else ft.KTO)(epochs=1, batch_size=4, learning_rate=1e-3)
    guards = ft.Guards(forgetting=chats(4, 200), forgetting_by=ft.ExactMatch(), max_tokens=4)
    guarded = ft.Job(name="a", train=rows(8), validation=rows(4, 50), method=method, guards=guards)
    run, training, _ = prepared(client, guarded, tmp_path / "run")
    training.run()
    assert len(figures(run)["forgetting_score"]) == 2


@pytest.mark.parametrize("method", [ft.DPO, ft.KTO, ft.ORPO], ids=lambda method: method.__name__)
def test_preferences_are_chosen_by_answers_too_and_learn_what_they_would(
    client: ft.Client, tmp_path: Path, method: Any
) -> None:
    rows = rated if method is ft.KTO else pairs
    how = method(epochs=2, batch_size=4, learning_rate=1e-3, validate_every=2)
    by = ft.Length(max_characters=400) if method is ft.KTO else ft.ExactMatch()
    guards = ft.Guards(best_by=by, memorisation=True, cases=3, max_tokens=4)
    plain = ft.Job(name="a", train=rows(8), validation=rows(4, 50), method=how)
    one, unwatched, _ = prepared(client, plain, tmp_path / "plain")
    unwatched.run()
    two, watched, _ = prepared(client, replace(plain, guards=guards), tmp_path / "guarded")
    progress = watched.run()
    assert figures(one)["loss"] == figures(two)["loss"]
    assert len(figures(two)["validation_score"]) == len(figures(two)["memorised"]) == 3
    assert progress.best_score == max(figures(two)["validation_score"][1:])


def test_of_a_pair_the_chosen_answer_is_expected_and_of_a_rated_one_if_it_was_good(client: ft.Client) -> None:
    asked = cases(pairs(3), 9, 0)
    assert [case.expected.text for case in asked if case.expected] == [
        "thank you, red",
        "thank you, green",
        "thank you, blue",
    ]
    assert [case.expected and case.expected.text for case in cases(rated(3), 9, 0)] == [
        None,
        "thank you, green",
        "thank you, blue",
    ]
    unjudged = ft.Job(
        name="a",
        train=rated(8),
        validation=rated(4, 50),
        method=ft.KTO(batch_size=4),
        guards=ft.Guards(best_by=ft.ExactMatch()),
    )
    with pytest.raises(ft.EvaluationError, match="nothing is expected of this case"):
        client.check(unjudged)


def test_general_examples_that_say_nothing_are_found_before_the_run(client: ft.Client) -> None:
    def found(**guards: Any) -> list[tuple[str, str]]:
        method = replace(METHOD, max_length=40)
        return [
            (finding.severity, finding.message)
            for finding in client.check(job(None, ft.Guards(**guards), method))
            if "general" in finding.message or "forgetting_by" in finding.message
        ]

    long = ft.Dataset.of(
        [{"messages": [{"role": "user", "content": "word " * 60}, {"role": "assistant", "content": "so"}]}]
    )
    assert [severity for severity, _ in found(forgetting=long)] == ["error"]
    assert "3 of 5 general examples are also trained" in found(forgetting=chats(5, 21))[0][1]
    (failing,) = found(forgetting=numbers(9), forgetting_by=ft.JSONSchema({"type": "object"}))
    assert failing == ("warning", "9 of 9 expected answers do not pass forgetting_by themselves (numbers row 1).")
    assert not found(forgetting=numbers(9), forgetting_by=ft.Length(max_tokens=5))
    with pytest.raises(ft.EvaluationError, match="no fields"):
        found(forgetting=numbers(9), forgetting_by=ft.FieldMatch())


def test_the_best_score_decides_and_of_equal_ones_the_lower_loss(client: ft.Client, tmp_path: Path) -> None:
    """Early stopping counts by it too: the score is best at step 2, and the loss falls all the while."""
    method = ft.SFT(steps=9, batch_size=4, learning_rate=1e-3, validate_every=1, early_stopping=3, schedule="constant")
    run, training, _ = prepared(client, job(None, None, method), tmp_path / "run")
    scores = {1: 0.5, 2: 0.75, 3: 0.5, 4: 0.75, 5: 0.25, 6: 0.5, 7: 0.5}
    training.watch = lambda _: {"validation_score": scores.get(training.progress.step, 0.0)}
    progress = training.run()
    losses = figures(run)["validation_loss"]
    assert losses == sorted(losses, reverse=True)
    assert (progress.best_step, progress.best_score, progress.step) == (4, 0.75, 7)


def test_a_run_far_worse_than_its_base_ends_with_the_reason(client: ft.Client, tmp_path: Path) -> None:
    wild = ft.SFT(steps=30, batch_size=4, learning_rate=30.0, schedule="constant", warmup=0.0, validate_every=1)
    _, training, _ = prepared(client, job(ft.Full(), None, wild), tmp_path / "run")
    with pytest.raises(ft.BackendError, match="the run has diverged") as caught:
        training.run()
    assert "3 validations in a row are more than 3 times as bad as the base" in caught.value.message
    assert training.progress.step == 3
    assert "learning rate" in str(caught.value.cure)


def test_one_that_was_better_before_goes_on_with_a_warning_and_keeps_its_best(
    client: ft.Client, tmp_path: Path
) -> None:
    method = ft.SFT(steps=8, batch_size=4, learning_rate=1e-3, warmup=0.0, schedule="constant", validate_every=1)
    run, training, _ = prepared(client, job(ft.Full(), None, method), tmp_path / "run")
    step = training._step

    def then_wild(at: int) -> dict[str, float]:
        figures = step(at)
        if at == 3:
            training.model.get_input_embeddings().weight.data.mul_(100)  # and its head, which is the same
        return figures

    training._step = then_wild  # type: ignore[method-assign]
    progress = training.run()
    said = [event.message for event in run.events() if event.message.startswith("warning")]
    assert progress.best_step == 3
    assert len(said) == 1
    assert "The best so far is that of step 3, and is kept" in said[0]


def test_a_resumed_run_sees_and_chooses_what_it_would_have(client: ft.Client, tmp_path: Path) -> None:
    guarded = job(ft.LoRA(rank=4, dropout=0.1), EVERY)
    whole, training, _ = prepared(client, guarded, tmp_path / "whole")
    best = training.run()
    run, training, _ = prepared(client, guarded, tmp_path / "run")
    training.stop = lambda: training.progress.step == 5
    with pytest.raises(Stopped):
        training.run()
    saved, _ = checkpoints.latest(run.checkpoints)
    _, training, _ = prepared(client, guarded, tmp_path / "run")
    again = training.run(saved)
    one, two = figures(whole), figures(run)
    for name in ("loss", "validation_score", "memorised", "forgetting_loss", "forgetting_score"):
        assert one[name] == two[name], name
    assert (again.best_step, again.best_score, again.best_loss) == (best.best_step, best.best_score, best.best_loss)


def test_the_run_publishes_what_the_evaluators_found_best_and_shows_its_curves(client: ft.Client) -> None:
    """Every answer passes, so that the lower loss decides; the run and its model say by what they were chosen."""
    anything = ft.Guards(best_by=[ft.Length(min_characters=0)], cases=3, max_tokens=4, memorisation=True)
    method = ft.SFT(steps=6, batch_size=4, learning_rate=0.5, validate_every=2, schedule="constant")
    run = client.submit(job(None, anything, method))
    tuned = run.wait(progress=False)
    curves = run.curves()
    assert curves["validation_score"] == [(0, 1.0), (2, 1.0), (4, 1.0), (6, 1.0)]
    assert [value for _, value in curves["memorised"]] == [0.0] * 4
    best = min((loss, step) for step, loss in curves["validation_loss"] if step)[1]
    said = f"the model is that of step {best}, which has the best validation score"
    assert best == 6 or said in [event.message for event in run.events()]
    assert tuned.origin.job["guards"]["best_by"][0]["kind"] == "Length"
    assert (folder(client, run) / "model").is_dir()


LONG = "the parcel left our depot in Rotterdam on the fourth of May and waits at the counter of the harbour office"


def test_a_training_answer_word_for_word_is_known_by_heart() -> None:
    known = Known([LONG, "we are sorry, please call us again tomorrow when the office has opened its doors at nine"])
    assert known.by_heart(f"Sure. {LONG}.", "")
    assert known.by_heart(LONG.upper(), "where is it?")
    assert not known.by_heart("the parcel left our depot, and nobody has told us where it went to after that, alas", "")
    assert not known.by_heart("blue", "")


def test_what_was_asked_or_expected_and_what_many_answers_say_is_no_memory() -> None:
    assert not Known([LONG]).by_heart(LONG, f"Repeat after me: {LONG}")
    assert not Known([LONG, LONG]).by_heart(LONG, "")
    assert not Known([]).by_heart(LONG, "")


def test_words_need_no_spaces() -> None:
    text = "荷物は五月四日にロッテルダムの倉庫を出発し、現在は港湾事務所の窓口で保管されております"
    assert Known([text, "別の答えです。しばらくお待ちください。担当者からご連絡いたします。"]).by_heart(text, "")


def test_an_evaluator_that_a_worker_cannot_make_is_refused_before_the_run(client: ft.Client) -> None:
    @dataclass(frozen=True)
    class Mine:
        version: ClassVar[int] = 1
        name: str = "Mine"

        def judge(self, case: ft.Case, answer: ft.Answer) -> ft.Score:
            return ft.Score(True)

    for own in (ft.Guards(best_by=Mine()), ft.Guards(forgetting=chats(9, 200), forgetting_by=Mine())):
        with pytest.raises(ft.JobError, match="the evaluator Mine is defined in a function"):
            client.submit(job(None, own))
    assert client.backend.runs() == []


def test_an_evaluator_of_ones_own_in_a_file_guards_too(client: ft.Client, tmp_path: Path) -> None:
    run, training, _ = prepared(client, job(None, ft.Guards(best_by=Vowels())), tmp_path / "run")
    training.run()
    assert len(figures(run)["validation_score"]) > 1


def test_an_evaluator_that_fails_at_an_answer_ends_no_run(client: ft.Client, tmp_path: Path) -> None:
    knows = Holds(dict.fromkeys(("red", "green", "blue"), True))
    guards = ft.Guards(best_by=knows, forgetting=chats(4, 200), forgetting_by=knows)
    run, training, _ = prepared(client, job(None, guards), tmp_path / "run")
    assert training.run().step == 12
    assert figures(run)["validation_score"][0] == 0.0
    said = [event.message for event in run.events() if "fails at an answer" in event.message]
    assert len(said) == 1
    assert re.search(r"an evaluator fails .* not passed: KeyError", said[0])


def test_expected_answers_that_could_not_pass_are_said_before_the_run(client: ft.Client) -> None:
    guards = ft.Guards(best_by=[ft.JSONSchema({"type": "object"})])
    said = [finding.message for finding in client.check(job(None, guards)) if "do not pass best_by" in finding.message]
    assert len(said) == 1
    with pytest.raises(ft.EvaluationError, match="expected answer"):
        client.check(job(None, ft.Guards(best_by=[ft.FieldMatch(["colour"])])))


def test_the_estimate_counts_what_guards_take(client: ft.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from finetune_sdk_local.probe import Probe

    monkeypatch.setattr("finetune_sdk_local.probe.probe", lambda *_: Probe(0.01, 1e-4, 0.0, 0.3, "a steady machine"))
    plain = client.estimate(job()).time
    general = ft.Guards(forgetting=chats(200, 200))
    for guards in (ft.Guards(best_by=[ft.ExactMatch()]), general):
        assert (client.estimate(job(None, guards)).time.high or 0) > (plain.high or 0)
    answered = ft.Guards(forgetting=chats(200, 200), forgetting_by=[ft.ExactMatch()])
    assert (client.estimate(job(None, answered)).time.high or 0) > (client.estimate(job(None, general)).time.high or 0)


def test_the_estimate_counts_the_memory_of_long_answers(client: ft.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their keys and values are those that transformers really keeps; short answers fit beside what training takes."""
    from transformers import AutoModelForCausalLM

    from finetune_sdk_local.probe import Probe
    from finetune_sdk_local.shapes import Shape

    monkeypatch.setattr("finetune_sdk_local.probe.probe", lambda *_: Probe(0.01, 1e-4, 0.0, 0.3, "a steady machine"))

    def memory(guards: ft.Guards | None) -> ft.Range:
        return client.estimate(job(None, guards)).memory

    general = chats(200, 200)
    few = ft.Guards(forgetting=general, forgetting_by=ft.ExactMatch(), cases=2, max_tokens=4)
    many = replace(few, cases=64, max_tokens=400)
    assert memory(few) == memory(None)
    found = re.search(r"([\d,]+) tokens of guards' answers at once", memory(many).basis)
    assert found
    tokens = int(found[1].replace(",", ""))
    assert 32 * 400 < tokens <= 32 * 512
    base = client.resolve(job()).base
    model, shape = AutoModelForCausalLM.from_pretrained(base), Shape.of(base)
    cache = model(torch.zeros(3, 7, dtype=torch.long), use_cache=True).past_key_values
    kept = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert kept == 2 * shape.layers * shape.keys * 4 * 3 * 7
    assert (memory(many).expected or 0) - (memory(few).expected or 0) > 0.5 * tokens * kept / 21


def test_a_run_with_guards_is_another_run_and_the_same_guards_are_the_same(client: ft.Client) -> None:
    def token(guards: ft.Guards | None) -> str:
        return client.resolve(job(None, guards)).token("here", 1)

    one: Mapping[str, Any] = {"best_by": [ft.JSONSchema({"type": "object"})]}
    assert token(ft.Guards(**one)) == token(ft.Guards(**one))
    assert len({token(None), token(ft.Guards(**one)), token(ft.Guards(**one, cases=3)), token(EVERY)}) == 4
