"""An evaluation: what it refuses before it asks, what it asks, what it counts, and what it concludes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import BackendError, EvaluationError
from finetune_sdk.evaluation.evaluation import Evaluation, Report
from finetune_sdk.evaluation.evaluators import Case, Evaluator, ExactMatch, FieldMatch, JSONSchema, Length, Score
from finetune_sdk.messages import Asked, ChatExample, Conversation, Message, PreferenceExample, ToolCall
from finetune_sdk.model import Answer, Model, Origin, Prompted, Recorded, Sampling

SCHEMA = {"type": "object", "properties": {"label": {"enum": ["a", "b"]}}, "required": ["label"]}


def tickets(count: int, start: int = 0) -> Dataset:
    return Dataset.of(
        [
            ChatExample(
                (
                    Message("system", "Answer in JSON."),
                    Message("user", f"ticket {i}"),
                    Message("assistant", json.dumps({"label": "ab"[i % 2]})),
                )
            )
            for i in range(start, start + count)
        ],
        name="tickets.jsonl",
    )


@dataclass
class Scripted:
    """A model that is right in the first `right` cases of all that it is asked; it keeps what it was asked."""

    right: int
    name: str = "scripted"
    origin: Origin = field(default_factory=lambda: Origin("here", "none"))
    fails_at: tuple[int, ...] = ()
    asked: list[Conversation] = field(default_factory=list)
    calls: int = 0
    sampling: Sampling | None = None

    def answer(self, asked: Asked, sampling: Sampling | None = None) -> Answer:
        return self.answers([asked], sampling)[0]

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        self.calls += 1
        self.sampling = sampling
        if self.calls - 1 in self.fails_at:
            raise BackendError("the place is down", code="503", retryable=True)
        said = []
        for conversation in map(Conversation.of, asked):
            number = int(conversation.messages[-1].text.split()[-1])
            text = json.dumps({"label": "ab"[number % 2]}) if number < self.right else "no idea"
            self.asked.append(conversation)
            said.append(Answer(text, input_tokens=10, output_tokens=number, seconds=0.5))
        return said


def report(cases: int = 60, name: str = "triage", **right: int) -> Report:
    models: dict[str, Any] = {key: Scripted(count) for key, count in right.items()}
    return Evaluation(tickets(cases), [JSONSchema(SCHEMA), FieldMatch()], name=name).run(**models)


# What is asked


def test_a_case_is_asked_without_its_last_assistant_turn() -> None:
    model = Scripted(9)
    Evaluation(tickets(3), [ExactMatch()], sampling=Sampling(max_tokens=9)).run(tuned=model)
    assert [[m.role for m in asked.messages] for asked in model.asked] == [["system", "user"]] * 3
    assert model.sampling == Sampling(max_tokens=9)


def test_every_model_is_asked_every_case_once_in_order() -> None:
    base, tuned = Scripted(0), Scripted(200)
    Evaluation(tickets(150), [ExactMatch()]).run(base=base, tuned=tuned)
    for model in (base, tuned):
        assert [int(asked.messages[-1].text.split()[-1]) for asked in model.asked] == list(range(150))
        assert model.calls == 3


def test_progress_is_shown_on_standard_error_only(capsys: pytest.CaptureFixture[str]) -> None:
    evaluation = Evaluation(tickets(3), [ExactMatch()], name="[triage]")
    evaluation.run(base=Scripted(1))
    assert capsys.readouterr() == ("", "")
    evaluation.run(progress=True, base=Scripted(1))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "[triage]: base" in shown.err


# What is counted


def test_each_metric_has_its_counts_and_its_interval() -> None:
    metric = report(base=15, tuned=60).metric("JSONSchema", "base")
    assert (metric.passed, metric.cases, metric.errors, metric.rate) == (15, 60, 0, 0.25)
    assert (metric.low, metric.high) == pytest.approx((0.158, 0.372), abs=1e-3)


def test_fields_have_rates_of_their_own() -> None:
    rows = report(base=15, tuned=60).to_dict()["metrics"]
    fields = next(row["fields"] for row in rows if (row["evaluator"], row["model"]) == ("FieldMatch", "base"))
    assert (fields["label"]["passed"], fields["label"]["cases"]) == (15, 60)


def test_cases_that_the_place_failed_on_are_errors_and_never_scored() -> None:
    found = Evaluation(tickets(150), [ExactMatch()]).run(base=Scripted(150), tuned=Scripted(150, fails_at=(1,)))
    metric = found.metric("ExactMatch", "tuned")
    assert (metric.passed, metric.cases, metric.errors, metric.rate) == (86, 86, 64, 1.0)
    compared = found.compare("tuned", "base", on="ExactMatch")
    assert (compared.cases, compared.both) == (86, 86)
    assert "64 cases without a score for both are left out" in compared.sentence
    data = found.to_dict()
    assert data["models"][1]["errors"] == 64
    assert data["examples"][64]["answers"]["tuned"]["error"] == "the place is down"
    assert data["examples"][64]["answers"]["tuned"]["scores"] == {}
    assert any("tuned did not answer 64 of 150 cases (the place is down)" in note for note in data["notes"])


def test_a_model_that_never_answers_has_no_rate() -> None:
    found = Evaluation(tickets(30), [ExactMatch()]).run(base=Scripted(30), tuned=Scripted(0, fails_at=(0,)))
    assert found.metric("ExactMatch", "tuned").rate is None
    assert found.compare("tuned", "base", on="ExactMatch").p is None
    assert found.to_dict()["verdict"]["outcome"] == "no difference shown"


@dataclass(frozen=True)
class Fragile:
    """An evaluator of a user, with a mistake in it."""

    name: str = "Fragile"
    version: ClassVar[int] = 1

    def judge(self, case: Case, answer: Answer) -> Score:
        return Score(bool(json.loads(answer.text)["label"]))


def test_an_evaluator_that_raises_is_an_error_of_that_case_and_that_evaluator() -> None:
    found = Evaluation(tickets(30), [Fragile(), ExactMatch()]).run(base=Scripted(10))
    assert (found.metric("Fragile", "base").passed, found.metric("Fragile", "base").errors) == (10, 20)
    assert (found.metric("ExactMatch", "base").cases, found.metric("ExactMatch", "base").errors) == (30, 0)
    data = found.to_dict()
    assert data["models"][0]["errors"] == 0
    assert "Fragile: JSONDecodeError" in data["examples"][10]["answers"]["base"]["error"]
    assert any("Fragile could not judge 20 answers of base" in note for note in data["notes"])


@dataclass(frozen=True)
class Boolean:
    """An evaluator that forgets to return a Score."""

    name: str = "Boolean"
    version: ClassVar[int] = 1

    def judge(self, case: Case, answer: Answer) -> Any:
        return True


def test_an_evaluator_that_returns_no_score_is_an_error() -> None:
    found = Evaluation(tickets(30), [Boolean()]).run(base=Scripted(10))
    assert found.metric("Boolean", "base").errors == 30


def test_latency_and_tokens_are_kept() -> None:
    row = report(cases=3, base=3).to_dict()["models"][0]
    assert row["latency"] == {"p50": 0.5, "p95": 0.5}
    assert row["tokens"] == {"input_mean": 10.0, "output_mean": 1.0}
    silent = Recorded("kept", [(case.prompt, Answer("x")) for case in tickets(3) if isinstance(case, ChatExample)])
    row = Evaluation(tickets(3), [ExactMatch()]).run(kept=silent).to_dict()["models"][0]
    assert row["latency"] == {"p50": None, "p95": None}
    assert row["tokens"] == {"input_mean": None, "output_mean": None}


# What is concluded


def test_the_last_model_is_compared_with_each_other_one() -> None:
    rows = report(base=2, prompted=20, tuned=58).to_dict()["comparisons"]
    assert [(r["evaluator"], r["better"], r["than"]) for r in rows] == [
        ("JSONSchema", "tuned", "base"),
        ("JSONSchema", "tuned", "prompted"),
        ("FieldMatch", "tuned", "base"),
        ("FieldMatch", "tuned", "prompted"),
    ]


def test_the_sentence_says_what_happened_in_exact_numbers() -> None:
    found = report(cases=160, prompted=40, tuned=158).compare("tuned", "prompted", on="JSONSchema")
    assert found.sentence == (
        "tuned passes JSONSchema in 158 of 160 cases, prompted in 40: 118 cases became right and 0 wrong "
        "(exact McNemar p < 0.0001), so the difference is hardly chance."
    )
    assert found.difference == pytest.approx(118 / 160)


def test_a_small_difference_is_not_called_one() -> None:
    found = report(prompted=30, tuned=33)
    assert found.compare("tuned", "prompted", on="FieldMatch").sentence.endswith(
        "3 cases became right and 0 wrong, and 60 cases cannot show a difference this small (exact McNemar p = 0.25)."
    )
    assert found.to_dict()["verdict"]["outcome"] == "no difference shown"


def test_a_worse_model_is_called_worse() -> None:
    found = report(prompted=50, tuned=10)
    verdict = found.to_dict()["verdict"]
    assert (verdict["outcome"], verdict["better"], verdict["than"]) == ("worse", "tuned", "prompted")
    assert verdict["sentence"].startswith("prompted is better than tuned: ")
    assert "so tuned is worse" in verdict["sentence"]


def test_the_verdict_is_against_the_strongest_other_model_on_the_last_evaluator_that_is_not_length() -> None:
    models = {"prompted": Scripted(30), "base": Scripted(5), "tuned": Scripted(55)}
    evaluators: list[Evaluator] = [JSONSchema(SCHEMA), FieldMatch(), Length(max_characters=99)]
    verdict = Evaluation(tickets(60), evaluators).run(None, **models).to_dict()["verdict"]
    assert (verdict["outcome"], verdict["better"], verdict["than"], verdict["on"]) == (
        "better",
        "tuned",
        "prompted",
        "FieldMatch",
    )
    assert verdict["sentence"].startswith("tuned is better than prompted: ")


def test_one_model_alone_gets_its_rate_and_no_comparison() -> None:
    data = report(tuned=45).to_dict()
    assert data["comparisons"] == []
    assert data["verdict"]["outcome"] == "single"
    assert (
        data["verdict"]["sentence"] == "tuned passes FieldMatch in 45 of 60 cases (75.0%, 95% interval 62.8% to 84.2%)."
    )


def test_fewer_than_twenty_cases_carry_a_warning() -> None:
    assert any("With 8 cases little can be concluded" in note for note in report(cases=8, tuned=8).to_dict()["notes"])
    assert report(cases=20, tuned=8).to_dict()["notes"] == []


def test_passing_every_case_is_not_called_perfect() -> None:
    assert "up to 3.0% of such cases may fail" in report(cases=100, tuned=100).to_dict()["notes"][-1]


def test_cases_that_repeat_others_are_noted() -> None:
    rows = [case for case in tickets(15) if isinstance(case, ChatExample)]
    found = Evaluation(Dataset.of(rows + rows), [ExactMatch()]).run(base=Scripted(9))
    assert any("15 of 30 cases repeat others exactly" in note for note in found.to_dict()["notes"])


def test_expected_answers_that_fail_themselves_are_noted() -> None:
    found = Evaluation(tickets(30), [JSONSchema({"properties": {"label": {"const": "a"}}})]).run(base=Scripted(9))
    assert any("15 of 30 expected answers do not pass JSONSchema themselves" in n for n in found.to_dict()["notes"])


# Leaks


def trained_on(rows: Dataset) -> Origin:
    return Origin("local", "tiny", run="local:1", sketch=frozenset(rows.sketch()))


def test_cases_that_a_model_was_trained_on_are_refused_before_it_is_asked() -> None:
    tuned = Scripted(30, origin=trained_on(tickets(30, start=20)))
    with pytest.raises(EvaluationError, match=r"10 of 30 cases stand in what tuned was trained on.*line 21") as caught:
        Evaluation(tickets(30), [ExactMatch()]).run(tuned=tuned)
    assert "split" in str(caught.value.cure)
    assert tuned.calls == 0


def test_leaks_that_are_allowed_are_in_the_report() -> None:
    tuned = Scripted(30, origin=trained_on(tickets(30, start=20)))
    data = Evaluation(tickets(30), [ExactMatch()], allow_leakage=True).run(tuned=tuned).to_dict()
    assert data["leakage"] == {"cases": 10, "allowed": True, "checked": True}
    assert any("10 of 30 cases" in note and "too good" in note for note in data["notes"])


def test_held_out_cases_pass() -> None:
    tuned = Scripted(30, origin=trained_on(tickets(30, start=30)))
    data = Evaluation(tickets(30), [ExactMatch()]).run(tuned=tuned).to_dict()
    assert data["leakage"] == {"cases": 0, "allowed": False, "checked": True}


def test_a_leak_that_nobody_could_see_is_not_called_none() -> None:
    assert report(cases=3, base=1).to_dict()["leakage"]["checked"] is False


def test_a_case_that_stands_in_a_prompt_is_a_leak() -> None:
    shown = [case for case in tickets(2, start=5) if isinstance(case, ChatExample)]
    prompted = Prompted(Prompted(Scripted(30), examples=shown), system="Be brief.")
    with pytest.raises(EvaluationError, match="2 of 30 cases stand in what prompted"):
        Evaluation(tickets(30), [ExactMatch()]).run(prompted=prompted)


# What is refused


def test_cases_must_be_chat_examples() -> None:
    good, bad = (Message("assistant", "x"),), (Message("assistant", "y"),)
    pairs = Dataset.of([PreferenceExample(Conversation.of("q"), good, bad)])
    with pytest.raises(EvaluationError, match="preference"):
        Evaluation(pairs, [ExactMatch()])


def test_there_must_be_cases() -> None:
    with pytest.raises(EvaluationError, match="no cases"):
        Evaluation(tickets(3)[:0], [ExactMatch()])


@pytest.mark.parametrize(
    ("evaluators", "found"),
    [
        ([], "no evaluator"),
        (ExactMatch(), "not a list"),
        ([ExactMatch], "not an evaluator"),
        (["ExactMatch"], "not an evaluator"),
        ([ExactMatch(), ExactMatch(strip=False)], "2 evaluators are called 'ExactMatch'"),
    ],
)
def test_evaluators_that_cannot_judge_are_refused(evaluators: Any, found: str) -> None:
    with pytest.raises(EvaluationError, match=found) as caught:
        Evaluation(tickets(3), evaluators)
    assert caught.value.cure


def test_two_evaluators_of_a_kind_need_names() -> None:
    evaluators = [ExactMatch(), ExactMatch(strip=False, name="to the letter")]
    assert Evaluation(tickets(3), evaluators).run(base=Scripted(3)).evaluators == ("ExactMatch", "to the letter")


def test_there_must_be_models_that_answer() -> None:
    evaluation = Evaluation(tickets(3), [ExactMatch()])
    with pytest.raises(EvaluationError, match="no model"):
        evaluation.run()
    nobody: Any = "gpt-4.1-mini"
    with pytest.raises(EvaluationError, match="base is str"):
        evaluation.run(base=nobody)


def test_a_field_that_a_case_lacks_is_found_before_any_model_is_asked() -> None:
    model = Scripted(3)
    with pytest.raises(EvaluationError, match=r"tickets\.jsonl line 1.*'team'"):
        Evaluation(tickets(3), [FieldMatch(("team",))]).run(base=model)
    assert model.calls == 0


class Forgetful(Scripted):
    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        return super().answers(asked, sampling)[1:]


def test_a_model_that_leaves_answers_out_is_refused_rather_than_misread() -> None:
    with pytest.raises(EvaluationError, match="2 answers to 3 cases"):
        Evaluation(tickets(3), [ExactMatch()]).run(base=Forgetful(3))


# The report


def test_a_report_survives_saving_and_loading(tmp_path: Path) -> None:
    found = report(base=5, tuned=50)
    path = found.save(tmp_path / "report.json")
    again = Report.load(path)
    assert again == found
    assert again.to_dict() == Report.from_dict(json.loads(json.dumps(found.to_dict()))).to_dict()
    assert again.compare("tuned", "base", on="JSONSchema") == found.compare("tuned", "base", on="JSONSchema")
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_what_is_changed_in_the_data_does_not_change_the_report() -> None:
    found = report(base=5)
    found.to_dict()["models"].clear()
    assert found.models == ("base",)


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    found = report(base=5, tuned=50)
    with pytest.raises(EvaluationError, match="no model 'tuend'") as caught:
        found.compare("tuend", "base", on="JSONSchema")
    assert "base, tuned" in str(caught.value)
    with pytest.raises(EvaluationError, match="no evaluator"):
        found.metric("BLEU", "base")


@pytest.mark.parametrize("name", ["report.pdf", "report"])
def test_other_kinds_of_file_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EvaluationError, match="not written as"):
        report(cases=3, base=1).save(tmp_path / name)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="absent"):
        report(cases=3, base=1).save(tmp_path / "absent" / "report.json")


@pytest.mark.parametrize("content", [None, "{", "{}", '{"version": 1}', "[]"])
def test_a_file_that_holds_no_report_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(EvaluationError):
        Report.load(path)


def test_a_report_of_a_later_version_is_refused() -> None:
    with pytest.raises(EvaluationError, match="version 2"):
        Report.from_dict({**report(cases=3, base=1).to_dict(), "version": 2})


def test_the_origin_is_that_of_the_last_model_that_was_trained() -> None:
    origin = Origin("local", "tiny", "local:1", job={"name": "triage"}, curves={"loss": [[1, float("nan")]]})
    models: dict[str, Model] = {"tuned": Scripted(1, origin=origin), "base": Scripted(1)}
    data = Evaluation(tickets(3), [ExactMatch()]).run(None, **models).to_dict()
    assert data["origin"]["run"] == "local:1"
    assert data["origin"]["job"] == {"name": "triage"}
    json.dumps(data, allow_nan=False)


def test_answers_that_no_file_can_hold_are_kept_as_far_as_they_can_be(tmp_path: Path) -> None:
    deep: dict[str, Any] = {}
    for _ in range(3000):
        deep = {"c": deep}
    hostile = [
        Answer("\ud800 lone"),
        Answer("", (ToolCall("fly", {"to": float("nan"), "\udfff": "\ud800"}),)),
        Answer("", (ToolCall("fly", deep),)),
        Answer("x" * 10_000_000, seconds=float("nan")),
        Answer("", (ToolCall("fly", {"to": {1, 2}}),)),
    ]
    rows = [case for case in tickets(len(hostile)) if isinstance(case, ChatExample)]
    model = Recorded("hostile", zip((row.prompt for row in rows), hostile, strict=True))
    found = Evaluation(Dataset.of(rows), [JSONSchema(SCHEMA), ExactMatch(), FieldMatch()]).run(base=model)
    assert Report.load(found.save(tmp_path / "report.json")) == found
    first = found.to_dict()["examples"][0]["answers"]["base"]
    assert first["text"] == "\ufffd lone"
    assert found.metric("FieldMatch", "base").errors == 0


def test_the_report_is_shown_as_page_text_and_notebook_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(base=5, tuned=50)
    page = found.save(tmp_path / "report.html").read_text("utf-8")
    assert "no idea" in page
    assert found.verdict in str(found).replace("\n", " ")
    found.show()
    assert "FieldMatch" in capsys.readouterr().out
    cell = found._repr_html_()
    assert cell.startswith("<iframe srcdoc=")
    assert 'sandbox="' in cell
    assert "allow-same-origin" not in cell


def test_what_a_model_says_is_never_run_in_a_page(tmp_path: Path) -> None:
    rows = [case for case in tickets(3) if isinstance(case, ChatExample)]
    said = Answer("</script><script>alert(1)</script><img src=x onerror=alert(1)>")
    model = Recorded('<b>"me"</b>', [(row.prompt, said) for row in rows])
    found = Evaluation(Dataset.of(rows), [ExactMatch()], name="<i>title</i>").run(base=model)
    page = found.save(tmp_path / "report.html").read_text("utf-8")
    for raw in ("<script>alert(1)", "<img src=x", "<b>", "<i>title"):
        assert raw not in page
        assert raw not in found._repr_html_()


def test_an_evaluation_can_be_varied() -> None:
    evaluation = Evaluation(tickets(3), [ExactMatch()])
    assert replace(evaluation, name="again").evaluators == evaluation.evaluators
