"""Dataset: examples of one kind, with a fingerprint of their content. A split or a sample is a view, not a copy."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from gzip import GzipFile
from hashlib import blake2b
from pathlib import Path
from struct import iter_unpack
from typing import Any, BinaryIO, cast, overload

import orjson

from finetune_sdk.data.checks import QUICK, THOROUGH, Check, Finding, RowError
from finetune_sdk.data.formats import DEFAULTS, Format, named
from finetune_sdk.data.index import HASH_BYTES
from finetune_sdk.data.opening import open_file, open_rows
from finetune_sdk.data.sources import Source
from finetune_sdk.errors import DatasetError
from finetune_sdk.files import whole
from finetune_sdk.messages import Example, Kind, example

SKETCH = 20_000
_SHOWN = 10


class Dataset:
    """Examples of one kind ("chat", "preference", "rated", "task", "text"), in order. Rows stay where they are until they are asked for."""

    def __init__(self, source: Source, rows: Sequence[int] | None = None, faults: Sequence[Finding] = ()) -> None:
        self._source = source
        self._rows = range(len(source)) if rows is None else rows
        self._faults = tuple(faults)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        format: str | None = None,  # noqa: A002 - the user's word
        *,
        columns: Mapping[str, str] | None = None,
    ) -> Dataset:
        """The examples of a file: JSON lines or one JSON array (either packed with gzip), CSV, Parquet.

        The format is detected by content. `columns` maps a format's keys to the names that the file has for them; no
        others are read then. Raises DatasetError naming every bad row (the first ten in words) with its line and its cure.
        """
        dataset, faults = cls.inspect(path, format, columns=columns)
        if faults:
            raise _faulty(str(path), dataset._source.unit, faults)
        return dataset

    @classmethod
    def inspect(
        cls,
        path: str | os.PathLike[str],
        format: str | None = None,  # noqa: A002 - the user's word
        *,
        columns: Mapping[str, str] | None = None,
    ) -> tuple[Dataset, tuple[Finding, ...]]:
        """The good rows of a file, and an error finding for each bad one: what `finetune check` shows."""
        source, faults = open_file(Path(path), format, columns)
        return cls(source, faults=faults), tuple(faults)

    @classmethod
    def of(
        cls,
        rows: Iterable[Mapping[str, Any] | Example],
        format: str | None = None,  # noqa: A002 - the user's word
        name: str = "rows",
        *,
        columns: Mapping[str, str] | None = None,
    ) -> Dataset:
        """A dataset of rows in memory: examples, objects as a file would hold them, or a frame of pandas or datasets.

        `columns` maps a format's keys to the names that the rows have for them, as in `load`.
        """
        source, faults = open_rows(rows, format, columns, name)
        if faults:
            raise _faulty(name, source.unit, faults)
        return cls(source)

    @property
    def kind(self) -> Kind:
        return self._source.kind

    @property
    def name(self) -> str:
        """The name of the file that the rows came from."""
        return self._source.name

    @property
    def fingerprint(self) -> str:
        """32 hex digits that stand for the rows' content, in order."""
        digest = blake2b(self.kind.encode(), digest_size=HASH_BYTES)
        if self._whole():
            digest.update(self._source.hashes)
        else:
            for content in self.hashes():
                digest.update(content)
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {len(self):,} {self.kind} examples)"

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> Dataset: ...

    def __getitem__(self, index: int | slice) -> Example | Dataset:
        if isinstance(index, slice):
            return Dataset(self._source, self._rows[index])
        return example(self.kind, self._source.row(self._rows[index]))

    def __iter__(self) -> Iterator[Example]:
        for row in self.rows():
            yield example(self.kind, row)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The canonical rows, as plain data."""
        for index in self._rows:
            yield self._source.row(index)

    def hashes(self) -> Iterator[bytes]:
        """16 bytes of content hash a row."""
        hashes = self._source.hashes
        if self._whole():
            yield from (content for (content,) in iter_unpack(f"{HASH_BYTES}s", hashes))
            return
        for index in self._rows:
            yield bytes(hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES])

    def _whole(self) -> bool:
        return self._rows == range(len(self._source))

    def sketch(self, size: int = SKETCH) -> tuple[str, ...]:
        """The `size` lowest content hashes (16 hex digits each): all rows of a small dataset, a fair sample of a large one."""
        return tuple(sorted({content[:8].hex() for content in self.hashes()})[:size])

    def line(self, index: int) -> int:
        """The line (or item, or row) number of a row in its file, from 1."""
        return self._source.line(self._rows[index])

    def where(self, index: int) -> str:
        """A row's place in words: `tickets.jsonl line 218`."""
        return f"{self.name} {self._source.unit} {self.line(index)}"

    def check(self, checks: Sequence[Callable[[], Check]] = THOROUGH) -> tuple[Finding, ...]:
        """What is wrong with the rows, errors first. All checks see the rows in one pass."""
        chosen = [make() for make in checks]
        if any(make not in QUICK for make in checks):
            for index, row in enumerate(self.rows()):
                for check in chosen:
                    check.see(index, row)
        found = [*self._faults, *_unread(self._source), *(one for check in chosen for one in check.findings(self))]
        order = {"error": 0, "warning": 1, "note": 2}
        return tuple(sorted(found, key=lambda finding: order[finding.severity]))

    def split(self, validation: float = 0.0, test: float = 0.0, seed: int = 0) -> tuple[Dataset, Dataset, Dataset]:
        """Train, validation and test. The side of a row is the seeded hash of its content.

        So new rows move no other row, exact duplicates fall on one side, and the shares are met on average (a share of
        0.1 of 1,000 rows is 100 give or take 10). Raises DatasetError for a share that ends up empty.
        """
        _numbers(validation=validation, test=test)
        if not (validation >= 0 and test >= 0 and validation + test < 1):
            raise DatasetError(
                f"validation={validation} and test={test} leave nothing to train on.",
                cure="give shares of 0 or more whose sum is below 1",
            )
        sides = (array("L"), array("L"), array("L"))
        keyed = blake2b(digest_size=8, key=_key(seed))
        tested_below, held_below = (int(share * 2**64).to_bytes(8) for share in (test, test + validation))
        for index, content in zip(self._rows, self.hashes(), strict=True):
            digest = keyed.copy()
            digest.update(content)
            at = digest.digest()
            sides[2 if at < tested_below else 1 if at < held_below else 0].append(index)
        for share, side, name in (
            (1.0, sides[0], "train"),
            (validation, sides[1], "validation"),
            (test, sides[2], "test"),
        ):
            if share and not side:
                raise DatasetError(
                    f"{self.name}: no row of {len(self)} falls on the {name} side.",
                    cure="use a larger share, another seed, or a file of its own for that side",
                )
        train, held, tested = (Dataset(self._source, side) for side in sides)
        return train, held, tested

    def sample(self, count: int, seed: int = 0) -> Dataset:
        """`count` rows drawn by seeded hash of content, in file order; the same rows whatever else the file holds."""
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise DatasetError(f"{count!r} rows cannot be drawn.", cure="ask for a whole number of 0 or more")
        if count > len(self):
            raise DatasetError(f"{self.name} has {len(self)} rows, fewer than {count}.", cure="ask for fewer rows")
        key = _key(seed)
        drawn = sorted(
            zip((blake2b(c, digest_size=8, key=key).digest() for c in self.hashes()), self._rows, strict=True)
        )[:count]
        return Dataset(self._source, array("L", sorted(index for _, index in drawn)))

    def save(self, path: str | os.PathLike[str], format: str | None = None) -> None:  # noqa: A002 - the user's word
        """Writes JSON lines, whole or not at all, packed where the name ends in .gz; by default in OpenAI's format of this kind.

        Raises DatasetError naming the first row that the format cannot hold without loss.
        """
        form = named(format or DEFAULTS[self.kind])
        if form.kind != self.kind:
            raise DatasetError(
                f"{form.name} holds {form.kind} examples, and these are {self.kind}.", cure="choose another format"
            )
        target = Path(path)
        try:
            with whole(target) as file, packed(file, target) as lines:
                for index, row in enumerate(self.rows()):
                    lines.write(self._line(index, row, form))
        except OSError as fault:
            raise DatasetError(
                f"{target} cannot be written: {fault.strerror}.", cure="check the path and the disk"
            ) from None

    def _line(self, index: int, row: dict[str, Any], form: Format) -> bytes:
        try:
            return orjson.dumps(form.write(row), option=orjson.OPT_APPEND_NEWLINE)
        except RowError as fault:
            raise DatasetError(f"{self.where(index)}: {fault.message}", cure=fault.cure) from None


def packed(file: BinaryIO, target: Path) -> AbstractContextManager[BinaryIO]:
    """The file itself, or gzip into it where the target's name ends so; the same rows make the same bytes."""
    if target.suffix != ".gz":
        return nullcontext(file)
    return cast(BinaryIO, GzipFile("", "wb", 6, file, 0))


def _key(seed: int) -> bytes:
    if not isinstance(seed, int) or not -(2**63) <= seed < 2**63:
        raise DatasetError(f"the seed {str(seed)[:40]} is no whole number of 64 bits.", cure="give a seed such as 7")
    return str(seed).encode()


def _numbers(**given: Any) -> None:
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DatasetError(f"{name}={value!r} is no number.", cure=f"give {name} a number")


def _unread(source: Source) -> Iterator[Finding]:
    for key, count in source.unread.most_common(20):
        yield Finding(
            "unread",
            "warning",
            f"{source.name}: the key {key!r} ({count:,} rows) is not part of this format; nothing learns from it.",
            "remove the key, or move what matters into the text that is learnt",
            count=count,
        )


def _faulty(name: str, unit: str, faults: Sequence[Finding]) -> DatasetError:
    lines = [f"{name}{_at(unit, fault)}: {fault.message}\n    cure: {fault.cure}" for fault in faults[:_SHOWN]]
    more = f"\n  and {len(faults) - _SHOWN:,} more" if len(faults) > _SHOWN else ""
    if len(faults) == 1:
        return DatasetError(f"{name}{_at(unit, faults[0])}: {faults[0].message}", cure=faults[0].cure)
    return DatasetError(
        f"{len(faults):,} rows of {name} cannot be used:\n  " + "\n  ".join(lines) + more,
        cure="mend these rows; `finetune check` lists them all",
    )


def _at(unit: str, fault: Finding) -> str:
    return f" {unit} {fault.rows[0]}" if fault.rows else ""
