"""YAML as plain data, with the line of every key.

By the core schema of YAML 1.2, as editors read it: `1e-4` is a number, `no` and dates are text. A key that stands twice, a
tag, and a key that is not text are errors.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from finetune_sdk.errors import JobError

Where = tuple[str | int, ...]
"""A path of keys and list positions."""
_LIMIT = 100_000
_DEPTH = 100
_BYTES = 1_000_000
_DATA = (".jsonl", ".ndjson", ".json", ".csv")


class _Loader(yaml.SafeLoader):
    """Resolves plain scalars by the core schema (YAML 1.2.2, 10.3.2)."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own attribute


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def read(file: Path) -> tuple[dict[str, Any], dict[Where, int]]:
    """The table that a file holds, and the line of each key and item. Raises JobError where it is not YAML."""
    try:
        text = _text(file)
    except OSError as fault:
        raise JobError(f"{file} cannot be read: {fault.strerror}.", cure=_nearby(file)) from None
    except UnicodeDecodeError as fault:
        raise JobError(f"{file} is not text in UTF-8: {fault.reason}.", cure="save it as UTF-8") from None
    try:
        node = yaml.compose(text, Loader=_Loader)
    except RecursionError:
        raise JobError(f"{file} is nested too deeply to be a job.", cure="see examples/job.yaml") from None
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        line = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise JobError(f"{file}{line}: this is not YAML: {fault.problem}.", cure=_cure(file, text, fault)) from None
    except yaml.YAMLError as fault:
        raise JobError(f"{file} is not YAML: {str(fault).splitlines()[0]}.", cure="save it as plain text") from None
    if not isinstance(node, yaml.MappingNode):
        what = "is empty" if node is None else "does not hold a table of keys"
        raise JobError(f"{file} {what}.", cure="start from `name:`, `data:` and `method:`; see examples/job.yaml")
    reader = _Reader(file)
    value: dict[str, Any] = reader.value(node, ())
    return value, reader.lines


def _text(file: Path) -> str:
    with file.open("rb") as opened:
        raw = opened.read(_BYTES + 1)
    if len(raw) > _BYTES:
        raise JobError(f"{file} is larger than a job file can be.", cure=_names_data(file))
    return raw.decode("utf-8-sig")


def _names_data(file: Path) -> str:
    return f"a job file names its data, as in `data: {file.name}`; see examples/job.yaml"


class _Reader:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._open: set[int] = set()
        self._count = 0
        self.lines: dict[Where, int] = {}

    def value(self, node: yaml.Node, at: Where) -> Any:
        self.lines.setdefault(at, node.start_mark.line + 1)
        self._count += 1
        if id(node) in self._open or self._count > _LIMIT or len(at) > _DEPTH:
            raise self._fault(node, "this goes on without end; an alias (`*`) may do that.", "write it out")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        self._open.add(id(node))
        value = self._table(node, at) if isinstance(node, yaml.MappingNode) else self._list(node, at)
        self._open.discard(id(node))
        return value

    def _table(self, node: yaml.MappingNode, at: Where) -> dict[str, Any]:
        table: dict[str, Any] = {}
        self._plain(node)
        for key_node, value_node in node.value:
            key = self._scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                raise self._fault(key_node, "a key is not text.", "put it in quotes")
            if key in table:
                first = self.lines[*at, key]
                raise self._fault(key_node, f"the key `{key}` stands twice, first on line {first}.", "keep one")
            self.lines[*at, key] = key_node.start_mark.line + 1
            table[key] = self.value(value_node, (*at, key))
        return table

    def _list(self, node: yaml.Node, at: Where) -> list[Any]:
        self._plain(node)
        return [self.value(item, (*at, number)) for number, item in enumerate(node.value)]

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text: str = node.value
        match node.tag.rpartition(":")[2]:
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int" | "float" as kind:
                return self._number(node, kind)
        self._plain(node)
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise self._fault(node, "half a character (a lone surrogate) stands here.", "write the whole character")
        return text

    def _number(self, node: yaml.ScalarNode, kind: str) -> int | float:
        text: str = node.value
        try:
            if kind == "float":
                return float(text)
            return int(text, 0) if text[1:2] in ("o", "x") else int(text)
        except ValueError:  # a tag said that it is one, or it has thousands of digits
            shown = text if len(text) < 60 else f"{text[:57]}…"
            raise self._fault(node, f"{shown!r} is no number that can be read.", "write a number") from None

    def _plain(self, node: yaml.Node) -> None:
        if node.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            raise self._fault(node, f"the tag {node.tag} is not read.", "remove it")

    def _fault(self, node: yaml.Node, message: str, cure: str) -> JobError:
        return JobError(f"{self._file} line {node.start_mark.line + 1}: {message}", cure=cure)


def _nearby(file: Path) -> str:
    if file.is_dir():
        return "name the job file in this folder"
    folder = file.parent
    if not folder.is_dir():
        return f"there is no folder {folder}; check the path"
    found = sorted(entry.name for pattern in ("*.yaml", "*.yml") for entry in folder.glob(pattern))[:5]
    return f"the folder {folder} holds {', '.join(found)}" if found else f"the folder {folder} holds no job file"


def _cure(file: Path, text: str, fault: yaml.MarkedYAMLError) -> str:
    if file.suffix.lower() in _DATA:
        return _names_data(file)
    if "\t" in text and "'\\t'" in str(fault.problem):
        return "indent with spaces, not tabs"
    return "look at the indentation, the colons and the quotes there"
