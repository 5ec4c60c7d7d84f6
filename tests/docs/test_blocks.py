"""What the pages show works: their Python runs, their commands exist, their settings and job files are read.

The blocks of a page run in order, in one namespace, in a folder that holds the example data and the page's own
finetune.toml. The contract's page and that of the command line have tests of their own, which go further.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import tomllib
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml

import finetune_sdk as ft
from finetune_sdk.backend import open_backend
from pages import PAGES, ROOT, Block, Folder, all_blocks, blocks, commands, settings, trains_here

ELSEWHERE = {"backend-contract.md": "core/test_contract_page.py"}
WITH_CODE = [page for page in PAGES if blocks(page, "python") and page.name not in ELSEWHERE]


def name(value: object) -> str:
    return value.where if isinstance(value, Block) else Path(str(value)).stem


@pytest.mark.usefixtures("shortcuts")
@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.slow if trains_here(page) else ()) for page in WITH_CODE], ids=name
)
def test_the_python_of_a_page_runs_and_prints_what_it_shows(page: Path, folder: Folder) -> None:
    here = folder(trains_here(page))
    (here / "finetune.toml").write_text(settings(page) or 'backend = "fake"\n')
    names: dict[str, object] = {"__name__": "page"}
    with patch.dict(os.environ):
        for block in blocks(page, "python"):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(block.code(), names)
            if block.shown:
                assert printed.getvalue() == block.shown, block.where


def test_a_page_that_is_run_elsewhere_has_its_test() -> None:
    for page, test in ELSEWHERE.items():
        assert page in (ROOT / "tests" / test).read_text("utf-8")


def test_every_command_exists_with_its_options() -> None:
    for block, line in commands():
        word, *rest = shlex.split(line.partition(" > ")[0])
        known = COMMANDS.get(word)
        assert known is not None, f"{block.where}: {line}"
        known(block, rest)


@cache
def whole_command() -> Any:
    import typer

    from finetune_sdk.cli import app

    return typer.main.get_command(app)


def a_finetune_command(block: Block, rest: list[str]) -> None:
    import typer

    command = whole_command()
    word = "finetune"
    while (commands := getattr(command, "commands", None)) is not None and rest and not rest[0].startswith("-"):
        word, *rest = rest
        known = commands.get(word) or command.get_command(typer.Context(command), word)
        assert known is not None, f"{block.where}: finetune {word}"
        command = known
    command.make_context(word, rest)


def a_target(block: Block, rest: list[str]) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert set(rest) <= set(targets), block.where


def an_installation(block: Block, rest: list[str]) -> None:
    assert rest[0] == "install"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for named in re.findall(r"\[(.*?)\]", " ".join(rest)):
        assert set(named.split(",")) <= extras.keys(), block.where


def an_example(block: Block, rest: list[str]) -> None:
    assert (ROOT / "examples" / rest[0]).is_file(), block.where


COMMANDS = {"finetune": a_finetune_command, "make": a_target, "pip": an_installation, "python": an_example}


@pytest.mark.parametrize("block", all_blocks("toml"), ids=name)
def test_settings_are_read_and_their_places_open(block: Block, tmp_path: Path) -> None:
    if "backends" not in tomllib.loads(block.text):
        return
    file = tmp_path / "finetune.toml"
    file.write_text(block.text)
    found = ft.Settings.load(home=tmp_path, file=file, environment={})
    for place in found.places:
        assert open_backend(ft.Place(place, found.place(place), found.home)).capabilities.methods


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=name)
def test_a_job_file_is_read(block: Block, folder: Folder) -> None:
    here = folder(False)
    assert yaml.safe_load(block.text)["name"]
    (here / "job.yaml").write_text(block.text)
    read = ft.JobFile.load(here / "job.yaml")
    assert len(read.job().train)
    assert read.evaluation() is not None
