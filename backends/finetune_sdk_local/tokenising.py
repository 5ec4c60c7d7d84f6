"""Token ids of a dataset and what of them is trained: the texts of `rendering`, as few of them tokenised as can be.

What stands in two units is tokenised apart, so a unit that many rows share, a system prompt above all, is tokenised once.
That template and tokenizer do fall in with this is tried on rows as they come; where they do not, all texts are tokenised
as wholes.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import DatasetError
from finetune_sdk.messages import Example
from finetune_sdk_local.rendering import Renderer, RewrittenError, Row, Span, TemplateError, by_turn, talks
from finetune_sdk_local.skeletons import Talk
from finetune_sdk_local.units import Cutter, Unit

BATCH = 256
TRIED = 128
"""One conversation of so many, and the first of each shape, is tokenised as a whole too."""


@dataclass(frozen=True)
class Sequences:
    """Token sequences one after another. Row i is `ids[starts[i]:starts[i + 1]]`; `trained` marks what is learnt of it.

    `cut[i]` counts the tokens lost at the end, `lost[i]` those of them that would have been trained; `sources[i]` is the
    dataset's row that it is of. A preference pair is two sequences: chosen, then rejected. `scored` marks those of the trained
    tokens that count in the score of their row; None where all do.
    """

    ids: NDArray[np.int32]
    trained: NDArray[np.bool_]
    starts: NDArray[np.int64]
    cut: NDArray[np.int64]
    lost: NDArray[np.int64]
    sources: NDArray[np.int64]
    scored: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        lengths: NDArray[np.int64] = np.diff(self.starts)
        return lengths

    @cached_property
    def trained_counts(self) -> NDArray[np.int64]:
        """Trained tokens a sequence. The first token of a sequence is never predicted, so it does not count."""
        return self._counts(self.trained)

    @cached_property
    def scored_counts(self) -> NDArray[np.int64]:
        """Tokens that count in the score of a sequence."""
        return self.trained_counts if self.scored is None else self._counts(self.scored)

    def _counts(self, marks: NDArray[np.bool_]) -> NDArray[np.int64]:
        if not len(marks):
            return np.zeros(len(self), dtype=np.int64)
        total = np.concatenate(([0], np.cumsum(marks, dtype=np.int64)))
        first = np.where(self.lengths > 0, marks[np.minimum(self.starts[:-1], len(marks) - 1)], False)
        counts: NDArray[np.int64] = total[self.starts[1:]] - total[self.starts[:-1]] - first
        return counts

    def row(self, index: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        at = slice(self.starts[index], self.starts[index + 1])
        return self.ids[at], self.trained[at]

    def scores(self, index: int) -> NDArray[np.bool_]:
        """Which tokens of a row count in its score."""
        marks = self.trained if self.scored is None else self.scored
        return marks[self.starts[index] : self.starts[index + 1]]


def mark(offsets: Sequence[Span], spans: Sequence[Span]) -> NDArray[np.bool_]:
    """Which tokens are trained: those with a character in a span."""
    edges = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
    trained = np.zeros(len(edges), dtype=np.bool_)
    for start, end in spans:
        trained |= (edges[:, 1] > start) & (edges[:, 0] < end)
    return trained


class Tokens(NamedTuple):
    """int32 ids, and a byte of 0 or 1 for each."""

    ids: bytes
    trained: bytes


class DisagreementError(Exception):
    """Units are not tokenised as the whole text is."""


def tokenise(
    renderer: Renderer,
    examples: Dataset | Sequence[Example],
    max_length: int,
    where: Callable[[int], str] = lambda index: f"row {index + 1}",
    *,
    everything: bool = False,
) -> Sequences:
    """All examples as token ids, each cut to `max_length`. Raises DatasetError naming the first that cannot be.

    `everything` trains all of a conversation, not its answers alone.
    """
    try:
        return _Pass(renderer, max_length, everything, Cutter.of(renderer)).through(_canonical(examples), where)
    except DisagreementError:
        return _Pass(renderer, max_length, everything, None).through(_canonical(examples), where)


def _canonical(examples: Dataset | Sequence[Example]) -> Iterator[Row]:
    return examples.rows() if isinstance(examples, Dataset) else (example.canonical() for example in examples)


class Cut(NamedTuple):
    """A sequence in units; every so often also as a `whole`, to try them against."""

    units: list[Unit]
    whole: Unit | None = None


@dataclass(slots=True)
class Batch:
    """Sequences, their distinct units, and those of them that the batch before did not hold."""

    sequences: list[Cut]
    units: set[Unit] = field(init=False)
    new: list[Unit] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.units = {unit for units, _ in self.sequences for unit in units}
        self.units |= {whole for _, whole in self.sequences if whole is not None}


@dataclass(slots=True)
class _Pass:
    """Sequences one after another, as bytes, while examples are gone through."""

    renderer: Renderer
    max_length: int
    everything: bool
    cutter: Cutter | None
    ids: bytearray = field(default_factory=bytearray)
    trained: bytearray = field(default_factory=bytearray)
    starts: list[int] = field(default_factory=lambda: [0])
    cut: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    rewritten: set[tuple[object, ...]] = field(default_factory=set)
    known: dict[Unit, Tokens] = field(default_factory=dict)

    def through(self, rows: Iterable[Row], where: Callable[[int], str]) -> Sequences:
        """One batch is tokenised while the next is cut. Raises DisagreementError."""
        batches, before = self._batches(self._cut(rows, where)), set[Unit]()
        with ThreadPoolExecutor(1) as tokenising:
            waiting: tuple[Batch, Future[list[Tokens]]] | None = None
            for batch in batches:
                batch.new.extend(batch.units - before)
                made = tokenising.submit(encoded, self.renderer, batch.new)
                before = batch.units
                if waiting is not None:
                    self._finish(*waiting)
                waiting = (batch, made)
            if waiting is not None:
                self._finish(*waiting)
        return Sequences(
            np.frombuffer(self.ids, np.int32),
            np.frombuffer(self.trained, np.bool_),
            np.asarray(self.starts, np.int64),
            np.asarray(self.cut, np.int64),
            np.asarray(self.lost, np.int64),
            np.asarray(self.sources, np.int64),
        )

    def _batches(self, cut: Iterator[Cut]) -> Iterator[Batch]:
        while sequences := list(islice(cut, BATCH)):
            yield Batch(sequences)

    def _cut(self, rows: Iterable[Row], where: Callable[[int], str]) -> Iterator[Cut]:
        """The units of each sequence."""
        for index, row in enumerate(rows):
            try:
                if "reference" in row:
                    yield from (Cut([Unit(text, tuple(spans))]) for text, spans in self.renderer.texts(row))
                    self.sources.append(index)
                    continue
                cuts = [cut for talk in talks(row, everything=self.everything) for cut in self._cuts(talk, row)]
            except TemplateError as fault:
                raise DatasetError(f"{where(index)}: {fault.message}", cure=fault.cure) from None
            self.sources += [index] * len(cuts)
            yield from cuts

    def _cuts(self, talk: Talk, row: Row) -> list[Cut]:
        """One for a conversation, or one for each of its answers where the template rewrites earlier ones."""
        shape = (*(message["role"] for message in talk.messages), talk.turns)
        if shape not in self.rewritten:
            try:
                return [self._units(talk)]
            except RewrittenError:
                if "messages" not in row:
                    raise
                self.rewritten.add(shape)
        return [self._units(turn) for turn in by_turn(talk)]

    def _units(self, talk: Talk) -> Cut:
        found = self.cutter.cut(talk) if self.cutter else None
        if found is None:
            return Cut([self._whole(talk)])
        units, before = found
        return Cut(units, self._whole(talk) if before % TRIED == 0 else None)

    def _whole(self, talk: Talk) -> Unit:
        text, spans = self.renderer.rendered(talk)
        return Unit(text, tuple(spans))

    def _finish(self, batch: Batch, made: Future[list[Tokens]]) -> None:
        """Adds the sequences of a batch, and forgets what the last one held and this one does not."""
        kept = {unit: self.known[unit] for unit in batch.units & self.known.keys()}
        self.known = kept | dict(zip(batch.new, made.result(), strict=True))
        for units, whole in batch.sequences:
            tokens = _joined([self.known[unit] for unit in units])
            if whole is not None and self.known[whole] != tokens:
                raise DisagreementError
            self._add(tokens)

    def _add(self, tokens: Tokens) -> None:
        ids, trained = tokens
        kept = min(len(trained), self.max_length)
        self.ids += ids[: 4 * kept]
        self.trained += trained[:kept]
        self.starts.append(len(self.trained))
        self.cut.append(len(trained) - kept)
        self.lost.append(trained.count(1, kept))


def encoded(renderer: Renderer, units: Sequence[Unit]) -> list[Tokens]:
    """Each unit's tokens, in order."""
    backend: Any = renderer.tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    openings = {unit.opening for unit in units if unit.opening}
    starts = {text: backend.encode(text, add_special_tokens=False).ids for text in openings}
    unknown = renderer.tokenizer.unk_token_id
    made, unsure = list[Tokens](), list[int]()
    encodings = backend.encode_batch_fast([unit.text for unit in units], add_special_tokens=False)
    for number, (unit, encoding) in enumerate(zip(units, encodings, strict=True)):
        ids = encoding.ids
        if unit.uniform:
            marks = (b"\1" if unit.spans else b"\0") * len(ids)
        elif unit.opening and unknown not in (start := starts[unit.opening]) and ids[: len(start)] == start:
            marks = bytes(len(start)) + b"\1" * (len(ids) - len(start))
        else:
            unsure.append(number)
            marks = b""
        made.append(Tokens(array("i", ids).tobytes(), marks))
    # Characters of tokens cost more to know, and are asked for only where they decide.
    texts = [units[number].text for number in unsure]
    for number, encoding in zip(unsure, backend.encode_batch(texts, add_special_tokens=False), strict=True):
        made[number] = Tokens(made[number].ids, mark(encoding.offsets, units[number].spans).tobytes())
    return made


def _joined(parts: Sequence[Tokens]) -> Tokens:
    return Tokens(b"".join([part.ids for part in parts]), b"".join([part.trained for part in parts]))
