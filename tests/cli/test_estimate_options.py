"""`finetune estimate` beyond the estimate: another card, places side by side, a month's cost, and when a training is paid back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

import finetune_sdk.backend
from finetune_sdk.backend import Capabilities, Resolved
from finetune_sdk.estimate import Estimate, Range, Upkeep, Usage
from finetune_sdk.job import Job
from finetune_sdk.testing import FakeBackend
from shell import JOB, Shell

BIG = ("--answers", "50000", "--against", "shout@priced")
USD: Mapping[str, float] = {"echo": 4e-6, "shout": 40e-6}


class Priced(FakeBackend):
    """A place that says what a month costs: by the token, and a dollar a day for a tuned model."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, estimates=frozenset({"gpu", "probe", "upkeep"}))

    def resolve(self, job: Job, *, gpu: str | None = None) -> Resolved:
        return super().resolve(job)

    def estimate(self, resolved: Resolved, *, gpu: str | None = None, probe: bool = False) -> Estimate:
        basis = f"on {gpu}{' after a probe' if probe else ''}" if gpu else "no machine of your own is used"
        charge = Range(3.0, 4.0, 6.0, "USD", "a price of 2026-08-01")
        return replace(super().estimate(resolved), charge=charge, machine=Range.exactly(0.0, "USD", basis))

    def upkeep(self, base: str, usage: Usage, *, tuned: bool) -> Upkeep:
        each = USD[base] * (usage.input_tokens + 4 * usage.output_tokens) * usage.answers
        said = f"${1e6 * USD[base]:g} for a million tokens"
        hosting = Range.exactly(30.0 if tuned else 0.0, "USD", "a dollar a day" if tuned else "it is there for all")
        return Upkeep(Range(0.9 * each, each, 1.2 * each, "USD", said), hosting, ("as of 2026-08-01",))


class Speechless(FakeBackend):
    """A place that cannot say what a month costs."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, estimates=frozenset())


def missing() -> Any:
    raise ModuleNotFoundError("No module named 'tocrh'", name="tocrh")


@pytest.fixture
def finetune(finetune: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    places = {"priced": lambda: Priced, "fake": lambda: Speechless, "lacking": missing}
    points = [SimpleNamespace(name=name, load=load) for name, load in places.items()]
    monkeypatch.setattr(finetune_sdk.backend, "entry_points", lambda group: points)
    return finetune


def estimate(finetune: Shell, *args: str, place: str = "priced") -> Any:
    ended = finetune("estimate", "job.yaml", "--json", *args, FINETUNE_BACKEND=place)
    assert ended.status == 0, ended.err
    return ended.value


def refused(finetune: Shell, *args: str, place: str = "priced") -> str:
    ended = finetune("estimate", "job.yaml", "--json", *args, FINETUNE_BACKEND=place)
    assert ended.status in (1, 2), ended.out
    assert ended.value["error"]["cure"]
    return f"{ended.value['error']['message']} {ended.value['error']['cure']}"


def test_a_card_and_a_probe_reach_the_place(finetune: Shell) -> None:
    value = estimate(finetune, "--gpu", "H100 80GB", "--probe")
    assert value["estimate"]["machine"]["basis"] == "on H100 80GB after a probe"
    assert "no estimate of the kind 'gpu'" in (said := refused(finetune, "--gpu", "H100", place="fake"))
    assert "ask without a card" in said


def test_places_stand_side_by_side_and_what_one_refuses_is_its_own_affair(finetune: Shell) -> None:
    value = estimate(finetune, "--compare", "priced,lacking,fake")
    priced, lacking, fake = value["places"]
    assert [one["place"] for one in value["places"]] == ["priced", "lacking", "fake"]
    assert priced["estimate"]["charge"]["high"] == 6.0
    assert fake["estimate"]["charge"]["high"] == 0.0
    assert (lacking["estimate"], lacking["error"]["cure"]) == (None, "pip install 'finetune-anywhere[lacking]'")
    shown = finetune("estimate", "job.yaml", "--compare", "priced,lacking,fake").out
    assert "tocrh" in shown
    assert "$3.00 - $6.00" in shown
    assert "fake: the machine is unknown" in shown


def test_a_month_at_each_place(finetune: Shell) -> None:
    priced, fake = estimate(finetune, "--compare", "priced,fake", "--answers", "1000")["places"]
    assert priced["upkeep"]["hosting"]["expected"] == 30.0
    assert fake["upkeep"]["inference"]["expected"] is None
    assert "no estimate of the kind 'upkeep'" in fake["upkeep"]["inference"]["basis"]


def test_a_card_is_asked_of_the_places_that_know_cards(finetune: Shell) -> None:
    priced, fake = estimate(finetune, "--compare", "priced,fake", "--gpu", "A100")["places"]
    assert priced["estimate"]["machine"]["basis"] == "on A100"
    assert "no estimate of the kind 'gpu'" in fake["notes"][0]


def test_where_no_place_takes_the_job_the_command_fails_with_every_reason(finetune: Shell) -> None:
    finetune.write("finetune.toml", '[backends.fake]\nwithout = ["sft"]\n')
    said = refused(finetune, "--compare", "fake,lacking")
    assert "fake: fake cannot do SFT" in said
    assert "lacking: tocrh" in said


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("priced,priced", "stands twice"), ("priced,prcied", "use 'priced'"), ("priced,,fake", "empty name"), ("", "empty name"),
    ],
)  # fmt: skip
def test_names_of_places_that_make_no_sense_are_refused(finetune: Shell, names: str, said: str) -> None:
    assert said in refused(finetune, "--compare", names)


def test_the_place_that_is_asked_for_stands_first(finetune: Shell) -> None:
    value = estimate(finetune, "--compare", "fake", "--backend", "priced")
    assert [one["place"] for one in value["places"]] == ["priced", "fake"]


def test_the_tokens_of_an_answer_are_those_of_the_held_out_rows(finetune: Shell) -> None:
    usage = estimate(finetune, "--answers", "10")["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (7, 3)  # words, and the end of each turn
    assert "tickets.jsonl" in usage["basis"]
    given = estimate(finetune, "--answers", "10", "--output-tokens", "200")["usage"]
    assert (given["input_tokens"], given["output_tokens"]) == (7, 200)


def test_a_bigger_model_and_a_longer_prompt_are_broken_even_with(finetune: Shell) -> None:
    value = estimate(
        finetune, *BIG, "--prompt-tokens", "1800", "--hours", "8", "--retraining-hours", "2", "--usd-per-hour", "90",
        "--storage", "2", "--retrainings", "2", "--months", "24",
    )["break_even"]  # fmt: skip
    assert value["up_front"]["total"]["high"] == 726
    assert set(value["month"]) == {"inference", "hosting", "storage", "retraining", "people", "total"}
    longer, big = value["against"]
    assert (longer["name"], big["name"]) == ("echo with 1,800 more tokens of prompt", "shout at priced")
    assert longer["month"]["expected"] == pytest.approx(4e-6 * (1807 + 12) * 50_000)
    assert big["month"]["expected"] == pytest.approx(40e-6 * 19 * 50_000)
    assert longer["months"]["low"] <= longer["months"]["expected"] <= longer["months"]["high"]
    assert len(value["over_time"]) == 25


def test_the_job_file_says_it_too_and_options_go_over_it(finetune: Shell) -> None:
    more = "break_even:\n  answers: 50000\n  hours: 8\n  usd_per_hour: 90\n  against: {big: {model: shout, backend: priced}}\n"
    finetune.write("job.yaml", JOB + more)
    plan = estimate(finetune)["break_even"]
    assert plan["plan"]["answers"] == 50_000
    assert plan["against"][0]["name"] == "big"
    over = estimate(finetune, "--answers", "9", "--hours", "1")["break_even"]["plan"]
    assert (over["answers"], over["hours"], over["usd_per_hour"]) == (9, 1, 90)


def test_a_misspelt_key_of_the_table_is_named(finetune: Shell) -> None:
    finetune.write("job.yaml", JOB + "break_even: {answers: 5, storrage: 3}\n")
    assert "did you mean `storage`" in refused(finetune)


@pytest.mark.parametrize(
    "wrong",
    [
        "answers: 0",
        "answers: -1",
        "answers: .nan",
        "answers: 5, months: 0",
        "answers: 5, hours: -2",
        "answers: 1e200",
        "answers: 5, months: 601",
        "storage: 5",
    ],
)
def test_nonsense_in_the_table_is_refused(finetune: Shell, wrong: str) -> None:
    finetune.write("job.yaml", JOB + f"break_even: {{{wrong}}}\n")
    assert "break_even" in refused(finetune)


def test_an_unknown_price_is_unknown_and_says_what_to_give(finetune: Shell) -> None:
    value = estimate(finetune, *BIG, place="fake")["break_even"]
    assert value["month"]["total"]["expected"] is None
    assert value["against"][0]["months"] is None
    assert "no price per hour is set" in value["against"][0]["sentence"]
    shown = finetune("estimate", "job.yaml", *BIG).out
    assert "$0.00" not in shown.partition("the tuned model")[2].partition("Against")[0].partition("costs a month")[0]


def test_a_rival_of_which_nothing_is_known_is_unknown_and_the_others_are_not(finetune: Shell) -> None:
    big, lacking = estimate(finetune, *BIG, "--against", "any@lacking")["break_even"]["against"]
    assert big["months"] is not None
    assert lacking["months"] is None
    assert "pip install" in lacking["sentence"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--answers", "0"), "--answers 0"), (("--answers", "-5"), "--answers -5"), (("--answers", "nan"), "--answers nan"),
        (("--answers", "inf"), "--answers inf"), (("--hours", "8"), "--answers N"), (("--plot", "a.svg"), "--answers N"),
        ((*BIG, "--hours", "8"), "give usd_per_hour"), ((*BIG, "--hours", "nan", "--usd-per-hour", "9"), "--hours nan"),
        ((*BIG, "--storage", "-1"), "--storage -1"), ((*BIG, "--months", "0"), "months = 0"),
        ((*BIG, "--prompt-tokens", "0"), "--prompt-tokens 0"),
        ((*BIG, "--against", "shout@priced"), "compared with twice"),
        (("--answers", "5", "--against", "echo"), "is the base itself"),
        (("--answers", "5", "--against", "echo@priced"), "is the base itself"),
        (("--answers", "5", "--against", "shout@prcied"), "use 'priced'"),
        (("--answers", "5", "--against", "@priced"), "names no model"),
        (("--answers", "5", "--against", "shout@"), "names no model"),
        ((*BIG, "--plot", "a.png"), "a.png does not end in .svg"),
        ((*BIG, "--plot", "nowhere/a.svg"), "cannot be written"),
        ((*BIG, "--compare", "priced,fake"), "--against is about one place"),
        (("--answers", "5", "--compare", "priced,fake", "--plot", "a.svg"), "--plot is about one place"),
        (("--answers", "1e300"), "at most 1e+12"), ((*BIG, "--months", "1000000000"), "600 or less"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_its_name(finetune: Shell, args: tuple[str, ...], said: str) -> None:
    assert said in refused(finetune, *args)
    assert not (finetune.folder / "a.svg").exists()


def test_rows_without_answers_want_the_tokens_to_be_given(finetune: Shell) -> None:
    finetune.write("texts.jsonl", "".join(json.dumps({"text": f"text number {n}"}) + "\n" for n in range(40)))
    finetune.write("job.yaml", "name: t\ntrain: texts.jsonl\nmethod: {kind: pretraining}\n")
    finetune.write("finetune.toml", "")
    with pytest.MonkeyPatch.context() as now:
        able = FakeBackend.capabilities.fget  # type: ignore[attr-defined]
        now.setattr(
            FakeBackend, "capabilities", property(lambda self: replace(able(self), methods=frozenset({"pretraining"})))
        )
        assert "--input-tokens" in refused(finetune, "--answers", "5")
        assert (
            estimate(finetune, "--answers", "5", "--input-tokens", "9", "--output-tokens", "9")["usage"]["input_tokens"]
            == 9
        )


def test_the_plot_and_the_page_hold_what_was_found(finetune: Shell) -> None:
    finetune(
        "estimate",
        "job.yaml",
        *BIG,
        "--prompt-tokens",
        "900",
        "--plot",
        "a.svg",
        "--markdown",
        "a.md",
        FINETUNE_BACKEND="priced",
    )
    drawn = ElementTree.parse(finetune.folder / "a.svg").getroot()
    texts = [element.text or "" for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "triage: what 50,000 answers a month cost"
    assert any(text.startswith("shout at priced: $") and "paid back" in text for text in texts)
    page = (finetune.folder / "a.md").read_text("utf-8")
    assert "## Break-even" in page
    assert "Against shout at priced, tuning" in page
    finetune("estimate", "job.yaml", "--compare", "priced,fake,lacking", "--markdown", "b.md")
    assert "| priced | fake | lacking |" in (finetune.folder / "b.md").read_text("utf-8")


def test_there_is_no_plot_of_what_nobody_knows(finetune: Shell) -> None:
    assert "nothing to draw" in refused(finetune, "--answers", "5", "--plot", "a.svg", place="fake")


def test_parts_add_up_in_what_is_answered(finetune: Shell) -> None:
    value = estimate(finetune, *BIG, "--hours", "3", "--usd-per-hour", "70", "--storage", "1.5", "--hosting", "12")[
        "break_even"
    ]
    for parts in (value["up_front"], value["month"]):
        total = parts.pop("total")
        for end in ("low", "expected", "high"):
            assert math.isclose(total[end], sum(part[end] for part in parts.values()))


def test_what_will_run_is_said_in_words() -> None:
    from finetune_sdk.cli.estimate import resolved_in_words

    grader = {"kind": "exact_match", "field": "answer", "ignore": [], "weight": 0.5}
    method = {"kind": "rft", "graders": [grader, {"kind": "length"}], "learning_rate": 1e-05, "guards": {}}
    said = resolved_in_words({"base": "tiny", "method": method, "adapter": {"kind": "lora", "targets": ["q", "v"]}})
    assert said == (
        "base tiny, rft (graders exact_match (field answer, weight 0.5) and length, learning_rate 1e-05, guards none), lora (targets q and v)"
    )
