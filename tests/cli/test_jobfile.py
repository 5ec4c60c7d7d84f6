"""A job file means what it says, and every mistake in it is named with its line and its cure."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from finetune_sdk import DPO, KTO, ORPO, RFT, SFT, ExactMatch, Full, JobError, JobFile, JSONSchema, LoRA, Pretraining

ROOT = Path(__file__).parents[2]
ROW = '{"messages": [{"role": "user", "content": "%d?"}, {"role": "assistant", "content": "%d"}]}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows.jsonl").write_text("".join(ROW % (n, n) for n in range(40)))
    (tmp_path / "more.jsonl").write_text("".join(ROW % (n, n) for n in range(100, 120)))
    return tmp_path


def load(folder: Path, text: str) -> JobFile:
    (folder / "job.yaml").write_text(text, "utf-8")
    return JobFile.load(folder / "job.yaml")


def fault(folder: Path, text: str) -> JobError:
    with pytest.raises(JobError) as caught:
        load(folder, text)
    return caught.value


def test_a_job_file_gives_the_job_and_its_data(folder: Path) -> None:
    text = (
        "name: a\ndata: rows.jsonl\nsplit: {validation: 0.2, test: 0.2, seed: 3}\n"
        "base: tiny\nmethod: {kind: sft, epochs: 2}\nadapter: {kind: lora, rank: 4, targets: [q_proj]}\nseed: 5\n"
    )
    file = load(folder, text)
    job, data = file.job(), file.datasets()
    assert (job.name, job.base, job.seed) == ("a", "tiny", 5)
    assert job.method == SFT(epochs=2)
    assert job.adapter == LoRA(rank=4, targets=("q_proj",))
    assert data.validation is not None
    assert data.test is not None
    assert len(data.train) + len(data.validation) + len(data.test) == 40
    assert file.evaluation() is None


def test_each_side_may_be_a_file_of_its_own(folder: Path) -> None:
    data = load(folder, "name: a\ntrain: rows.jsonl\nvalidation: more.jsonl\n").datasets()
    assert len(data.train) == 40
    assert data.validation is not None
    assert len(data.validation) == 20
    assert data.test is None


def test_a_data_file_may_say_its_format_and_its_columns(folder: Path) -> None:
    (folder / "faq.csv").write_text("Frage;Antwort;mood\nWann?;Um sechs.;good\nWo?;Hier.;bad\n")
    (folder / "plain.jsonl").write_text('{"messages": [{"role": "user", "content": "a"}], "text": "b"}\n')
    faq = "{path: faq.csv, columns: {prompt: Frage, completion: Antwort}}"
    file = load(folder, f"name: a\ntrain: rows.jsonl\nvalidation: {faq}\ntest: {{path: plain.jsonl, format: text}}\n")
    data = file.datasets()
    assert data.validation is not None
    assert data.test is not None
    assert [row["messages"][0]["content"] for row in data.validation.rows()] == ["Wann?", "Wo?"]
    assert data.test.kind == "text"
    assert file.files() == {name: folder / path for name, path in (
        ("train", "rows.jsonl"), ("validation", "faq.csv"), ("test", "plain.jsonl"))}  # fmt: skip
    assert (
        load(folder, f"name: a\ndata: {faq}\nsplit: {{validation: 0.5, seed: 3}}\n").files()["data"].name == "faq.csv"
    )


def test_a_share_and_a_file_go_together(folder: Path) -> None:
    data = load(folder, "name: a\ndata: rows.jsonl\nsplit: {validation: 0.2}\ntest: more.jsonl\n").datasets()
    assert data.validation is not None
    assert data.test is not None
    assert len(data.test) == 20


def test_numbers_and_words_are_read_as_editors_read_them(folder: Path) -> None:
    file = load(folder, "name: no\ndata: rows.jsonl\nmethod: {kind: sft, learning_rate: 1e-4}\n")
    assert file.table.name == "no"
    assert file.table.method.learning_rate == 1e-4


def test_the_base_behind_a_prompt_shows_examples_from_the_training_data(folder: Path) -> None:
    from finetune_sdk import Recorded

    file = load(
        folder,
        "name: a\ndata: rows.jsonl\nsplit: {test: 0.3}\nevaluation:\n  evaluators: [{kind: exact_match}]\n"
        "  prompted: {examples: 3, system: Be brief.}\n",
    )
    train = file.datasets().train
    prompted = file.prompted(Recorded("base", []), train)
    assert prompted is not None
    assert prompted.system == "Be brief."
    assert {example.canonical()["messages"][0]["content"] for example in prompted.examples} <= {
        row["messages"][0]["content"] for row in train.rows()
    }
    assert len(prompted.examples) == 3


@pytest.mark.parametrize(
    ("text", "line", "said", "cure"),
    [
        ("name: a\ndata: rows.jsonl\nmethod: {kind: sft, epoch: 3}\n", 3, "`method.epoch`", "`epochs`"),
        ("name: a\ndata: rows.jsonl\nadaptor: {kind: lora}\n", 3, "`adaptor`", "`adapter`"),
        ("name: a\ndata: rows.jsonl\nepochs: 3\n", 3, "belongs under `method`", "`method`"),
        ("name: a\ndata: rows.jsonl\nadapter:\n  kind: lorra\n", 3, "'lorra'", "kind: lora"),
        ("name: a\ndata: rows.jsonl\nmethod: sft\n", 3, "the text 'sft'", "{kind: sft}"),
        (
            "name: a\ndata: rows.jsonl\nmethod: {epochs: 3}\n",
            3,
            "has no `kind`",
            "dpo, kto, orpo, pretraining, rft, sft",
        ),
        ("name: a\ndata: rows.jsonl\nmethod:\n  kind: sft\n  epochs: three\n", 5, "the text 'three'", "a number"),
        ("name: a\ndata: rows.jsonl\nmethod: {kind: sft, steps: 2.5}\n", 3, "the number 2.5", "a whole number"),
        ("name: a\ndata: rows.jsonl\nmethod: {kind: sft, schedule: cosin}\n", 3, "'cosin'", "'cosine'"),
        ("name: a\ndata: rows.jsonl\nseed: yes\n", 3, "the text 'yes'", "a whole number"),
        ("data: rows.jsonl\n", 1, "`name` is missing", "`name:`"),
        ("name: a\ndata: rows.jsonl\nname: b\n", 3, "stands twice, first on line 1", "keep one"),
        ("name: a\n\tdata: rows.jsonl\n", 2, "not YAML", "spaces, not tabs"),
        ("name: a\ndata: [rows.jsonl\n", 3, "not YAML", "look at"),
        ("name: a\ndata: !!python/name:os.system x\n", 2, "tag", "remove it"),
        ("name: &x [*x]\n", 1, "alias", "write it out"),
        ("name: " + "[" * 150 + "]" * 150 + "\n", 1, "without end", "write it out"),
        ("name: a\ndata: row.jsonl\n", 2, "does not exist", "rows.jsonl"),
        ("name: a\n", 1, "nothing to train on", "data:"),
        ("name: a\ndata:\n  path: row.jsonl\n", 3, "`data.path`: the file", "rows.jsonl"),
        ("name: a\ndata:\n  path: rows.jsonl\n  colums: {prompt: q}\n", 4, "`data.colums`", "`columns`"),
        ("name: a\ndata: {path: rows.jsonl, columns: {}}\n", 2, "`data.columns`", "at least one key"),
        (
            "name: a\ndata: {path: rows.jsonl, columns: {prompt: 3}}\n",
            2,
            "`data.columns.prompt` is the number 3",
            "text",
        ),
        ("name: a\ndata: {format: openai}\n", 2, "`data.path` is missing", "`path:`"),
        ("name: a\ndata: 3\n", 2, "text or a table of keys", "write"),
        ("name: a\ndata: rows.jsonl\ncolumns: {prompt: q}\n", 3, "belongs under `data`", "`data`"),
        ("name: a\ndata: rows.jsonl\ntrain: rows.jsonl\n", 3, "both set", "keep one"),
        ("name: a\ntrain: rows.jsonl\nsplit: {test: 0.1}\n", 3, "`split` divides `data`", "`data`"),
        ("name: a\ndata: rows.jsonl\nsplit: {test: 0.1}\ntest: more.jsonl\n", 4, "also a share", "keep one"),
        (
            "name: a\ndata: rows.jsonl\nevaluation:\n  evaluators: [{kind: exact_match}]\n",
            3,
            "no held-out",
            "split: {test: 0.1}",
        ),
        (
            "name: a\ndata: rows.jsonl\nsplit: {test: 0.1}\nevaluation:\n  evaluators:\n    - {kind: length, max_character: 3}\n",
            6,
            "`evaluation.evaluators[0].max_character`",
            "`max_characters`",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line_and_its_cure(
    folder: Path, text: str, line: int, said: str, cure: str
) -> None:
    found = fault(folder, text)
    assert f"job.yaml line {line}" in found.message
    assert said in found.message
    assert found.cure is not None
    assert cure in found.cure


def test_all_mistakes_are_named_at_once(folder: Path) -> None:
    found = fault(folder, "nam: a\ndata: rows.jsonl\nmethod: {kind: sft, epoch: 3, warmup: '0.1'}\n")
    for word in ("line 1: `nam`", "`name` is missing", "`method.epoch`", "`method.warmup`"):
        assert word in found.message


def test_a_value_that_makes_no_sense_is_named_with_the_file(folder: Path) -> None:
    found = fault(folder, "name: a\ndata: rows.jsonl\nmethod: {kind: sft, learning_rate: -1}\n")
    assert "job.yaml" in found.message
    assert "learning_rate" in found.message


def test_endless_nesting_is_an_error_and_not_a_crash(folder: Path) -> None:
    assert "too deeply" in fault(folder, "name: " + "[" * 5000).message


def test_a_missing_job_file_says_what_is_there(folder: Path) -> None:
    load(folder, "name: a\ndata: rows.jsonl\n")
    with pytest.raises(JobError, match="cannot be read") as caught:
        JobFile.load(folder / "jobb.yaml")
    assert caught.value.cure is not None
    assert "job.yaml" in caught.value.cure


def test_the_published_schema_is_current() -> None:
    assert json.loads((ROOT / "docs" / "job.schema.json").read_text("utf-8")) == JobFile.schema(), (
        "write it anew: finetune schema > docs/job.schema.json"
    )


def test_the_schema_and_the_reader_agree(folder: Path) -> None:
    schema = jsonschema_rs.validator_for(JobFile.schema())
    assert schema.is_valid(yaml.safe_load((ROOT / "examples" / "job.yaml").read_text("utf-8").replace("2e-3", "0.002")))
    for wrong in ({"kind": "sft", "epoch": 3}, {"kind": "sfd"}, {}, {"kind": "sft", "epochs": "3"}):
        row = {"name": "a", "data": "rows.jsonl", "method": wrong}
        assert not schema.is_valid(row)
        fault(folder, json.dumps(row))
    for held in (
        {"path": "rows.jsonl"},
        {"path": "rows.jsonl", "format": "openai", "columns": {"messages": "messages"}},
    ):
        assert schema.is_valid({"name": "a", "data": held})
        assert len(load(folder, json.dumps({"name": "a", "data": held})).datasets().train) == 40
    for held in ({}, {"path": 3}, {"path": "rows.jsonl", "columns": {}}, {"path": "rows.jsonl", "columns": ["a"]}, 3):
        assert not schema.is_valid({"name": "a", "data": held})
        fault(folder, json.dumps({"name": "a", "data": held}))
    for right in (SFT(epochs=2), DPO(beta=0.1), KTO(desirable_weight=1.2), ORPO(beta=0.1)):
        row = {"name": "a", "data": "rows.jsonl", "method": {"kind": right.kind}, "adapter": {"kind": Full().kind}}
        assert schema.is_valid(row)
        load(folder, json.dumps(row))


def test_rated_answers_are_learnt_from(folder: Path) -> None:
    rows = [{"prompt": f"{n}?", "completion": "yes", "label": n % 2 == 0} for n in range(12)]
    (folder / "rated.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = "name: a\ntrain: rated.jsonl\nmethod: {kind: kto, beta: 0.2, desirable_weight: 1.3}\n"
    assert load(folder, text).job().method == KTO(beta=0.2, desirable_weight=1.3)


def test_texts_are_pretrained_on(folder: Path) -> None:
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": f"Text {n}."}) + "\n" for n in range(12)))
    job = load(folder, "name: a\ntrain: texts.jsonl\nmethod: {kind: pretraining, epochs: 2}\n").job()
    assert job.method == Pretraining(epochs=2)


def test_reinforcement_is_graded_by_evaluators_or_by_the_place(folder: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": f"{n} + 1?"}], "answer": str(n + 1)} for n in range(12)]
    (folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    graded = "method: {kind: rft, epochs: 2, graders: [{kind: exact_match, strip: false}]}"
    job = load(folder, f"name: sums\ntrain: tasks.jsonl\n{graded}\n").job()
    assert job.method == RFT(epochs=2, graders=(ExactMatch(strip=False),))
    assert load(folder, "name: sums\ntrain: tasks.jsonl\nmethod: {kind: rft}\n").job().method == RFT()
    wrong = fault(folder, f"name: sums\ntrain: tasks.jsonl\n{graded.replace('epochs', 'epoch')}\n")
    assert "did you mean `epochs`" in wrong.message


def test_guards_are_read_with_their_evaluators_and_their_general_examples(folder: Path) -> None:
    (folder / "own.json").write_text('{"type": "object"}')
    text = (
        "name: a\ntrain: rows.jsonl\nvalidation: rows.jsonl\nguards:\n"
        "  best_by: [{kind: json_schema, schema: own.json}, {kind: exact_match}]\n"
        "  cases: 8\n  memorisation: true\n  forgetting: more.jsonl\n"
        "  forgetting_by: [{kind: json_schema, schema: own.json}]\n"
    )
    guards = load(folder, text).job().guards
    assert guards is not None
    assert guards.best_by == (JSONSchema({"type": "object"}), ExactMatch())
    assert (guards.cases, guards.max_tokens, guards.memorisation) == (8, 256, True)
    assert guards.forgetting is not None
    assert len(guards.forgetting) == 20
    assert guards.forgetting_by == (JSONSchema({"type": "object"}),)


def test_a_file_that_guards_name_and_that_is_not_there_is_named_with_its_line(folder: Path) -> None:
    found = fault(folder, "name: a\ntrain: rows.jsonl\nvalidation: more.jsonl\nguards:\n  forgetting: mor.jsonl\n")
    assert "line 5" in found.message
    assert "did you mean more.jsonl?" in (found.cure or "")


def test_a_grader_of_no_kind_is_told_the_kinds_of_evaluators(folder: Path) -> None:
    with pytest.raises(JobError, match=r"`method.graders\[0\]` is of the kind 'exact_mtch', .* `exact_match`"):
        load(folder, "name: sums\ntrain: tasks.jsonl\nmethod: {kind: rft, graders: [{kind: exact_mtch}]}\n")
