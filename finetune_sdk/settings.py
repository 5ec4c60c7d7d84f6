"""finetune.toml and the environment, as raw tables; the only room that reads the environment.

Order: argument, environment, finetune.toml. The file is looked for in the working folder and those above it.
"""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from finetune_sdk.errors import SettingsError

FILE = "finetune.toml"
DEFAULT_BACKEND = "local"
DEFAULT_KEPT_MB = 1024
_KEYS = ("backend", "home", "answers_kept_mb", "backends")


@dataclass(frozen=True, slots=True)
class Settings:
    """What is set. `places` holds one raw table a backend; `home` is the folder of the ledger, of local runs and of kept answers.

    `answers_kept_mb` is how many MB of answers stay there between evaluations (docs/evaluation-runs.md); 0 keeps none.
    """

    backend: str
    home: Path
    places: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    file: Path | None = None
    backend_from: str = "the default"
    home_from: str = "the default"
    answers_kept_mb: int = DEFAULT_KEPT_MB

    @classmethod
    def load(
        cls,
        backend: str | None = None,
        *,
        home: str | os.PathLike[str] | None = None,
        file: str | os.PathLike[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Settings:
        """Raises SettingsError where the file is not TOML, or holds what nothing reads."""
        env = os.environ if environment is None else environment
        named = file or env.get("FINETUNE_CONFIG")
        path = Path(named) if named else _find(_working_folder())
        raw = _read(path) if path else {}
        places = _places(raw, path)
        chosen, source = _first(
            (backend, "the argument"),
            (env.get("FINETUNE_BACKEND"), "FINETUNE_BACKEND"),
            (raw.get("backend"), str(path)),
            (DEFAULT_BACKEND, "the default"),
        )
        if not isinstance(chosen, str):
            raise SettingsError(f"{path}: `backend` is not text.", cure='write it as backend = "local"')
        if not isinstance(raw.get("home", ""), str):
            raise SettingsError(f"{path}: `home` is not text.", cure='write it as home = "/a/folder"')
        folder, home_from = _first(
            (home, "the argument"),
            (env.get("FINETUNE_HOME"), "FINETUNE_HOME"),
            (_beside(raw.get("home"), path), str(path)),
        )
        where = _expanded(Path(folder or _home())).absolute()
        kept = _megabytes(env.get("FINETUNE_ANSWERS_KEPT_MB") or raw.get("answers_kept_mb", DEFAULT_KEPT_MB))
        return cls(chosen, where, places, path, source or "the default", home_from or "the default", kept)

    def place(self, name: str) -> Mapping[str, Any]:
        """The raw table of one backend."""
        return self.places.get(name, {})


def variable(name: str) -> str | None:
    """What a variable of the environment that a place is told the name of holds, such as its key."""
    return os.environ.get(name) or None


def _first(*choices: tuple[Any, str]) -> tuple[Any, str]:
    """The first value that is set, and where it was."""
    return next(((value, source) for value, source in choices if value), (None, ""))


def _megabytes(given: Any) -> int:
    if isinstance(given, str) and given.isascii() and given.isdigit():
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise SettingsError(
            f"answers_kept_mb = {given!r} is no size.", cure="write a whole number of MB; 0 keeps no answers"
        )
    return given


def _beside(home: str | None, file: Path | None) -> Path | None:
    """A home that finetune.toml names is relative to that file."""
    return file.absolute().parent / _expanded(Path(home)) if home and file else None


def _expanded(home: Path) -> Path:
    try:
        return home.expanduser()
    except RuntimeError:
        raise SettingsError(f"the home {home} cannot be found: no such user.", cure="write the folder out") from None


def editor(environment: Mapping[str, str] | None = None) -> list[str]:
    """The command of the user's editor: VISUAL, EDITOR, or the system's own."""
    env = os.environ if environment is None else environment
    named = env.get("VISUAL") or env.get("EDITOR") or ""
    try:
        words = shlex.split(named, posix=os.name == "posix")
    except ValueError as fault:
        raise SettingsError(f"the editor {named!r} is no command: {fault}.", cure="set EDITOR anew") from None
    return words or ["vi" if os.name == "posix" else "notepad"]


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except OSError:
        raise SettingsError("the working folder is gone.", cure="change to a folder that exists") from None


def _find(folder: Path) -> Path | None:
    return next((at / FILE for at in (folder, *folder.parents) if (at / FILE).is_file()), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as fault:
        raise SettingsError(f"{path} cannot be read: {fault.strerror}.", cure="check the path") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not text in UTF-8.", cure="save it as UTF-8") from None
    except tomllib.TOMLDecodeError as fault:
        raise SettingsError(f"{path} is not TOML: {fault}.", cure="mend that line") from None


def _places(raw: Mapping[str, Any], path: Path | None) -> dict[str, Mapping[str, Any]]:
    unknown = sorted(raw.keys() - set(_KEYS))
    if unknown:
        near = get_close_matches(unknown[0], _KEYS, 1)
        raise SettingsError(
            f"{path}: the key {unknown[0]!r} is read by nothing.",
            cure=f"write `{near[0]}`"
            if near
            else "use `backend`, `home`, and one table [backends.NAME] for each place",
        )
    places = raw.get("backends", {})
    if not isinstance(places, dict) or not all(isinstance(table, dict) for table in places.values()):
        raise SettingsError(f"{path}: `backends` is not a table of tables.", cure="write [backends.local] and so on")
    return {name: _placed(table, path) for name, table in places.items()}


def _placed(table: Mapping[str, Any], path: Path | None) -> Mapping[str, Any]:
    """A base that is a folder is found beside the file, wherever the command is called."""
    base = table.get("base")
    if path is None or not isinstance(base, str) or not base or not (path.absolute().parent / base).is_dir():
        return table
    return {**table, "base": str((path.absolute().parent / base).resolve())}


def _home() -> str:
    from platformdirs import user_data_dir  # only where nothing else is set

    return user_data_dir("finetune", appauthor=False)
