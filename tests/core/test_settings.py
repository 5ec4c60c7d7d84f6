"""Settings: argument, environment, finetune.toml, in that order; a key that nothing reads is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune_sdk.backend import Place, open_backend
from finetune_sdk.client import Client
from finetune_sdk.errors import SettingsError
from finetune_sdk.settings import Settings


@pytest.fixture
def toml(home: Path) -> Path:
    path = home.parent / "finetune.toml"
    path.write_text('backend = "from-file"\n[backends.fake]\nbase = "shout"\n')
    return path


def test_the_argument_goes_before_the_environment_and_the_file(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().backend == "from-file"
    monkeypatch.setenv("FINETUNE_BACKEND", "from-environment")
    assert Settings.load().backend == "from-environment"
    assert Settings.load("from-argument").backend == "from-argument"
    assert Settings.load("from-argument").backend_from == "the argument"


def test_without_any_setting_jobs_run_here(home: Path) -> None:
    assert Settings.load().backend == "local"
    assert Settings.load().home == home


def test_the_file_is_found_in_a_folder_above(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = toml.parent / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert Settings.load().file == toml
    assert Settings.load().place("fake") == {"base": "shout"}


def test_another_file_can_be_named(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.toml"
    other.write_text('backend = "other"')
    assert Settings.load(file=other).backend == "other"
    monkeypatch.setenv("FINETUNE_CONFIG", str(other))
    assert Settings.load().backend == "other"


def test_home_is_the_argument_the_environment_or_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.parent / "finetune.toml").write_text('home = "/from/file"')
    assert Settings.load(home="/from/argument").home == Path("/from/argument")
    assert Settings.load().home == home
    monkeypatch.delenv("FINETUNE_HOME")
    assert Settings.load().home == Path("/from/file")


@pytest.mark.parametrize(
    ("text", "said", "cure"),
    [
        ('bakend = "local"', "'bakend' is read by nothing", "`backend`"),
        ("backend = 3", "`backend` is not text", 'backend = "local"'),
        ("home = 3", "`home` is not text", "home"),
        ("backends = 3", "not a table of tables", "[backends.local]"),
        ('[backends]\nlocal = "x"', "not a table of tables", "[backends.local]"),
        ("backend = ", "is not TOML", "mend"),
    ],
)
def test_a_wrong_file_is_named_with_its_cure(home: Path, text: str, said: str, cure: str) -> None:
    (home.parent / "finetune.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        Settings.load(home="/somewhere" if "home" not in text else None, environment={})
    assert "finetune.toml" in caught.value.message
    assert said in caught.value.message
    assert cure in str(caught.value.cure)


def test_a_file_that_is_not_there_is_an_error(home: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        Settings.load(file="nowhere.toml")


def test_an_unknown_backend_names_the_nearest(home: Path) -> None:
    with pytest.raises(SettingsError, match="there is no backend 'fak'; installed are") as caught:
        Client("fak").backend  # noqa: B018
    assert caught.value.cure == "use 'fake'"


def test_two_places_can_be_of_one_kind(home: Path) -> None:
    place = Place("second", {"kind": "fake", "base": "shout"}, home)
    assert open_backend(place).counter("shout").exact is False


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        ({"second": 1}, "did you mean 'seconds'?"),
        ({"seconds": -1}, "give a number of 0 or more"),
        ({"seconds": "long"}, "give a number of 0 or more"),
        ({"hang_up": "often"}, 'give "before" or "after"'),
        ({"adapter": {"kind": "lara"}}, "kinds are lora, qlora, full"),
        ({"adapter": {"kind": "lora", "rang": 3}}, "rang"),
        ({"sft": {"learning_rate_multipler": 2}}, "did you mean 'learning_rate_multiplier'?"),
        ({"priced": "yesterday"}, "give a date"),
    ],
)
def test_an_option_that_the_fake_does_not_have_is_refused(home: Path, options: dict[str, object], cure: str) -> None:
    with pytest.raises(SettingsError, match=r"\[backends.fake\]") as caught:
        open_backend(Place("fake", options, home))
    assert cure in str(caught.value.cure)


def test_how_many_answers_stay_is_set_in_the_file_or_the_environment(
    toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings.load().answers_kept_mb == 1024
    toml.write_text("answers_kept_mb = 50\n")
    assert Settings.load().answers_kept_mb == 50
    monkeypatch.setenv("FINETUNE_ANSWERS_KEPT_MB", "0")
    assert Settings.load().answers_kept_mb == 0


@pytest.mark.parametrize("given", ["-1", "1.5", "true", '"much"'])
def test_a_size_of_no_sense_is_refused(toml: Path, given: str) -> None:
    toml.write_text(f"answers_kept_mb = {given}\n")
    with pytest.raises(SettingsError, match="answers_kept_mb"):
        Settings.load()
