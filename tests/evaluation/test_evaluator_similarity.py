"""ChrF, RougeL and Perplexity: figures of kept libraries, and of the place itself."""

from __future__ import annotations

from math import exp
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk.errors import MissingDependencyError
from finetune_sdk.model import Token
from hostile import case

WANTED = "The parcel was sent to Oslo this morning."
NEAR = "The parcel was sent to Oslo today."


def score(evaluator: Any, answer: str, expected: str = WANTED) -> ft.Score:
    found: ft.Score = evaluator.judge(case(expected), ft.Answer(answer))
    return found


def test_chrf_is_sacrebleus_figure() -> None:
    from sacrebleu import sentence_chrf

    assert score(ft.ChrF(at_least=99.9), WANTED).passed
    near = score(ft.ChrF(at_least=60), NEAR)
    assert near == ft.Score(True, value=sentence_chrf(NEAR, [WANTED]).score)
    assert score(ft.ChrF(at_least=95), NEAR).reason == f"chrF {near.value:.3g}, less than 95"
    assert score(ft.ChrF(word_order=2), NEAR).value == sentence_chrf(NEAR, [WANTED], word_order=2).score


def test_rouge_l_is_the_f1_of_the_longest_common_subsequence() -> None:
    # 6 of 7 and of 8 words stand in both in the same order.
    assert score(ft.RougeL(at_least=0.5), NEAR).value == pytest.approx(2 * 6 / (7 + 8))
    assert score(ft.RougeL(at_least=0.9), NEAR).reason == "ROUGE-L 0.8, less than 0.9"
    assert score(ft.RougeL(at_least=0.99, stem=True), "The parcels were sent", "the parcel were sent").passed


def test_an_empty_answer_shares_nothing() -> None:
    for evaluator in (ft.ChrF(), ft.RougeL()):
        assert score(evaluator, "").value == 0.0


def test_texts_too_long_to_compare_fail_and_say_so() -> None:
    assert "too many to compare" in score(ft.ChrF(), "x" * 100_001).reason
    assert "too many to compare" in score(ft.RougeL(), "a " * 3_000, "a " * 3_000).reason


@pytest.mark.parametrize(
    "make",
    [
        lambda: ft.ChrF(at_least=101),
        lambda: ft.ChrF(word_order=-1),
        lambda: ft.RougeL(at_least=50),
        lambda: ft.Perplexity(0.5),
    ],
)
def test_limits_that_no_figure_can_meet_are_refused(make: Any) -> None:
    with pytest.raises(ft.EvaluationError):
        make()


@pytest.mark.parametrize(
    ("module", "make"),
    [
        ("sacrebleu.metrics", ft.ChrF),
        ("rouge_score.rouge_scorer", ft.RougeL),
        ("sqlglot", ft.ValidSQL),
        ("defusedxml.expatreader", ft.ValidXML),
        ("py3langid.langid", lambda: ft.Language("en")),
        ("py3langid.langid", lambda: ft.Instruction("english_capital")),
    ],
)
def test_a_library_that_is_missing_is_told_with_the_line_that_installs_it(
    module: str, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune_sdk.evaluation.evaluators import given, language

    def absent(name: str) -> Any:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(given, "import_module", absent)
    language.identifier.cache_clear()
    with pytest.raises(MissingDependencyError, match=r"pip install 'finetune-anywhere\[evaluators\]'"):
        make()


def said(*logprobs: float) -> ft.Answer:
    return ft.Answer("x", said=tuple(Token("t", logprob) for logprob in logprobs))


def test_perplexity_is_the_exponent_of_the_mean_of_the_tokens() -> None:
    assert ft.Perplexity(2.0).judge(case("x"), said(-0.5, -0.1)) == ft.Score(True, value=pytest.approx(exp(0.3)))
    found = ft.Perplexity(2.0).judge(case("x"), said(-2.0, -1.0))
    assert (found.passed, found.reason) == (False, "perplexity 4.48, more than 2")
    assert not ft.Perplexity(2.0).judge(case("x"), said(float("-inf"))).passed


@pytest.mark.parametrize("answer", [ft.Answer("x"), said(), said(float("nan"))], ids=["none", "empty", "nan"])
def test_a_place_without_log_probabilities_makes_no_score(answer: ft.Answer) -> None:
    with pytest.raises(ValueError, match="log probabilities"):
        ft.Perplexity(2.0).judge(case("x"), answer)
