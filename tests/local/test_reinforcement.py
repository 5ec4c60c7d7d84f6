"""RFT: answers drawn by the model in training, graded, and the better ones made likelier; trl's GRPO is the reference."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import finetune_sdk as ft
import own_graders
from finetune_sdk.evaluation.evaluators.tables import evaluator_of, evaluator_table, homes
from finetune_sdk_local import bases, rollouts
from finetune_sdk_local.batches import plan
from finetune_sdk_local.devices import Device
from finetune_sdk_local.prepare import sequences
from finetune_sdk_local.reinforcement import Reinforcement, advantages
from finetune_sdk_local.rollouts import Asking
from finetune_sdk_local.training import Data, Options
from local_data import tasks
from own_graders import Fails, Holds, Soft, Spread, Starts, Vowels
from prepared import figures, prepared

CPU = Device("cpu", "test", "float32", 1, 1)
TASKS, SAMPLES, STEPS, LONGEST = 6, 4, 3, 12
METHOD = ft.RFT(
    graders=(Spread(),), samples=SAMPLES, max_tokens=LONGEST, temperature=1.0, beta=0.0, steps=STEPS, batch_size=TASKS,
    learning_rate=5e-3, schedule="constant", max_length=256,
)  # fmt: skip


def model(base: str, adapter: Any = ft.LoRA(rank=4)) -> Any:
    return bases.adapt(bases.load(base, CPU, adapter, train=True), adapter, seed=1)


def training(base: str, folder: Path, moving: Any, method: ft.RFT = METHOD, **options: Any) -> Reinforcement:
    tokenizer, given = bases.tokenizer(base), tasks(TASKS)
    made = sequences(base, tokenizer, given, method, 256)
    return Reinforcement(
        moving, Data(made, None, 1, {}, method.max_tokens or 1), plan(TASKS, TASKS, 0, None, method.steps), method, CPU,
        Options(options.pop("micro_tokens", 10_000), 1000, **options), folder, 0,
        lambda kind, message, figures: told.append(dict(figures)) if kind == "metrics" else None,
        tasks={"train": given}, tokenizer=tokenizer, ends=bases.ends(base),
    )  # fmt: skip


told: list[dict[str, Any]] = []


def drawn(tokenizer: Any, prompt: Sequence[int], number: int) -> np.ndarray[Any, Any]:
    """An answer that hangs on its prompt and number alone: some end, some are cut off."""
    random = np.random.default_rng([len(prompt), int(sum(prompt)), number])
    ids = random.integers(40, 140, random.integers(2, LONGEST)).astype(np.int32)
    return np.append(ids, np.int32(tokenizer.eos_token_id)) if number % 3 else np.resize(ids, LONGEST)


@pytest.fixture
def same_answers(monkeypatch: pytest.MonkeyPatch, small: str) -> Any:
    tokenizer, counted = bases.tokenizer(small), dict[tuple[int, ...], int]()

    def answer(prompt: Sequence[int]) -> Any:
        key = tuple(int(token) for token in prompt)
        counted[key] = counted.get(key, -1) + 1
        return drawn(tokenizer, key, counted[key])

    def answers(self: Asking, asked: Sequence[Any], each: int, micro_tokens: int) -> list[list[Any]]:
        return [[answer(prompt) for _ in range(each)] for prompt in asked]

    monkeypatch.setattr(Asking, "answers", answers)

    def forget() -> Any:
        counted.clear()
        return answer

    return forget


def trl_run(base: str, method: ft.RFT, folder: Path, answer: Any) -> tuple[list[float], dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from datasets import Dataset
        from trl import GRPOConfig, GRPOTrainer

        tokenizer, moving = bases.tokenizer(base), model(base).double()
        rows = [example.canonical()["prompt"]["messages"] for example in tasks(TASKS)]

        def rolled(prompts: list[Any], trainer: Any) -> dict[str, Any]:
            ids = [
                tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=True, return_dict=False)
                for prompt in prompts
            ]
            said = [answer(one).tolist() for one in ids]
            return {"prompt_ids": ids, "completion_ids": said, "logprobs": None}

        def reward(completions: list[Any], **_: Any) -> list[float]:
            case: Any = None
            graders = method.graders or ()
            return [float(graders[0].judge(case, ft.Answer(said[0]["content"])).value or 0.0) for said in completions]

        class Watched(GRPOTrainer):  # type: ignore[misc]
            def _compute_loss(self, *args: Any, **options: Any) -> Any:
                loss = super()._compute_loss(*args, **options)
                self.losses = [*getattr(self, "losses", []), float(loss.detach())]
                return loss

        trainer = Watched(
            moving,
            reward_funcs=reward,
            rollout_func=rolled,
            args=GRPOConfig(
                output_dir=str(folder), max_steps=STEPS, per_device_train_batch_size=TASKS * SAMPLES,
                num_generations=SAMPLES, max_completion_length=LONGEST, temperature=method.temperature, beta=method.beta,
                learning_rate=5e-3, lr_scheduler_type="constant", weight_decay=0.0, max_grad_norm=1.0, use_cpu=True,
                gradient_checkpointing=False, logging_steps=1, report_to=[], save_strategy="no", bf16=False,
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in rows]),
            processing_class=tokenizer,
        )  # fmt: skip
        trainer.train()
    moved = {name: weight for name, weight in moving.named_parameters() if weight.requires_grad}
    return trainer.losses, {name: weight.detach().clone() for name, weight in moved.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("temperature", "beta"), [(1.0, 0.0), (0.7, 0.0), (1.3, 0.2)])
def test_losses_and_weights_are_those_of_trl(
    small: str, tmp_path: Path, same_answers: Any, temperature: float, beta: float
) -> None:
    method = replace(METHOD, temperature=temperature, beta=beta)
    told.clear()
    made = training(small, tmp_path, model(small).double(), method)
    made.run()
    losses, weights = trl_run(small, method, tmp_path, same_answers())
    assert [row["loss"] for row in told] == pytest.approx(losses, abs=1e-6)
    assert made.weights.keys() == weights.keys()
    apart = torch.cat([(weight.detach() - weights[name]).abs().flatten() for name, weight in made.weights.items()])
    # AdamW divides a gradient by its own size, so where one is next to nothing the rounding of rewards decides its sign.
    assert float((apart > 1e-6).double().mean()) < 0.01
    assert float(apart.mean()) < 1e-6


@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_shared_prompts_and_small_batches_change_nothing(
    small: str, tmp_path: Path, same_answers: Any, beta: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune_sdk_local.prefixes.WORTHWHILE", 1)
    found = []
    for options in ({"engine": "shared"}, {"engine": "separate"}, {"engine": "separate", "micro_tokens": 90}):
        same_answers()
        told.clear()
        made = training(small, tmp_path, model(small), replace(METHOD, beta=beta), **options)
        made.run()
        found.append(([row["loss"] for row in told], [weight.detach().clone() for weight in made.weights.values()]))
    for losses, weights in found[1:]:
        assert losses == pytest.approx(found[0][0], abs=1e-6)
        for one, other in zip(weights, found[0][1], strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=2e-6)


def test_prompts_that_pass_once_are_answered_as_each_by_itself(small: str) -> None:
    asked = [np.arange(20 + 7 * at, 60 + 3 * at, dtype=np.int32) for at in range(4)]
    moving, tokenizer = model(small), bases.tokenizer(small)
    greedy = Asking(moving, tokenizer, CPU, 9, 0.0)
    together = greedy.answers(asked, 3, 10_000)
    for prompt, said in zip(asked, together, strict=True):
        alone = moving.generate(
            input_ids=torch.from_numpy(prompt[None].astype(np.int64)), max_new_tokens=9, do_sample=False,
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long), pad_token_id=0,
            eos_token_id=bases.ends(small),
        )[0, len(prompt) :]  # fmt: skip
        expected = rollouts._upto(alone.numpy().astype(np.int32), bases.ends(small))
        assert all(one.tolist() == expected.tolist() for one in said)
    assert greedy.answers(asked, 3, 20) != []  # one prompt at a time


def test_answers_are_drawn_by_the_models_probabilities(small: str) -> None:
    """Chi squared, over the first token of many answers."""
    moving, prompt = model(small), np.arange(20, 50, dtype=np.int32)
    torch.manual_seed(0)
    said = Asking(moving, bases.tokenizer(small), CPU, 1, 0.25).answers([prompt], 4000, 10_000)[0]
    counts = np.bincount([int(one[0]) for one in said], minlength=moving.config.vocab_size)
    with torch.no_grad():
        logits = moving(torch.from_numpy(prompt[None].astype(np.int64))).logits[0, -1]
    expected = 4000 * torch.softmax(logits.double() / 0.25, -1).numpy()
    often = expected >= 5
    rest = (counts[~often].sum() - expected[~often].sum()) ** 2 / max(expected[~often].sum(), 1.0)
    statistic = float(((counts[often] - expected[often]) ** 2 / expected[often]).sum() + rest)
    freedom = int(often.sum())
    assert statistic < freedom + 5 * (2 * freedom) ** 0.5


def test_an_advantage_is_against_the_answers_to_the_same_task() -> None:
    found = advantages(np.array([0.0, 1.0, 0.5, 0.5, 1.0, 1.0]), 2)
    assert found[:2] == pytest.approx([-0.70700679, 0.70700679])
    assert found[2:].tolist() == [0.0, 0.0, 0.0, 0.0]


def job(**options: Any) -> ft.Job:
    method = ft.RFT(
        **{
            "graders": (Vowels(),),
            "steps": 10,
            "batch_size": 6,
            "max_tokens": 8,
            "samples": 4,
            "learning_rate": 2e-2,
            **options,
        }
    )
    return ft.Job(name="vowels", train=tasks(12), validation=tasks(4, 50), method=method)


def test_a_run_of_its_own_process_learns_what_somebodys_own_grader_likes(client: ft.Client) -> None:
    run = client.submit(job(validate_every=5))
    run.wait(progress=False)
    rewards = [reward for _, reward in run.curves()["reward"]]
    assert np.mean(rewards[-3:]) > np.mean(rewards[:3])
    held = [reward for _, reward in run.curves()["validation_reward"]]
    assert len(held) == 3
    actual, estimate = run.result().actual, run.estimate
    assert actual["trained_tokens"] > 0
    assert estimate is not None
    assert estimate.tokens.low <= actual["tokens"] <= estimate.tokens.high


def test_the_same_steps_again_are_the_same_to_the_bit(client: ft.Client, tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        run, training, _ = prepared(client, job(steps=3), tmp_path / name)
        training.run()
        made.append((figures(run)["loss"], [weight.detach() for weight in training.weights.values()]))
    assert made[0][0] == made[1][0]
    assert all(torch.equal(one, other) for one, other in zip(made[0][1], made[1][1], strict=True))


def test_nothing_to_tell_answers_apart_by_is_said_and_then_an_error(client: ft.Client, tmp_path: Path) -> None:
    run, training, _ = prepared(client, job(graders=(Vowels("\N{SNOWMAN}"),), steps=6), tmp_path / "run")
    with pytest.raises(ft.BackendError, match=r"nothing was learnt: in all 6 steps, the 4 answers"):
        training.run()
    assert sum("no two answers" in event.message for event in run.events()) == 1


def test_a_grader_that_fails_ends_the_run_and_is_named(client: ft.Client) -> None:
    run = client.submit(job(graders=(Fails(),), max_tokens=8))
    with pytest.raises(ft.RunError, match=r"the grader Fails fails: ValueError: too many values"):
        run.wait(progress=False)


@dataclass(frozen=True)
class Elsewhere:
    name: str = "Elsewhere"
    version: ClassVar[int] = 1

    def judge(self, case: ft.Case, answer: ft.Answer) -> ft.Score:
        return ft.Score(True)


def test_graders_that_a_process_cannot_import_are_refused(client: ft.Client) -> None:
    @dataclass(frozen=True)
    class Inner(Elsewhere):
        pass

    with pytest.raises(ft.JobError, match="Inner is defined in a function"):
        client.estimate(job(graders=(Inner(),)))
    script = type("Script", (Elsewhere,), {"__module__": "__main__"})
    with pytest.raises(ft.JobError, match="Script is defined in a notebook, or the script that runs"):
        client.estimate(job(graders=(script(),)))
    with pytest.raises(ft.JobError, match="has no graders"):
        client.estimate(job(graders=None))


def test_a_grader_is_in_a_run_what_it_was_where_it_was_submitted(client: ft.Client) -> None:
    grader = Starts(("red", "blue"), frozenset({"x"}), 2.0)
    table = json.loads(json.dumps(evaluator_table(grader)))
    made = evaluator_of(table, homes([grader]))
    assert made == grader
    assert job(graders=(grader,)).fingerprint != job(graders=(replace(grader, _more=1.0),)).fingerprint
    assert not client.check(replace(job(graders=(grader,)), validation=None))


@pytest.mark.parametrize(
    ("grader", "why"),
    [
        (Holds(Vowels()), r"Holds\(what=…\) holds a Vowels, and what an evaluator is made with must be plain data"),
        (Holds(print), r"holds a builtin_function_or_method"),
        (Holds({1: True}), r"holds keys that are no text"),
        (Holds((1, 2)), r"Holds\(what=\(1, 2\)\) would be \[1, 2\] in the process of a run"),
        (Holds({"a"}), r"would be \['a'\] in the process of a run"),
        (Soft(), r"Soft has a field `kind`"),
    ],
    ids=["dataclass", "function", "keys", "tuple", "set", "kind"],
)  # fmt: skip
def test_a_grader_that_would_be_another_in_a_run_is_refused(client: ft.Client, grader: Any, why: str) -> None:
    with pytest.raises(ft.JobError, match=why):
        client.check(job(graders=(grader,)))


def test_a_grader_without_a_name_is_named_by_its_class(client: ft.Client) -> None:
    (found,) = client.check(replace(job(graders=(Holds({"red": True}),)), validation=None))
    assert "the grader Holds fails: KeyError: 'green'" in found.message
    (found,) = client.check(replace(job(graders=(Holds(),)), validation=None))
    assert "the grader Holds finds an answer worth 1e+200" in found.message


def test_a_module_of_the_same_name_elsewhere_is_not_taken_for_the_graders(
    client: ft.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a resume from another folder: what is imported first is somebody else's."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "own_graders.py").write_text(Path(own_graders.__file__).read_text())
    table, found = evaluator_table(Vowels()), homes([Vowels()])
    monkeypatch.syspath_prepend(other)
    monkeypatch.delitem(sys.modules, "own_graders")
    with pytest.raises(ft.JobError, match=rf"here that is a module of {other}"):
        evaluator_of(table, found)


def test_a_run_takes_no_code_from_the_folder_it_was_started_in(
    client: ft.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file there that is called like a library; the command line does not look there either."""
    mark = tmp_path / "mark"
    for name in ("torch", "random", "safetensors"):
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    client.submit(job(steps=1, batch_size=2)).wait(progress=False)
    assert not mark.exists()


def test_a_temperature_may_be_a_whole_number(small: str) -> None:
    prompt = np.arange(20, 30, dtype=np.int32)
    (said,) = Asking(model(small), bases.tokenizer(small), CPU, 2, 2).answers([prompt], 2, 100)
    assert len(said) == 2
    for senseless in (1e-40, 2e9):
        with pytest.raises(ft.JobError, match=r"makes no sense: answers would be all alike, or noise"):
            ft.RFT(temperature=senseless)


def test_what_cannot_be_learnt_from_is_found_before_the_run(client: ft.Client) -> None:
    with pytest.raises(ft.JobError, match=r"beta=0.1\) pulls towards the base, and with Full\(\) all"):
        client.estimate(replace(job(beta=0.1), adapter=ft.Full()))
    found = client.check(replace(job(max_tokens=500, max_length=510), validation=None))
    assert [one.severity for one in found] == ["error"]
    assert "leaves no room for an answer of 500 tokens within 510 (12 such rows)" in found[0].message
    (poor,) = client.check(replace(job(graders=(ft.JSONSchema({"type": "object"}),)), validation=None))
    assert poor.severity == "warning"
    assert "the expected answers of 12 of 12 tasks of tasks are worth nothing" in poor.message


def test_a_pull_towards_the_base_is_zero_where_nothing_has_moved(small: str, tmp_path: Path, same_answers: Any) -> None:
    told.clear()
    training(small, tmp_path, model(small), replace(METHOD, beta=0.5)).run()
    assert told[0]["kl"] == pytest.approx(0.0, abs=1e-9)
    assert told[-1]["kl"] > 1e-6
