"""The gate: pass, fail or not enough cases, and that a wrong pass comes no more often than it says."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluation import Report
from finetune_sdk.evaluation.gate import Asked, gate
from scripted import report

Pair = tuple[list[bool | None], list[bool | None]]


def outcomes(both: int, only_better: int, only_than: int, neither: int) -> Pair:
    first: list[bool | None] = [True] * (both + only_better) + [False] * (only_than + neither)
    return first, [True] * both + [False] * only_better + [True] * only_than + [False] * neither


def asked(*counts: int, by: float = 0.0, on: str = "Match") -> Asked:
    return Asked(on, by, *outcomes(*counts))


def test_a_model_that_is_shown_to_be_better_passes() -> None:
    found = gate("tuned", "base", [asked(60, 20, 2, 18)])
    assert (found.outcome, found.status, bool(found)) == ("pass", 0, True)
    assert found.sentence == (
        "Pass: tuned may take the place of base. On Match, tuned is better than base: 20 of 100 cases became right and "
        "2 wrong (+18 points), one-sided p < 0.0001."
    )


def test_a_model_that_is_shown_to_be_worse_fails() -> None:
    found = gate("tuned", "base", [asked(60, 2, 20, 18)])
    assert (found.outcome, found.status, bool(found)) == ("fail", 1, False)
    assert "tuned is worse than base" in found.sentence


def test_too_few_cases_are_neither_and_it_says_how_many_it_takes() -> None:
    found = gate("tuned", "base", [asked(40, 6, 3, 11)])
    assert (found.outcome, found.status) == ("not enough cases", 2)
    assert "it is not shown that tuned is better than base, nor the contrary" in found.sentence
    assert "There are 60 cases; to see a difference as large as the +5 points seen takes about 470." in found.sentence


def test_better_alone_is_not_enough_where_more_is_asked() -> None:
    assert gate("tuned", "base", [asked(60, 20, 2, 18)]).outcome == "pass"
    assert gate("tuned", "base", [asked(60, 20, 2, 18, by=0.05)]).outcome == "pass"
    assert gate("tuned", "base", [asked(60, 20, 2, 18, by=0.15)]).outcome == "not enough cases"
    assert gate("tuned", "base", [asked(60, 20, 2, 18, by=0.5)]).outcome == "fail"


def test_what_must_not_be_lost_is_asked_beside_it() -> None:
    gained = asked(60, 20, 2, 18)
    kept = asked(290, 4, 4, 2, by=-0.05, on="Schema")
    lost = asked(50, 0, 40, 10, by=-0.05, on="Schema")
    unclear = asked(30, 2, 2, 6, by=-0.05, on="Schema")
    assert gate("tuned", "base", [gained, kept]).outcome == "pass"
    failed = gate("tuned", "base", [gained, lost])
    assert failed.outcome == "fail"
    assert "On Schema, tuned loses more than 5 points against base" in failed.sentence
    assert "On Match" not in failed.sentence
    waits = gate("tuned", "base", [gained, unclear])
    assert waits.outcome == "not enough cases"
    assert "to see that less than 5 points is lost takes about" in waits.sentence


def test_models_that_answer_alike_are_told_so() -> None:
    found = gate("tuned", "base", [asked(300, 0, 0, 100)])
    assert found.outcome == "not enough cases"
    assert "all 400 cases came out alike" in found.sentence
    assert gate("tuned", "base", [asked(300, 0, 0, 100, by=-0.05)]).outcome == "pass"


def test_cases_without_a_score_are_left_out_and_named_and_none_at_all_is_not_enough() -> None:
    first, second = outcomes(60, 20, 2, 18)
    found = gate("tuned", "base", [Asked("Match", 0.0, [*first, None, True], [*second, True, None])])
    assert found.outcome == "pass"
    assert found.sentence.endswith("2 cases without a score for both are left out.")
    assert gate("tuned", "base", [Asked("Match", 0.0, [None], [True])]).outcome == "not enough cases"


def test_several_answers_to_a_case_are_no_new_cases() -> None:
    first, second = outcomes(3, 6, 0, 1)
    apart = gate("tuned", "base", [Asked("Match", 0.0, first * 5, second * 5)])
    together = gate("tuned", "base", [Asked("Match", 0.0, first * 5, second * 5)], clusters=list(range(10)) * 5)
    assert apart.outcome == "pass"
    assert together.outcome == "not enough cases"
    assert "in 10 groups" in together.sentence
    assert together.checks[0].groups == 10


def wrong_passes(cases: int, by: float, share: float, draws: int) -> float:
    """How often a model passes that is better by `by` exactly, and no more; `share` of the cases differ."""
    import numpy as np

    shares = (0.5, (share + by) / 2, (share - by) / 2, 0.5 - share)
    tables = np.random.default_rng(11).multinomial(cases, shares, size=draws).tolist()
    seen = Counter((wins, losses) for _, wins, losses, _ in tables)
    passed = [
        count
        for (wins, losses), count in seen.items()
        if gate("tuned", "base", [asked(cases - wins - losses, wins, losses, 0, by=by)])
    ]
    return sum(passed) / draws


@pytest.mark.parametrize("by", [-0.05, 0.0])
def test_a_wrong_pass_comes_no_more_often_than_alpha(by: float) -> None:
    assert wrong_passes(60, by, 0.12, 2_000) <= 0.025 + 0.01


@pytest.mark.soak
@pytest.mark.parametrize("by", [-0.1, -0.03, 0.0, 0.05])
@pytest.mark.parametrize("cases", [40, 150, 600])
def test_a_wrong_pass_comes_no_more_often_than_alpha_in_many_draws(by: float, cases: int) -> None:
    for share in (0.12, 0.4):
        assert wrong_passes(cases, by, share, 20_000) <= 0.025 + 0.0035


def test_a_report_is_gated_by_names() -> None:
    found = report(60, base=30, tuned=50)
    passed = found.gate("tuned", "base", "FieldMatch", without_losing=["JSONSchema"])
    assert passed.outcome == "pass"
    assert [(check.on, check.above) for check in passed.checks] == [("FieldMatch", 0.0), ("JSONSchema", -0.05)]
    assert found.gate("base", "tuned", "FieldMatch").outcome == "fail"
    assert found.gate("tuned", "base", "FieldMatch", without_losing={"JSONSchema": 0.01}).checks[1].above == -0.01
    data = passed.to_dict()
    assert (data["outcome"], data["status"], data["checks"][0]["only_better"]) == ("pass", 0, 20)


def test_what_cannot_be_gated_is_refused_by_name() -> None:
    found = report(60, base=30, tuned=50)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"on": "BLEU"}, "no evaluator 'BLEU'"),
        ({"than": "tuned"}, "compared with itself"),
        ({"than": "last"}, "no model 'last'"),
        ({"without_losing": "JSONSchema"}, "one text"),
        ({"without_losing": {"JSONSchema": -0.05}}, "not above 0"),
        ({"by": 5}, "no difference of two rates"),
        ({"alpha": 0.0}, "alpha"),
    ]
    for change, words in wrong:
        with pytest.raises(EvaluationError, match=words):
            found.gate(**{"better": "tuned", "than": "base", "on": "FieldMatch", **change})


def test_a_report_says_how_many_cases_a_difference_takes() -> None:
    found = report(60, base=40, tuned=47)
    assert 360 <= found.cases_needed("tuned", "base", "FieldMatch") <= 420
    assert found.cases_needed("tuned", "base", "FieldMatch", 0.02) > 2_000
    with pytest.raises(EvaluationError, match="no difference"):
        found.cases_needed("tuned", "base", "FieldMatch", 0.0)


def test_a_verdict_without_a_difference_says_how_many_cases_would_show_one() -> None:
    (note,) = [note for note in report(60, base=40, tuned=45).to_dict()["notes"] if "You have" in note]
    assert note.startswith("You have 60 cases. To see a difference of 5 points between tuned and base in four of five")
    assert not [note for note in report(60, base=20, tuned=50).to_dict()["notes"] if "You have" in note]


def test_an_old_report_without_groups_or_slices_is_still_gated() -> None:
    data = report(60, base=30, tuned=50).to_dict()
    for name in ("slices", "groups"):
        del data[name]
    for row in data["examples"]:
        del row["slices"]
    again = Report.from_dict(data)
    assert again.gate("tuned", "base", "FieldMatch").outcome == "pass"
    assert again.slices() == []


def test_of_two_conditions_on_one_evaluator_the_stricter_one_is_asked() -> None:
    found = report(60, base=30, tuned=50)
    for by, margin, above in ((-0.1, 0.02, -0.02), (0.1, 0.02, 0.1)):
        gate = found.gate("tuned", "base", "FieldMatch", by=by, without_losing={"FieldMatch": margin})
        assert [check.above for check in gate.checks] == [above]


def test_a_report_of_one_model_has_no_gate() -> None:
    with pytest.raises(EvaluationError, match="has 1 model, and a gate is between two"):
        report(60, tuned=50).gate("tuned", "", "FieldMatch")
