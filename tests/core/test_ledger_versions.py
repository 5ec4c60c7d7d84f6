"""A ledger that an earlier version wrote is read by this one, and nothing of it is lost."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from finetune_sdk.errors import SettingsError
from finetune_sdk.ledger import Ledger

FIRST = Path(__file__).parent / "ledgers" / "version-1.sqlite"  # as version 1 left it: a run that succeeded, a doubt


@pytest.fixture
def ledger(home: Path) -> Ledger:
    home.mkdir()
    shutil.copy(FIRST, home / "ledger.sqlite")
    return Ledger(home)


def test_a_file_of_version_1_keeps_all_it_has(ledger: Ledger) -> None:
    with sqlite3.connect(FIRST) as old:
        before = old.execute("SELECT * FROM submissions ORDER BY token").fetchall()
        assert old.execute("PRAGMA user_version").fetchone() == (1,)
    with sqlite3.connect(ledger.path) as new:
        after = new.execute("SELECT * FROM submissions ORDER BY token").fetchall()
        assert new.execute("PRAGMA user_version").fetchone() == (2,)
    assert [row[: len(before[0])] for row in after] == before
    old.close()
    new.close()


def test_its_runs_have_no_cap_and_teach_nothing(ledger: Ledger) -> None:
    doubt, done = ledger.entries()
    assert (done.name, done.state, done.status, doubt.state) == ("numbers", "sent", "succeeded", "unknown")
    assert done.actual == {"time": 0.1, "memory": 1e6, "tokens": 288, "trained_tokens": 144, "charge": 0.002304}
    assert (done.max_cost, done.resumed, done.version) == (None, None, None)
    assert done.run
    ledger.cap("fake", done.run, 2.5)
    assert Ledger(ledger.path.parent).entries()[1].max_cost == 2.5


def test_a_file_of_a_later_version_is_left_alone(ledger: Ledger) -> None:
    with sqlite3.connect(ledger.path) as later:
        later.execute("PRAGMA user_version = 3")
    later.close()
    with pytest.raises(SettingsError, match="newer version"):
        Ledger(ledger.path.parent)
