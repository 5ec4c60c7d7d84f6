"""Each kind of evaluator as a job file describes it, and that it is the one that Python makes."""

from __future__ import annotations

from pathlib import Path

import pytest

import finetune_sdk as ft
from finetune_sdk.evaluation.evaluators import KINDS
from finetune_sdk.jobfile.judging import TABLES

WRITTEN: dict[str, object] = {
    "{kind: json_schema, schema: {type: object}, fenced: true}": ft.JSONSchema({"type": "object"}, fenced=True),
    "{kind: exact_match, strip: false}": ft.ExactMatch(strip=False),
    "{kind: field_match, fields: [a.b]}": ft.FieldMatch(["a.b"]),
    "{kind: length, max_words: 3}": ft.Length(max_words=3),
    "{kind: pattern, pattern: '^A-\\d+$', whole: true}": ft.Pattern(r"^A-\d+$", whole=True),
    "{kind: template, template: 'Order {order}.', slots: {order: 'A|B'}}": ft.Template("Order {order}.", {"order": "A|B"}),
    "{kind: labels, allowed: [a, b], field: label}": ft.Labels(["a", "b"], field="label"),
    "{kind: label_sets, allowed: [a, b], separator: ';'}": ft.LabelSets(["a", "b"], separator=";"),
    "{kind: normalised_match, articles: false}": ft.NormalisedMatch(articles=False),
    "{kind: numeric_match, relative: 0.01, units: {g: 1, kg: 1000}}": ft.NumericMatch(relative=0.01, units={"g": 1, "kg": 1000}),
    "{kind: contains, texts: [a, b], any: true}": ft.Contains(["a", "b"], any=True),
    "{kind: forbidden, texts: guarantee}": ft.Forbidden("guarantee"),
    "{kind: tool_calls, arguments: schema, accepted: {weather: {unit: [C, celsius]}}}": ft.ToolCalls(
        "schema", accepted={"weather": {"unit": ("C", "celsius")}}
    ),
    "{kind: instructions, instructions: [{kind: no_comma}, {kind: number_words, relation: at least, num_words: 3}], loose: true}": ft.Instructions(
        [ft.Instruction("no_comma"), ft.Instruction("number_words", relation="at least", num_words=3)], loose=True
    ),
    "{kind: instructions}": ft.Instructions(),
    "{kind: chrf, at_least: 40}": ft.ChrF(40),
    "{kind: rouge_l, stem: true}": ft.RougeL(stem=True),
    "{kind: perplexity, at_most: 3}": ft.Perplexity(3),
    "{kind: language, languages: de, untold: fail}": ft.Language("de", "fail"),
    "{kind: refusal, wanted: true}": ft.Refusal(wanted=True),
    "{kind: valid_xml, root: a}": ft.ValidXML("a"),
    "{kind: valid_yaml, fenced: true}": ft.ValidYAML(fenced=True),
    "{kind: valid_csv, columns: [id, team]}": ft.ValidCSV(["id", "team"]),
    "{kind: valid_sql, dialect: postgres, reads: true}": ft.ValidSQL("postgres", reads=True),
    "{kind: entity_spans, at_least: 0.8, field: found, name: Names}": ft.EntitySpans(0.8, field="found", name="Names"),
}  # fmt: skip


def loaded(folder: Path, evaluator: str) -> ft.Evaluation:
    (folder / "rows.jsonl").write_text(
        "".join(
            f'{{"messages": [{{"role": "user", "content": "{n}"}}, {{"role": "assistant", "content": "{n}"}}]}}\n'
            for n in range(40)
        )
    )
    path = folder / "job.yaml"
    path.write_text(f"name: a\ndata: rows.jsonl\nsplit: {{test: 0.3}}\nevaluation:\n  evaluators: [{evaluator}]\n")
    evaluation = ft.JobFile.load(path).evaluation()
    assert evaluation is not None
    return evaluation


@pytest.mark.parametrize("written", WRITTEN)
def test_a_job_file_makes_the_same_evaluator_as_python(written: str, tmp_path: Path) -> None:
    evaluation = loaded(tmp_path, written)
    assert list(evaluation.evaluators) == [WRITTEN[written]]
    wants = "perplexity" in written
    assert (evaluation.sampling is not None and evaluation.sampling.logprobs == 0) is wants


def test_every_kind_that_is_plain_data_has_a_table() -> None:
    assert {table.__name__.removesuffix("Table") for table in TABLES.values()} == set(KINDS)
    assert {type(evaluator).__name__ for evaluator in WRITTEN.values()} == set(KINDS)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("{kind: patern, pattern: a}", "did you mean `pattern`?"),
        ("{kind: pattern, patern: a}", "did you mean `pattern`?"),
        ("{kind: labels, allowed: []}", "a list of at least one"),
        ("{kind: numeric_match, take: any}", "'only', 'first' or 'last'"),
        ("{kind: instructions, instructions: [{kind: no_coma}]}", "did you mean no_comma"),
        ("{kind: valid_sql, dialect: mysqll}", "the dialect is 'mysqll'"),
    ],
)
def test_what_makes_no_sense_is_told_before_a_run(written: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ft.InputError) as caught:
        loaded(tmp_path, written)
    assert says in str(caught.value)
