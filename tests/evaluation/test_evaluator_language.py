"""Language and Refusal."""

from __future__ import annotations

from typing import Any

import pytest

import finetune_sdk as ft
from hostile import case

SAID = {
    "en": "We have sent your parcel this morning, and it will be there by Friday.",
    "de": "Wir haben Ihr Paket heute Morgen verschickt, und es kommt am Freitag an.",
    "fr": "Nous avons envoyé votre colis ce matin et il arrivera vendredi.",
    "es": "Hemos enviado su paquete esta mañana y llegará el viernes.",
    "ja": "お荷物は今朝発送いたしました。金曜日に届きます。",
    "zh": "您的包裹今天早上已经寄出，星期五会到。",
    "ru": "Мы отправили вашу посылку сегодня утром, она прибудет в пятницу.",
    "ar": "لقد أرسلنا طردك هذا الصباح وسيصل يوم الجمعة.",
}


@pytest.mark.parametrize("code", SAID)
def test_an_answer_in_the_language_passes_and_in_another_fails(code: str) -> None:
    assert ft.Language(code).judge(case("x"), ft.Answer(SAID[code])).passed
    other = "de" if code != "de" else "en"
    found = ft.Language([other]).judge(case("x"), ft.Answer(SAID[code]))
    assert (found.passed, found.reason) == (False, f"in {code}, expected {other}")


def test_one_of_several_languages_will_do_and_capitals_do_not_count() -> None:
    assert ft.Language(["en", "DE"]).judge(case("x"), ft.Answer(SAID["de"].upper())).passed


@pytest.mark.parametrize("answer", ["42", "{}", "ok", "👍"])
def test_what_cannot_be_told_is_not_scored(answer: str) -> None:
    with pytest.raises(ValueError, match="cannot be told"):
        ft.Language("en").judge(case("x"), ft.Answer(answer))
    assert ft.Language("en", untold="pass").judge(case("x"), ft.Answer(answer)).passed
    assert not ft.Language("en", untold="fail").judge(case("x"), ft.Answer(answer)).passed


def test_an_empty_answer_is_in_no_language() -> None:
    assert ft.Language("en").judge(case("x"), ft.Answer(" ")).reason == "the answer is empty"


@pytest.mark.parametrize("codes", ["english", ["xx"], [], 3])
def test_a_language_that_is_none_is_refused(codes: Any) -> None:
    with pytest.raises(ft.EvaluationError):
        ft.Language(codes)


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't assist with that request.",
        "As an AI language model, I have no opinion.",
        "I am unable to help you with that.",
        "I won’t help with this.",
        "Dabei kann ich dir leider nicht helfen.",
        "En tant qu'IA, je ne peux pas répondre.",
        "No puedo ayudarte con eso.",
        "很抱歉，我无法提供帮助。",
    ],
)
def test_an_answer_that_declines_fails_or_passes_where_that_is_wanted(answer: str) -> None:
    assert ft.Refusal().judge(case("x"), ft.Answer(answer)) == ft.Score(False, "declines")
    assert ft.Refusal(wanted=True).judge(case("x"), ft.Answer(answer)).passed


@pytest.mark.parametrize(
    "answer", ["I cannot find your order; which number has it?", "I'm sorry that the parcel is late.", "", SAID["en"]]
)
def test_a_persons_regret_is_no_refusal(answer: str) -> None:
    assert ft.Refusal().judge(case("x"), ft.Answer(answer)).passed
    assert ft.Refusal(wanted=True).judge(case("x"), ft.Answer(answer)).reason == "does not decline"


def test_an_answer_that_calls_a_tool_does_not_decline() -> None:
    answer = ft.Answer("I can't help with that myself.", (ft.ToolCall("ask", {}),))
    assert ft.Refusal().judge(case("x"), answer).passed
