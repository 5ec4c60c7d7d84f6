"""A run of an evaluation against a real place: killed anywhere it goes on, it stays within its cap, and it is kept busy."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import finetune_sdk as ft
from protocol_data import chats
from provider import Provider

CHAT = "/chat/completions"
CASES, AT_ONCE = 150, 8
PROGRAM = """
import sys
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


def evaluation(home: Path, provider: Provider) -> subprocess.Popen[bytes]:
    """The same program each time, in a process of its own."""
    folder = home.parent
    (folder / "finetune.toml").write_text(
        f'backend = "mine"\n[backends.mine]\nkind = "openai"\nbase_url = "{provider.url}"\n'
        f'api_key_env = "TEST_PROVIDER_KEY"\nat_once = {AT_ONCE}\n'
    )
    if not (folder / "cases.jsonl").exists():
        chats(CASES).save(folder / "cases.jsonl")
    return subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=folder, env={**os.environ, "FINETUNE_HOME": str(home)})


def test_killed_at_any_moment_no_finished_case_is_asked_again(home: Path, provider: Provider) -> None:
    provider.answers_after = 0.02
    draw = random.Random(7)
    before = 0
    for _ in range(4):
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
    assert there >= before - 4 * AT_ONCE, "at most what was under way when it was killed was lost"
    assert evaluation(home, provider).wait() == 0
    assert len(provider.posts(CHAT)) == before + CASES - there
    report = ft.Report.load(home.parent / "report.json").to_dict()
    assert [row["answers"]["base"]["error"] for row in report["examples"]] == [None] * CASES
    assert report["models"][0]["kept"] == there
    assert any(f"{there} of {CASES} answers of base were kept" in note for note in report["notes"])
