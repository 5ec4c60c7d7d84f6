"""Each benchmark at toy size: it runs, and says what its table promises. The figures themselves are `make bench`'s."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import checks, dataset, gpu, imports
from benchmarks.__main__ import NAMES, main
from benchmarks.child import call
from benchmarks.figures import Spread, markdown, plain
from benchmarks.machine import heading, machine
from benchmarks.page import PAGE, replaced
from benchmarks.turns import Turns


def test_the_page_has_a_place_for_each_benchmark_and_only_that_is_replaced() -> None:
    page = PAGE.read_text("utf-8")
    for name in NAMES:
        changed = replaced(page, name, "| a table |")
        assert f"<!-- bench:{name} -->\n| a table |\n<!-- /bench:{name} -->" in changed
        assert changed.partition("<!-- bench")[0] == page.partition("<!-- bench")[0]
    with pytest.raises(ValueError, match="no marks"):
        replaced(page, "unheard", "")


def test_a_table_shows_the_spread_and_json_holds_it() -> None:
    rows = [{"what": "a", "× trl": Spread.of_ratios([4.0, 9.0, 10.0], [2.0, 3.0, 4.0]), "met": True}]
    assert markdown(rows).splitlines()[-1] == "| a | 2.50 (2.00-3.00) | yes |"
    assert plain(rows)[0]["× trl"] == {"median": 2.5, "min": 2.0, "max": 3.0, "count": 3}


def test_the_heading_names_the_machine_the_date_and_the_versions() -> None:
    found = machine()
    said = heading(found)
    assert found["date"] in said
    assert f"torch {found['versions']['torch']}" in said
    assert "cores" in said


def test_only_one_of_two_loops_moves_at_a_time() -> None:
    turns, moving, order = Turns("a", "b", chunk=2, pairs=2), threading.Lock(), list[str]()

    def loop(name: str) -> None:
        for _ in range(turns.steps):
            assert moving.acquire(blocking=False)
            order.append(name)
            moving.release()
            turns.step(name)

    turns.run({"a": lambda: loop("a"), "b": lambda: loop("b")})
    assert "".join(order) == "aabb" "bbaa" "aabb"  # fmt: skip # noqa: ISC001
    assert {name: len(times) for name, times in turns.seconds.items()} == {"a": 2, "b": 2}


def test_a_loop_that_fails_ends_the_other() -> None:
    turns = Turns("a", "b", chunk=1, pairs=1)

    def fails() -> None:
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        turns.run({"a": fails, "b": lambda: turns.step("b")})


def test_a_child_has_a_peak_of_its_own(tmp_path: Path) -> None:
    held = bytearray(200_000_000)
    held[::4096] = b"x" * len(held[::4096])
    path = tmp_path / "rows.jsonl"
    dataset.write(path, 100)
    assert call("dataset", "pass_over", path=str(path)).peak_bytes < 150_000_000


def test_dataset(tmp_path: Path) -> None:
    path, again = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    assert dataset.write(path, 2000) == dataset.write(again, 2000)
    assert path.read_bytes() == again.read_bytes()
    [row] = dataset.measure(rows=2000, repeats=2)
    assert row["rows"] == 2000
    assert row["rows/s"].low > 0
    assert 900 < row["GB"] * 1e9 / 2000 < 1200


def test_checks() -> None:
    found = checks.measure(rows=2000)
    assert [row["what"] for row in found] == ["structure", "near duplicates", "all checks"]
    assert [row["findings"] > 0 for row in found] == [False, True, True]


def test_imports() -> None:
    package, first_use = imports.measure(repeats=3)
    assert package["ms above a bare interpreter"].median < first_use["ms above a bare interpreter"].median
    assert package["third-party modules"] == "none"


def test_imports_load_no_vendor() -> None:
    assert not {"torch", "transformers", "openai", "pydantic"} & set(imports.third_party(imports.CASES[1][1]))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Two threads wait for each other at every product, which takes minutes where others use the cores."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # trl's and its dependencies' own
@pytest.mark.parametrize(("kind", "precompute"), [("sft", False), ("dpo", True)])
def test_training(kind: str, precompute: bool, one_thread: None) -> None:
    pytest.importorskip("trl")
    from benchmarks import training

    found = training.side_by_side("toy", kind, precompute, pairs=2)
    assert {name: len(times) for name, times in found["seconds"].items()} == {"ours": 2, "trl": 2}
    assert found["losses_apart"] <= training.AGREE


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_reinforcement(one_thread: None) -> None:
    pytest.importorskip("trl")
    from benchmarks import reinforcement

    found = reinforcement.side_by_side("toy", pairs=1)
    assert {name: len(times) for name, times in found["seconds"].items()} == {"ours": 1, "trl": 1}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_preparation(kind: str, one_thread: None) -> None:
    pytest.importorskip("trl")
    from benchmarks import preparation

    [row] = preparation.measure(pairs=1, cases=((("tickets", kind, 32)),))
    assert row["same ids and labels"]
    assert row["× trl"].count == 1


@pytest.mark.soak
def test_estimates() -> None:
    pytest.importorskip("torch")
    from benchmarks import estimates
    from benchmarks.estimated import Shape

    shape = Shape("sft", "lora", "short rows", 16, 2, 4, options={"threads": 1})
    rows = estimates.measure(shapes=(shape,), again=())
    (tokens,) = [row for row in rows if row["figure"] == "tokens and trained tokens"]
    assert tokens["met"], tokens
    assert {row["estimate"] for row in rows} >= {"as it comes", "after a probe"}


def test_estimates_are_summed_up() -> None:
    from benchmarks import estimates

    def outcome(actual: float) -> dict[str, Any]:
        ranges = {name: {"low": 8.0, "expected": 10.0, "high": 16.0} for name in ("time", "memory", "disk")}
        ranges |= {name: {"low": 5.0, "expected": 5.0, "high": 5.0} for name in ("tokens", "trained_tokens")}
        took = {**dict.fromkeys(("time", "memory", "disk"), actual), "tokens": 5, "trained_tokens": 5}
        return {"plain": ranges, "probed": ranges, "actual": took}

    every = [outcome(10.0), outcome(12.5), outcome(20.0)]
    row = estimates._of_all("plain", "time", every)
    assert (row["expected"], row["held"], row["met"]) == ("20.0%", "2 of 3", False)
    assert estimates._of_all("plain", "memory", every[:1])["met"]
    assert estimates._noise([every[:2]])["expected"] == "time 25.0%, memory 25.0%"
    assert estimates._tokens(every)["met"]


@pytest.mark.soak
def test_estimating() -> None:
    pytest.importorskip("torch")
    from benchmarks import estimating

    rows = estimating.measure(rows=40, repeats=1)
    assert [row["place"] for row in rows] == ["local"] * 4 + ["openai"] * 4


def test_answers() -> None:
    pytest.importorskip("openai")
    from benchmarks import answers

    [row] = answers.measure(cases=128, repeats=1, delays=(0.05,))
    assert row["s"].low > row["ideal s"]
    assert 0 < row["of the ideal"].median < 1


def test_evaluators() -> None:
    for library in ("sacrebleu", "rouge_score", "py3langid", "sqlglot", "defusedxml"):
        pytest.importorskip(library)
    from benchmarks import evaluators

    whole, schema, *each = evaluators.measure(cases=100, repeats=1)
    assert (whole["unit"], schema["unit"]) == ("s", "µs of CPU")
    assert whole["met"]
    assert {row["what"] for row in each} == set(evaluators.EACH)
    assert all(row["figure"].low > 0 for row in each)


def test_serve(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    pytest.importorskip("openai")
    from benchmarks import serve

    with serve.serving(tmp_path, "echo", "fake") as address:
        alone = serve.overheads(address, repeats=3, base="echo")
        crowd = serve.crowded(address, 20, 4, "echo")
        one, many = serve.batching(address, 8, 2, 4, "echo")
    assert len(alone["plain"]) == len(alone["official"]) == 3
    assert min(alone["plain"]) > 0
    assert crowd["errors"] == 0
    assert len(crowd["seconds"]) == 60
    assert one.low > 0
    assert many.low > 0


def test_the_command_prints_one_json_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "--rows", "200", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["benchmarks"]["dataset"]["rows"][0]["rows"] == 200
    assert said["machine"]["versions"]["python"] == sys.version.split()[0]


def test_an_unknown_benchmark_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["trainning"])
    assert "there is no benchmark 'trainning'" in capsys.readouterr().err


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_what_is_measured_on_a_card_can_be_measured_here(kind: str) -> None:
    (row,) = gpu.measure(cases=(("toy", kind, "lora"),), pairs=1, steps=2, device="cpu")
    assert row["losses apart by"] < gpu.APART
    assert row["of the card's matrix rate"] > 0
    assert row["peak GB"] > 0


def test_the_report() -> None:
    from benchmarks import report

    rows = {row["what"]: row["figure"] for row in report.measure(cases=60)}
    assert rows["the page (MB)"] < 1
    assert rows["writing the page (s)"] > 0
