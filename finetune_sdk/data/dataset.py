"""Dataset: examples of one kind, with a fingerprint of their content. A split or a sample is a view, not a copy."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from struct import iter_unpack
from typing import TYPE_CHECKING, Any, Literal, overload

from finetune_sdk.data.checks import QUICK, Check, Finding
from finetune_sdk.data.index import HASH_BYTES
from finetune_sdk.data.mixture import Mixture, amounts
from finetune_sdk.data.opening import Origin, open_file, open_rows
from finetune_sdk.data.sources import Source
from finetune_sdk.data.splits import SIDES, Label, Shares, by_hash, by_stratum, labels, seeded
from finetune_sdk.errors import DatasetError
from finetune_sdk.log import Log, Logged
from finetune_sdk.messages import ChatExample, Example, Kind, Message, RatedExample, example

if TYPE_CHECKING:
    from finetune_sdk.data.cures import Fixed

SKETCH = 20_000
_SHOWN = 10


class Dataset:
    """Examples of one kind ("chat", "preference", "rated", "task", "text"), in order. Rows stay where they are until they are asked for."""

    def __init__(
        self,
        source: Source,
        rows: Sequence[int] | None = None,
        faults: Sequence[Finding] = (),
        origin: Origin | None = None,
    ) -> None:
        self._source = source
        self._origin = origin
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
        source, faults, form = open_file(Path(path), format, columns)
        origin = Origin.of(Path(path), form, columns) if form is not None else None
        return cls(source, faults=faults, origin=origin), tuple(faults)

    @classmethod
    def of(
        cls,
        rows: Iterable[Mapping[str, Any] | Example],
        format: str | None = None,  # noqa: A002 - the user's word
        name: str = "rows",
        *,
        columns: Mapping[str, str] | None = None,
    ) -> Dataset:
        """A dataset of rows in memory: examples, objects as a file would hold them, or a frame (pandas, polars, pyarrow, datasets).

        `columns` maps a format's keys to the names that the rows have for them, as in `load`.
        """
        source, faults, _ = open_rows(rows, format, columns, name)
        if faults:
            raise _faulty(name, source.unit, faults)
        return cls(source)

    @classmethod
    def from_log(cls, log: str | os.PathLike[str], kind: Literal["chat", "rated"] = "chat") -> Dataset:
        """The answers of a log that people rated, as rows for the next round.

        "chat": those found good, and the corrections of others; "rated": all that have a rating, as KTO takes them.
        Raises DatasetError when nobody has rated any.
        """
        if kind not in ("chat", "rated"):
            raise DatasetError(f"a log gives no {kind!r} examples.", cure='ask for kind="chat" or kind="rated"')
        rated = [each for each in Log(log).answers() if each.good is not None]
        examples = [_as_rated(each) for each in rated] if kind == "rated" else list(_as_chats(rated))
        if not examples:
            raise DatasetError(
                f"{log}: no answer has a {'rating' if kind == 'rated' else 'good rating or a correction'}.",
                cure="rate answers first: log.rate(answer.id, good=True)",
            )
        return cls.of(examples, name=Path(log).name)

    @classmethod
    def mix(cls, shares: Mapping[Dataset, float], seed: int = 0) -> Dataset:
        """Rows of several datasets in given shares, as in `Dataset.mix({tasks: 0.9, general: 0.1}, seed=7)`.

        General examples beside the task's own are a guard against forgetting. The dataset with the largest share is taken
        whole, the others are sampled by seed; no row is taken twice. Raises DatasetError where rows are too few.
        """
        return cls(Mixture([dataset.sample(count, seed) for dataset, count in amounts(shares).items()]))

    @property
    def kind(self) -> Kind:
        return self._source.kind

    @property
    def name(self) -> str:
        """The name of the file that the rows came from."""
        return self._source.name

    @property
    def unit(self) -> str:
        """What one of the rows is called where they came from: "line", "item" (of an array) or "row"."""
        return self._source.unit

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
            return self._view(self._rows[index])
        return example(self.kind, self._source.row(self._rows[index]))

    def __iter__(self) -> Iterator[Example]:
        for row in self.rows():
            yield example(self.kind, row)

    def row(self, index: int) -> dict[str, Any]:
        """One canonical row, as plain data."""
        return self._source.row(self._rows[index])

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

    def column(self, name: str) -> list[Any]:
        """What each row's file says under a key (a column) that no format reads, such as a group; None where it says nothing.

        `name` may lead inside, as in `metadata.region`. Raises DatasetError where no row has it, and for rows that did not
        come from a file.
        """
        if self._origin is None:
            raise DatasetError(
                f"{self.name} was not loaded from a file, so it has no column {name!r}.",
                cure="load the file with Dataset.load, or give the values themselves",
            )
        found = self._origin.column(name)
        values = [found.get(self.line(index)) for index in range(len(self))]
        if len(self) and all(value is None for value in values):
            raise DatasetError(f"{self._origin.path}: no row has a {name!r}.", cure="check the column's name")
        return values

    def _view(self, rows: Sequence[int]) -> Dataset:
        return Dataset(self._source, rows, origin=self._origin)

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
        return self._source.where(self._rows[index])

    def check(self, checks: Sequence[Callable[[], Check]] | None = None) -> tuple[Finding, ...]:
        """What is wrong with the rows, errors first. All checks (the thorough ones) see the rows in one pass."""
        makes = _thorough() if checks is None else checks
        chosen = [make() for make in makes]
        if any(make not in QUICK for make in makes):
            for index, row in enumerate(self.rows()):
                for check in chosen:
                    check.see(index, row)
        found = [*self._faults, *_unread(self._source), *(one for check in chosen for one in check.findings(self))]
        order = {"error": 0, "warning": 1, "note": 2}
        return tuple(sorted(found, key=lambda finding: order[finding.severity]))

    def split(
        self,
        validation: float = 0.0,
        test: float = 0.0,
        seed: int = 0,
        *,
        group: Literal["prompt"] | Label | None = None,
        stratify: Literal["answer"] | Label | None = None,
        apart: bool = False,
    ) -> tuple[Dataset, Dataset, Dataset]:
        """Train, validation and test. The side of a row is the seeded hash of its content, or of its `group`.

        So new rows move no other row, exact duplicates fall on one side, and the shares are met on average (a share of
        0.1 of 1,000 rows is 100 give or take 10). `group` keeps rows together: "prompt", or a function of an example.
        `stratify` ("answer", or a function) meets the shares within each stratum instead, and gives stability up: when
        rows are added, others may change sides. `apart` leaves rows out of training that are nearly held-out rows. Raises
        DatasetError for a share that ends up empty, MissingDependencyError where near duplicates cannot be looked for.
        """
        shares = Shares(validation, test)
        if stratify is not None and group is not None:
            raise DatasetError(
                "a split by group cannot also be stratified: a group falls on one side as a whole.",
                cure="give `group` or `stratify`",
            )
        if stratify is not None:
            strata = list(labels(self.rows(), self.kind, stratify))
            placed: Iterable[int] = by_stratum(list(self.hashes()), strata, shares, seed)
        else:
            contents = self.hashes() if group is None else labels(self.rows(), self.kind, group)
            placed = by_hash(contents, shares, seed)
        sides = (array("L"), array("L"), array("L"))
        for index, side in zip(self._rows, placed, strict=True):
            sides[side].append(index)
        for share, rows, name in zip((1.0, validation, test), sides, SIDES, strict=True):
            if share and not rows:
                raise DatasetError(
                    f"{self.name}: no row of {len(self)} falls on the {name} side.",
                    cure="use a larger share, another seed, or a file of its own for that side",
                )
        train, held, tested = map(self._view, sides)
        return train.apart_from(held, tested) if apart else train, held, tested

    def sample(self, count: int, seed: int = 0) -> Dataset:
        """`count` rows drawn by seeded hash of content, in file order; the same rows whatever else the file holds."""
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise DatasetError(f"{count!r} rows cannot be drawn.", cure="ask for a whole number of 0 or more")
        if count > len(self):
            raise DatasetError(f"{self.name} has {len(self)} rows, fewer than {count}.", cure="ask for fewer rows")
        drawn = sorted(zip(map(seeded(seed), self.hashes()), self._rows, strict=True))[:count]
        return self._view(array("L", sorted(index for _, index in drawn)))

    def save(
        self,
        path: str | os.PathLike[str],
        format: str | None = None,  # noqa: A002 - the user's word
        *,
        marks: bool = True,
    ) -> None:
        """Writes JSON lines, whole or not at all, packed where the name ends in .gz; by default in OpenAI's format of this kind.

        A name that ends in .csv makes a table of texts (by default prompt and completion), .parquet one of messages or texts.
        Synthetic rows keep their mark, the key `synthetic`; `marks=False` leaves it out, for whoever refuses keys that are not
        the format's own. Raises DatasetError naming the first row that the format cannot hold without loss.
        """
        from finetune_sdk.data.saving import save_rows

        def rows() -> Iterator[tuple[str, dict[str, Any]]]:
            return ((self.where(index), row) for index, row in enumerate(self.rows()))

        save_rows(rows, self.kind, path, format, marks=marks)

    def fix(self, *, redact: bool = False) -> Fixed:
        """What is mechanically wrong, mended: see Fixed. Nothing is written, and this dataset stays as it is.

        `redact` also replaces secrets and personal data by placeholders, the same value by the same one in all rows.
        Raises MissingDependencyError where secrets cannot be looked for.
        """
        from finetune_sdk.data.cures import Fixed
        from finetune_sdk.data.cures.recovered import recovered

        return Fixed(self, recovered(self._origin, self, self._faults), self._source.unread.counts, redact)

    def leaks(self, train: Dataset) -> tuple[Finding, ...]:
        """Rows of this dataset that are in the training data, exactly or nearly. The rows are this dataset's lines.

        Raises MissingDependencyError where near duplicates cannot be looked for.
        """
        from finetune_sdk.data.checks.near import leaks

        return tuple(leaks(train, self))

    def apart_from(self, *held: Dataset) -> Dataset:
        """The rows that are not rows of a held-out dataset, exactly or nearly: what may be trained on.

        Held-out rows never move. Raises MissingDependencyError where near duplicates cannot be looked for.
        """
        from finetune_sdk.data.checks.near import near_between

        known = {content for dataset in held for content in dataset.hashes()}
        near = {index for dataset in held for index in near_between(dataset, self)}
        kept = (
            row
            for index, (row, content) in enumerate(zip(self._rows, self.hashes(), strict=True))
            if index not in near and content not in known
        )
        return self._view(array("L", kept))


def _thorough() -> Sequence[Callable[[], Check]]:
    from finetune_sdk.data.checks.thorough import THOROUGH

    return THOROUGH


def _as_rated(logged: Logged) -> RatedExample:
    return RatedExample(logged.asked, (logged.answer,), bool(logged.good))


def _as_chats(rated: Iterable[Logged]) -> Iterator[ChatExample]:
    for logged in rated:
        answer = Message("assistant", logged.correction) if logged.correction else logged.answer
        if logged.good or logged.correction:
            yield ChatExample((*logged.asked.messages, answer), logged.asked.tools, logged.asked.parallel_tool_calls)


def _unread(source: Source) -> Iterator[Finding]:
    for key, count in source.unread.counts.most_common(20):
        yield Finding(
            "unread",
            "warning",
            f"{source.name}: the key {key!r} ({count:,} rows) is not part of this format; nothing learns from it.",
            "remove the key, or move what matters into the text that is learnt",
            tuple(source.unread.first[key]),
            count,
            unit=source.unit,
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
