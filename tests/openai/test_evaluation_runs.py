"""A run of an evaluation against a real place: killed anywhere it goes on, it stays within its cap, and it is kept busy."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk.model import Identity
from finetune_sdk_openai.addresses import OPENAI, Address
from finetune_sdk_openai.models import ProtocolModel
from finetune_sdk_openai.options import Options
from opened import Opened
from protocol_data import chats
from provider import Provider

CHAT = "/chat/completions"
CASES, AT_ONCE = 150, 8
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
import finetune_sdk as ft

cases = ft.Dataset.load("cases.jsonl")
report = ft.Evaluation(cases, [ft.ExactMatch()]).run(base=ft.Client().model("tiny-test"))
report.save("report.json")
"""


def asked(provider: Provider) -> list[str]:
    return [str(seen.body["messages"][-1]["content"]) for seen in provider.posts(CHAT)]


def kept(home: Path) -> int:
    with sqlite3.connect(home / "answers.sqlite") as connection:
        return int(connection.execute("SELECT count(*) FROM kept").fetchone()[0])


def evaluation(home: Path, provider: Provider, stderr: int | None = None) -> subprocess.Popen[bytes]:
    """The same program each time, in a process of its own."""
    folder = home.parent
    (folder / "finetune.toml").write_text(
        f'backend = "mine"\n[backends.mine]\nkind = "openai"\nbase_url = "{provider.url}"\n'
        f'api_key_env = "TEST_PROVIDER_KEY"\nat_once = {AT_ONCE}\n'
    )
    if not (folder / "cases.jsonl").exists():
        chats(CASES).save(folder / "cases.jsonl")
    own = {**os.environ, "FINETUNE_HOME": str(home)}
    return subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=folder, env=own, stderr=stderr)


def test_killed_at_any_moment_no_finished_case_is_asked_again(home: Path, provider: Provider) -> None:
    provider.answers_after = 0.02
    draw = random.Random(7)
    before = 0
    for _ in range(3):
        process = evaluation(home, provider)
        until = before + draw.randint(1, 40)
        while len(provider.posts(CHAT)) < until and process.poll() is None:
            time.sleep(0.002)
        time.sleep(draw.random() * 0.03)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.1)
        before = len(provider.posts(CHAT))
    there = kept(home)
    assert there >= before - 3 * AT_ONCE, "at most what was under way when it was killed was lost"
    assert evaluation(home, provider).wait() == 0
    assert len(provider.posts(CHAT)) == before + CASES - there
    report = ft.Report.load(home.parent / "report.json").to_dict()
    assert [row["answers"]["base"]["error"] for row in report["examples"]] == [None] * CASES
    assert report["models"][0]["kept"] == there
    assert any(f"{there} of {CASES} answers of base were kept" in note for note in report["notes"])


def test_ctrl_c_says_how_to_go_on(home: Path, provider: Provider) -> None:
    provider.answers_after = 0.02
    process = evaluation(home, provider, stderr=subprocess.PIPE)
    while len(provider.posts(CHAT)) < 3 * AT_ONCE:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode != 0
    assert b"answers are kept; run the same evaluation again to go on where it was" in said
    before, there = len(provider.posts(CHAT)), kept(home)
    assert there >= 2 * AT_ONCE
    assert evaluation(home, provider).wait() == 0
    assert len(provider.posts(CHAT)) == before + CASES - there


def test_no_question_is_sent_before_the_last_answer_was_taken_in(at: Opened, provider: Provider) -> None:
    said = at(at_once=4).model("tiny-test").outcomes((f"question {n}", None) for n in range(50))  # type: ignore[attr-defined]
    next(said)
    until = time.monotonic() + 30
    while len(asked(provider)) < 4 and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.2)
    assert len(asked(provider)) == 4
    said.close()
    time.sleep(0.2)
    assert len(asked(provider)) == 4, "who goes away asks no more"


def test_a_question_that_cannot_be_put_ends_it(at: Opened, provider: Provider) -> None:
    model: Any = at(at_once=4).model("tiny-test")
    with pytest.raises(ft.UnsupportedError, match="temperature=3"):
        list(model.outcomes((f"question {n}", ft.Sampling(temperature=3 * (n == 20))) for n in range(50)))


def test_a_place_with_strict_limits_answers_everything_in_the_end(at: Opened, provider: Provider) -> None:
    """Ten at once, then 20 a second; it does not say how long to wait."""
    room, since, guard = 10.0, time.monotonic(), threading.Lock()

    def limit(verb: str, path: str) -> str | None:
        nonlocal room, since
        if path != CHAT:
            return None
        with guard:
            now = time.monotonic()
            room, since = min(10.0, room + 20 * (now - since)), now
            if room < 1:
                return "429"
            room -= 1
            return None

    provider.fault = limit
    model = at(at_once=32, patience=20.0).model("tiny-test")
    report = ft.Evaluation(chats(60), [ft.ExactMatch()]).run(base=model).to_dict()
    assert report["models"][0]["errors"] == 0
    refused = sum(seen.fault == "429" for seen in provider.posts(CHAT))
    assert refused < 120, "it is left alone between"


def test_a_place_that_refuses_for_ever_is_given_up_after_its_patience(at: Opened, provider: Provider) -> None:
    provider.fault = lambda verb, path: "429" if path == CHAT else None
    started = time.monotonic()
    report = ft.Evaluation(chats(30), [ft.ExactMatch()]).run(base=at(patience=1.0).model("tiny-test")).to_dict()
    assert report["models"][0]["errors"] == 30
    assert time.monotonic() - started < 60


def test_what_answers_cost_is_told_by_the_settings(at: Opened, home: Path) -> None:
    prices: dict[str, Any] = {"input_usd_per_million": 2.0, "output_usd_per_million": 8.0, "priced": date(2026, 11, 1)}
    model = at(usd_per_million=None, **prices).model("tiny-test")
    cost = ft.Evaluation(chats(10), [ft.ExactMatch()]).run(base=model).to_dict()["models"][0]["cost"]
    assert cost["per_1000"] == pytest.approx(1000 * (5 * 2.0 + 5 * 8.0) / 1e6)
    assert "as of 2026-11-01 (finetune.toml)" in cost["basis"]


def test_a_cap_stops_what_would_go_above_it(at: Opened, provider: Provider) -> None:
    prices: dict[str, Any] = {
        "input_usd_per_million": 2000.0,
        "output_usd_per_million": 8000.0,
        "priced": date(2026, 11, 1),
    }
    model = at(usd_per_million=None, **prices).model("tiny-test")
    evaluated = ft.Evaluation(chats(60), [ft.ExactMatch()], sampling=ft.Sampling(max_tokens=10))
    with pytest.raises(ft.BudgetError, match="answers are there"):
        evaluated.run(max_cost=2, base=model)
    assert 10 < len(asked(provider)) <= 40, "each costs 5 cents, and may cost some 45"
    evaluated.run(max_cost=10, base=model)
    assert Counter(asked(provider)) == Counter(f"What is {n} and {n}?" for n in range(60))


def test_a_cap_without_a_price_asks_nothing(at: Opened, provider: Provider) -> None:
    with pytest.raises(ft.BudgetError, match="input_usd_per_million"):
        ft.Evaluation(chats(9), [ft.ExactMatch()]).run(max_cost=1, base=at(usd_per_million=None).model("tiny-test"))
    assert asked(provider) == []


@pytest.mark.parametrize(
    ("name", "url", "lasting", "told"),
    [
        ("gpt-4.1-mini-2025-04-14", OPENAI, True, None),
        ("ft:gpt-4.1-mini-2025-04-14:me::x", OPENAI, True, None),
        ("gpt-4.1-mini", OPENAI, False, None),
        ("o4-mini-2025-04-16", OPENAI, False, None),
        ("gpt-4.1-mini-2025-04-14", "http://127.0.0.1:8000/v1", False, None),
        ("mine", "http://127.0.0.1:8000/v1", True, True),
        ("gpt-4.1-mini-2025-04-14", OPENAI, False, False),
    ],
)
def test_only_a_name_that_will_mean_the_same_model_lasts(name: str, url: str, lasting: bool, told: bool | None) -> None:
    options = Options(kind="openai", base_url=url, lasting=told)
    model = ProtocolModel(name, ft.Origin("mine", name), Address.read(options, "mine"), options, name)
    assert model.identity == Identity(f"{url} {name}", lasting)
