"""Estimate against actual: what is kept of each run, what errors it tells, and what the next estimate learns from it."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

import finetune_sdk
import finetune_sdk as ft
from finetune_sdk.history import VERSION, Compared, Key, compared, corrected, learned, summaries, teaching
from finetune_sdk.ledger import Entry
from finetune_sdk.testing import FakeBackend
from place import Open

RESOLVED = {
    "base": "echo", "method": {"kind": "sft"}, "adapter": {"kind": "lora"}, "own": {"device": "cpu", "dtype": "float32"}
}  # fmt: skip
KEY = Key.of(RESOLVED)
NUMBERS = count(1)


def figure(expected: float | None, unit: str, width: float = 1.5) -> ft.Range:
    if expected is None:
        return ft.Range.unknown(unit, "nobody knows")
    return ft.Range(expected / width, expected, expected * width, unit, "so it is reckoned")


def estimate(seconds: float = 100.0, memory: float = 1e9, usd_an_hour: float | None = None) -> ft.Estimate:
    time = figure(seconds, "s")
    return ft.Estimate(
        tokens=ft.Range.exactly(1000, "tokens", "all counted"),
        trained_tokens=ft.Range.exactly(500, "tokens", "all counted"),
        charge=ft.Range.exactly(0.0, "USD", "own hardware"),
        time=time,
        memory=figure(memory, "bytes"),
        disk=figure(1e6, "bytes"),
        machine=figure(seconds * usd_an_hour / 3600 if usd_an_hour else None, "USD"),
    )


def ran(made: ft.Estimate, took: Mapping[str, float], resolved: Mapping[str, Any] = RESOLVED, **more: Any) -> Entry:
    number = next(NUMBERS)
    return replace(
        Entry(
            token=str(number), place="local", fingerprint=str(number), name="numbers", attempt=1, state="sent",
            run=f"run{number}", status="succeeded", created=number, updated=number, resolved=resolved,
            estimate=made.to_dict(), actual={"tokens": 1000.0, **took}, sketch=(), resumed=False, version="0.1",
        ),
        **more,
    )  # fmt: skip


def taught(made: ft.Estimate, past: list[Entry]) -> ft.Estimate:
    return learned(made, teaching(past[::-1], "0.1"), KEY)


# -- what is told -------------------------------------------------------------------------------------------------------


def test_each_figure_that_was_estimated_and_measured_stands_beside_its_error() -> None:
    (row,) = [one for one in compared([ran(estimate(), {"time": 120.0})]) if one.figure == "time"]
    assert (row.run.split(":")[0], row.actual, row.held) == ("local", 120.0, True)
    assert row.error == pytest.approx(0.2)
    assert {one.figure for one in compared([ran(estimate(), {"time": 120.0, "charge": 0.0})])} == {
        "tokens", "charge", "time"
    }  # fmt: skip


def test_a_run_without_an_end_or_a_figure_is_not_compared() -> None:
    for status in ("failed", "cancelled", "running", None):
        assert compared([ran(estimate(), {"time": 1.0}, status=status)]) == []
    assert compared([ran(estimate(), {}, actual=None)]) == []


def test_errors_are_summed_up_by_figure_and_kind_of_estimate() -> None:
    seconds = (80.0, 100.0, 110.0, 400.0)
    past = [ran(estimate(), {"time": each}) for each in seconds]
    past += [ran(replace(estimate(), kind="probe"), {"time": 100.0})]
    found = {(one.figure, one.kind): one for one in summaries(compared(past))}
    plain, probed = found["time", ""], found["time", "probe"]
    assert (plain.runs, plain.held) == (4, 0.75)
    assert plain.error == pytest.approx(0.05)
    assert plain.size == pytest.approx(0.15)
    assert (probed.runs, probed.error, probed.held) == (1, 0.0, 1.0)


def test_what_costs_nothing_and_cost_nothing_was_no_error_and_what_cost_something_has_no_ratio() -> None:
    free = ft.Range.exactly(0.0, "USD", "own hardware")
    one = Compared("local:1", "numbers", 0.0, "", "charge", free, 0.0, None)
    assert (one.error, one.held) == (0.0, True)
    assert (replace(one, actual=1.0).error, replace(one, actual=1.0).held) == (None, False)


# -- what is learnt -----------------------------------------------------------------------------------------------------


def test_a_constant_error_is_learnt_and_never_compounds() -> None:
    past = list[Entry]()
    for number in range(1, 41):
        made = taught(estimate(), past)
        assert made.time.expected == pytest.approx(
            100 * 1.5 ** ((number - 1) / (number + 1) if number > 1 else 0), rel=0.02
        )
        past.append(ran(made, {"time": 150.0, "memory": 0.8e9}))
    last = taught(estimate(), past)
    assert last.time.expected == pytest.approx(150.0, rel=0.05)
    assert last.memory.expected == pytest.approx(0.8e9, rel=0.05)
    assert last.time.holds(150.0)
    assert last.memory.holds(0.8e9)
    assert last.uncorrected["time"] == estimate().time
    assert "corrected by ×1.45 from 20 runs like it" in last.time.basis
    assert (last.tokens, last.charge, last.disk) == (estimate().tokens, estimate().charge, estimate().disk)


def test_one_run_moves_an_estimate_by_a_third_of_what_it_tells() -> None:
    made = taught(estimate(), [ran(estimate(), {"time": 150.0})])
    assert made.time.expected == pytest.approx(100 * 1.5 ** (1 / 3))
    assert made.time.low is not None
    assert made.time.high is not None
    assert made.time.high / made.time.low == pytest.approx(1.5**2)


def test_a_single_outlier_among_many_changes_little_and_no_factor_is_wild() -> None:
    past = [ran(estimate(), {"time": each}) for each in (99.0, 100.0, 101.0, 5000.0, 100.0)]
    assert taught(estimate(), past).time.expected == pytest.approx(100, rel=0.01)
    mad = [ran(estimate(), {"time": 9000.0}) for _ in range(20)]
    assert taught(estimate(), mad).time.expected == 200.0
    assert taught(estimate(), mad).time.holds(9000.0)


@pytest.mark.parametrize("runs", [5, 10, 20])
def test_a_range_narrows_to_what_runs_scattered_and_still_holds_nine_of_ten(runs: int) -> None:
    source, held, widths = random.Random(7), 0, list[float]()
    wide = figure(100.0, "s", 2.5)
    for _ in range(400):
        ratios = [source.lognormvariate(math.log(1.3), 0.1) for _ in range(runs + 1)]
        made = corrected(wide, ratios[1:])
        assert made.low is not None
        assert made.high is not None
        held += made.holds(100.0 * ratios[0])
        widths.append(made.high / made.low)
        assert made.low <= 100 * min(ratios[1:])
        assert made.high >= 100 * max(ratios[1:])
    assert held / 400 >= 0.87
    assert sum(widths) / 400 < 0.4 * 2.5**2


def test_few_runs_do_not_narrow_a_range() -> None:
    made = corrected(figure(100.0, "s", 2.0), [1.3, 1.3, 1.3, 1.3])
    assert made.low is not None
    assert made.high is not None
    assert made.high / made.low == pytest.approx(4.0)


@pytest.mark.parametrize(
    "other",
    [
        {"status": "cancelled"}, {"status": "failed"}, {"resumed": True}, {"resumed": None}, {"version": "0.0"},
        {"version": None}, {"actual": None}, {"actual": {"time": 150.0, "tokens": 400.0}},
        {"estimate": replace(estimate(), kind="probe").to_dict()},
    ],
    ids=lambda other: " ".join(other) + str(*other.values())[:12],
)  # fmt: skip
def test_what_did_not_go_through_in_one_go_as_estimated_here_does_not_teach(other: Mapping[str, Any]) -> None:
    assert taught(estimate(), [ran(estimate(), {"time": 150.0}, **other)]) == estimate()


def test_runs_of_another_base_teach_only_where_none_of_the_same_does_and_another_device_never() -> None:
    other = [ran(estimate(), {"time": 200.0}, {**RESOLVED, "base": "other"}) for _ in range(3)]
    same = [ran(estimate(), {"time": 100.0})]
    assert taught(estimate(), other).time.expected == pytest.approx(100 * 2 ** (3 / 5))
    assert taught(estimate(), other + same).time.expected == pytest.approx(100.0)
    for strange in ({"own": {"device": "cuda", "dtype": "float32"}}, {"method": {"kind": "dpo"}}):
        assert taught(estimate(), [ran(estimate(), {"time": 200.0}, {**RESOLVED, **strange})]) == estimate()


def test_a_notebook_shows_an_estimate_as_a_table_and_runs_nothing_in_it() -> None:
    shown = replace(estimate(), notes=("<script>alert(1)</script> fits",))._repr_html_()
    assert shown.count("<tr>") == 1 + len(ft.Estimate.RANGES)
    assert "so it is reckoned" in shown
    assert "<script>" not in shown
    columns = {
        line.index(basis)
        for line in str(estimate()).splitlines()
        for basis in ("so it is", "all counted")
        if basis in line
    }
    assert len(columns) == 1, "what each rests on stands below each other"


def test_what_ran_on_another_machine_teaches_nothing() -> None:
    """A home on a disk that machines share knows runs of each of them."""
    here, there = (replace(estimate(), on=machine) for machine in ("one H100", "eight H100, 8 processes"))
    past, key = [ran(here, {"time": 200.0})] * 5, Key.of(RESOLVED, "one H100")
    assert learned(here, teaching(past, "0.1"), key).uncorrected
    assert learned(there, teaching(past, "0.1"), Key.of(RESOLVED, there.on)) == there
    assert ft.Estimate.from_dict(here.to_dict()) == here


def test_what_is_reckoned_from_time_moves_with_it() -> None:
    made = taught(estimate(usd_an_hour=36.0), [ran(estimate(), {"time": 150.0})])
    assert made.time.expected is not None
    assert made.time.high is not None
    assert made.machine.expected == pytest.approx(made.time.expected / 100)
    assert made.machine.high == pytest.approx(made.time.high / 100)
    assert "machine" in made.uncorrected


# -- through the client -------------------------------------------------------------------------------------------------


def submitted(client: ft.Client, job: ft.Job, runs: int) -> None:
    for seed in range(runs):
        client.submit(replace(job, seed=100 + seed)).wait(10, progress=False)


def test_a_clients_estimates_learn_from_its_runs_and_the_ledger_keeps_what_the_place_said(
    at: Open, job: ft.Job
) -> None:
    client = at(seconds=0.05, slow=2.0)
    raw = client.estimate(job)
    assert raw.uncorrected == {}
    submitted(client, job, 4)
    made = client.estimate(job)
    assert made.time.expected == pytest.approx(0.05 * 2 ** (4 / 6))
    assert made.uncorrected["time"] == raw.time
    run = client.submit(job)
    assert run.estimate == made
    assert ft.Estimate.from_dict(made.to_dict()) == made
    other = ft.Client(settings=replace(client.settings, backend="else", places={"else": {"kind": "fake"}}))
    assert other.estimate(job).uncorrected == {}


def test_what_teaches_was_estimated_by_this_minor_version() -> None:
    assert finetune_sdk.__version__.startswith(f"{VERSION}.")


def test_an_estimate_makes_no_ledger(at: Open, job: ft.Job) -> None:
    client = at()
    client.estimate(job)
    assert not (client.settings.home / "ledger.sqlite").exists()


def test_a_ledger_that_cannot_be_read_teaches_nothing_and_is_told(
    at: Open, job: ft.Job, caplog: pytest.LogCaptureFixture
) -> None:
    client = at()
    client.settings.home.mkdir()
    (client.settings.home / "ledger.sqlite").write_bytes(b"no database at all" * 100)
    assert client.estimate(job).time.known
    assert "is damaged" in caplog.text


def test_what_was_measured_just_now_learns_nothing_and_counts_under_its_own_kind(
    at: Open, job: ft.Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    able, plain, resolve = FakeBackend.capabilities, FakeBackend.estimate, FakeBackend.resolve
    monkeypatch.setattr(FakeBackend, "resolve", lambda self, job, **asked: resolve(self, job))
    monkeypatch.setattr(FakeBackend, "estimate", lambda self, resolved, **asked: plain(self, resolved))
    measures = property(lambda self: replace(able.__get__(self), estimates=frozenset({"gpu", "probe"})))
    monkeypatch.setattr(FakeBackend, "capabilities", measures)
    client = at(seconds=0.05, slow=2.0)
    first = client.submit(job, probe=True)
    first.wait(10, progress=False)
    assert first.estimate
    assert first.estimate.kind == "probe"
    assert client.estimate(job).uncorrected == {}
    submitted(client, job, 1)
    assert set(client.estimate(job).uncorrected) == {"time", "memory"}
    assert client.estimate(job, probe=True).uncorrected == {}
    assert client.estimate(job, gpu="H100 80GB").uncorrected == {}
    kinds = {one.kind: one.runs for one in summaries(compared(client.ledger.entries())) if one.figure == "time"}
    assert kinds == {"": 1, "probe": 1}


def test_a_run_that_was_resumed_does_not_teach(at: Open, job: ft.Job) -> None:
    client = at(seconds=0.2, slow=2.0, fails_at=0.5)
    run = client.submit(job)
    with pytest.raises(ft.RunError):
        run.wait(10, progress=False)
    run.resume().wait(10, progress=False)
    assert run.entry
    assert run.entry.resumed
    assert client.estimate(job).uncorrected == {}


def test_what_runs_took_is_found_out_where_nobody_asked(at: Open, job: ft.Job) -> None:
    client = at(seconds=0.4)
    runs = [client.submit(replace(job, seed=seed)) for seed in range(3)]
    runs[2].cancel()
    while not all(run.status.terminal for run in runs):
        time.sleep(0.02)
    assert [entry.actual for entry in client.ledger.entries()] == [None] * 3
    assert client.catch_up() == []
    assert sum(entry.actual is not None for entry in client.ledger.entries()) == 2


def test_what_cannot_be_asked_is_left_out_in_words(at: Open, job: ft.Job) -> None:
    client = at(seconds=0.05)
    run = client.submit(job)
    (client.settings.home / "fake" / "runs.sqlite").unlink()
    (said,) = client.catch_up()
    assert said.startswith(f"{run.id} (numbers) is left out: ")


@pytest.mark.parametrize("actual", [-5.0, math.nan, math.inf, "abc", True, 0.0, None, [1]])
def test_a_figure_that_makes_no_sense_teaches_nothing(actual: Any) -> None:
    made = estimate()
    past = [ran(made, {"time": actual, "memory": actual, "tokens": actual}) for _ in range(6)]
    assert taught(made, past) == made


def test_an_estimate_without_figures_teaches_nothing() -> None:
    made = estimate()
    assert taught(made, [ran(made, {"time": 50.0}, estimate={})]) == made


def test_a_run_that_took_days_does_not_make_the_next_range_absurd() -> None:
    made = ft.Range(60.0, 100.0, 150.0, "s", "so it is reckoned")
    for ratios in ([1.0] * 4 + [1e4], [1.0] * 4 + [1e-4]):
        found = corrected(made, ratios)
        assert found.low is not None
        assert found.expected is not None
        assert found.high is not None
        assert found.low >= 50
        assert found.high <= 200
        assert found.expected == pytest.approx(100.0)
