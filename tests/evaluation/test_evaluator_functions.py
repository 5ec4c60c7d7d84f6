"""Check and Bounded: anybody's function judges, and one that raises or never returns costs its own score and nothing else."""

from __future__ import annotations

import gc
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

import finetune_sdk as ft
from hostile import case

CASES = ft.Dataset.of([{"prompt": f"What is {n}?", "completion": f"It is {n}."} for n in range(30)])
ANSWERS = ft.Recorded("as expected", [(c.prompt, ft.Answer(c.answer.text)) for c in CASES])  # type: ignore[union-attr]


def judged(function: Any, answer: str = "It is 3.", **options: Any) -> ft.Score:
    return ft.Check(function, **options).judge(case("x"), ft.Answer(answer))


def short(case: ft.Case, answer: ft.Answer) -> bool:
    return len(answer.text) < 20


def test_a_function_says_yes_or_no_or_why_or_a_score() -> None:
    import numpy as np

    assert ft.Check(short).name == "short"
    assert judged(short).passed
    assert judged(short, "x" * 20) == ft.Score(False, "short says no")
    assert judged(lambda case, answer: (False, "too blunt"), name="polite") == ft.Score(False, "too blunt")
    assert judged(lambda case, answer: (True, "fine"), name="polite") == ft.Score(True)
    assert judged(lambda case, answer: ft.Score(True, value=3), name="polite").value == 3
    assert judged(lambda case, answer: np.bool_(True), name="close").passed


@pytest.mark.parametrize("found", [None, 1, 0.5, "yes", (1, "a"), (True,), []], ids=str)
def test_anything_else_is_an_error_and_no_score(found: Any) -> None:
    with pytest.raises(TypeError, match="return True or False"):
        judged(lambda case, answer: found, name="odd")


@pytest.mark.parametrize("function", [None, 3, int, "short"])
def test_what_is_no_function_is_refused(function: Any) -> None:
    with pytest.raises(ft.EvaluationError, match="no function"):
        ft.Check(function)


def test_a_function_without_a_name_needs_one() -> None:
    with pytest.raises(ft.EvaluationError, match="name the check"):
        ft.Check(lambda case, answer: True)


def test_what_a_function_raises_is_an_error_of_its_case() -> None:
    def halves(case: ft.Case, answer: ft.Answer) -> bool:
        if case.index % 2:
            raise KeyError("price")
        return True

    report = ft.Evaluation(CASES, [ft.ExactMatch(), ft.Check(halves)]).run(said=ANSWERS)
    assert report.metric("ExactMatch", "said").passed == 30
    assert (report.metric("halves", "said").passed, report.metric("halves", "said").errors) == (15, 15)
    assert "KeyError: 'price'" in "".join(report.to_dict()["notes"])


@pytest.mark.parametrize("how", ["a loop", "a wait", "a loop that catches everything"])
def test_a_function_that_never_returns_costs_three_times_its_limit_and_nothing_else(how: str) -> None:
    ended, begun = threading.Event(), list[str]()

    def forever(case: ft.Case, answer: ft.Answer) -> bool:
        begun.append(answer.text)
        while not ended.is_set():
            if how == "a wait":
                ended.wait()
            elif how == "a loop that catches everything":
                with suppress(Exception):
                    time.sleep(0.01)
        return True

    report = ft.Evaluation(CASES, [ft.ExactMatch(), ft.Check(forever, seconds=0.2)]).run(said=ANSWERS)
    ended.set()
    assert len(begun) == 3
    assert report.metric("forever", "said").errors == 30
    assert report.metric("ExactMatch", "said").passed == 30
    assert "has not judged within 0.2 s" in "".join(report.to_dict()["notes"])


def test_one_that_never_returns_and_is_pure_is_told_before_any_model_is_asked() -> None:
    check = ft.Check(lambda case, answer: time.sleep(60) or True, name="slow", seconds=0.1, pure=True)
    with pytest.raises(ft.EvaluationError, match=r"slow has not judged within 0\.1 s"):
        ft.Evaluation(CASES, [check]).run(said=ANSWERS)


def test_a_loop_that_is_left_behind_ends() -> None:
    def loops(case: ft.Case, answer: ft.Answer) -> bool:
        while True:
            pass

    before = threading.active_count()
    with pytest.raises(ft.EvaluationError):
        judged(loops, seconds=0.1)
    deadline = time.perf_counter() + 60
    while threading.active_count() > before and time.perf_counter() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_one_slow_answer_does_not_end_the_others() -> None:
    calls, ended = list[int](), threading.Event()

    def mostly(case: ft.Case, answer: ft.Answer) -> bool:
        calls.append(case.index)
        if case.index in (3, 7, 11, 15):
            ended.wait()
        return True

    report = ft.Evaluation(CASES, [ft.Check(mostly, seconds=1)]).run(said=ANSWERS)
    ended.set()
    assert (report.metric("mostly", "said").passed, report.metric("mostly", "said").errors) == (26, 4)
    assert sorted(calls) == list(range(30))


@dataclass(frozen=True)
class Mine:
    """Waits where it is told to."""

    waits: float
    name: str = "Mine"
    version: ClassVar[int] = 4
    pure: ClassVar[bool] = False

    def judge(self, case: ft.Case, answer: ft.Answer) -> ft.Score:
        time.sleep(self.waits)
        return ft.Score(True)


def test_any_evaluator_can_be_given_a_time() -> None:
    bounded = ft.Bounded(Mine(0), seconds=5)
    assert (bounded.name, bounded.version, bounded.pure) == ("Mine", 4, False)
    report = ft.Evaluation(CASES, [bounded, ft.ExactMatch()]).run(said=ANSWERS)
    assert report.metric("Mine", "said").passed == 30
    with pytest.raises(ft.EvaluationError, match="Mine has not judged within"):
        ft.Bounded(Mine(60), seconds=0.1).judge(case("x"), ft.Answer("x"))


def test_an_evaluator_of_ones_own_is_bounded_in_an_evaluation_and_the_sdks_are_as_they_are() -> None:
    chosen = ft.Evaluation(CASES, [Mine(0), ft.ExactMatch(), ft.Bounded(Mine(0, "Other"), seconds=1)]).evaluators
    assert chosen == (ft.Bounded(Mine(0)), ft.ExactMatch(), ft.Bounded(Mine(0, "Other"), seconds=1))


def test_judgements_from_several_threads_do_not_wait_for_each_other() -> None:
    from concurrent.futures import ThreadPoolExecutor

    together = threading.Barrier(8)

    class Meeting(Mine):
        def judge(self, case: ft.Case, answer: ft.Answer) -> ft.Score:
            together.wait(60)
            return ft.Score(True)

    evaluator = ft.Bounded(Meeting(0), seconds=120)
    with ThreadPoolExecutor(8) as threads:
        scores = list(threads.map(lambda n: evaluator.judge(case("x"), ft.Answer(str(n))), range(8)))
    assert all(score.passed for score in scores)


@pytest.mark.parametrize(
    "make", [lambda: ft.Bounded(3), lambda: ft.Bounded(Mine), lambda: ft.Bounded(Mine(0), seconds=0)]
)  # type: ignore[arg-type]
def test_what_cannot_be_bounded_is_refused(make: Any) -> None:
    with pytest.raises(ft.EvaluationError):
        make()


@pytest.mark.parametrize(
    "evaluator",
    [ft.Check(short), ft.Bounded(ft.ExactMatch()), ft.Memorisation(["a b"])],
    ids=lambda one: type(one).__name__,
)
def test_a_job_does_not_take_what_another_process_could_not_make(evaluator: Any) -> None:
    guards = ft.Guards(best_by=(evaluator,))
    rows = ft.Dataset.of([{"prompt": f"What is not {n}?", "completion": "It."} for n in range(4)])
    with pytest.raises(ft.JobError, match="no plain data"):
        ft.Job(name="a", train=CASES, validation=rows, method=ft.SFT(), guards=guards).fingerprint  # noqa: B018


def test_an_evaluator_that_is_gone_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    for _ in range(20):
        judged(short)
    gc.collect()
    deadline = time.perf_counter() + 60
    while threading.active_count() > before and time.perf_counter() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before
