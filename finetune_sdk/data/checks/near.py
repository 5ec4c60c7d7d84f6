"""Rows that are nearly the same, by MinHash (Broder 1997) with banded buckets; within a dataset, and between two."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from operator import add
from typing import TYPE_CHECKING, Any

from finetune_sdk.data.checks.finding import Finding, Rows
from finetune_sdk.data.checks.places import Places, rows_of
from finetune_sdk.data.checks.reading import asked_and_answer, excerpt, folded, question, said
from finetune_sdk.errors import MissingDependencyError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PERMUTATIONS = 64
BANDS = 16
BATCH = 50_000
CHUNK = 20_000
MOST_COMPARED = 30_000
FEWEST_PAIRS = 8
MOST_ROWS = 200_000


def pairs_of_words(text: str) -> list[str]:
    """The text as what is compared: each two words that follow one another; letters where there are no spaces."""
    words = text.lower().split()
    if len(text) > 16 * len(words):
        words = list(text.lower())
    return list(map(add, words, islice(words, 1, None)))


def spoken(row: Mapping[str, Any]) -> tuple[str, str]:
    """What two rows are compared by: all that is asked but the system prompt, and the answer."""
    asked, answer = asked_and_answer(row)
    if not asked:
        return row.get("text", ""), ""
    return " ".join(said(turn) for turn in asked if turn["role"] not in ("system", "developer")), _replied(answer)


def _replied(answer: Mapping[str, Any] | None) -> str:
    """The text of an answer and the calls that it makes."""
    calls = answer.get("tool_calls", ()) if answer is not None else ()
    return " ".join([said(answer), *(f"{call['name']} {call['arguments']}" for call in calls)]).strip()


def jaccard(one: str, other: str) -> float:
    """The share of pairs of words that two texts have in common."""
    first, second = set(pairs_of_words(one)), set(pairs_of_words(other))
    return len(first & second) / len(first | second) if first or second else 1.0


@dataclass(slots=True)
class Sketches:
    """256 bytes a row, of which the more agree the more alike two rows are. Raises MissingDependencyError."""

    _signatures: array[int] = field(default_factory=lambda: array("I"))
    _rows: array[int] = field(default_factory=lambda: array("L"))
    _waiting: list[list[str]] = field(default_factory=list)
    _pairs: int = 0

    def add(self, index: int, row: Mapping[str, Any]) -> None:
        pairs = pairs_of_words(" ".join(spoken(row)))
        if len(pairs) < FEWEST_PAIRS:
            return
        self._rows.append(index)
        self._waiting.append(pairs)
        self._pairs += len(pairs)
        if self._pairs >= BATCH:
            self._sketch()

    def _sketch(self) -> None:
        try:
            from rensa import RMinHash
        except ModuleNotFoundError:
            raise MissingDependencyError("rensa, which finding near duplicates needs,", extra="data") from None
        matrix = RMinHash.digest_matrix_from_token_sets(self._waiting, num_perm=PERMUTATIONS, seed=1)
        for signature in matrix.to_rows():
            self._signatures.extend(signature)
        self._waiting.clear()
        self._pairs = 0

    def candidates(self, other: Sketches | None = None) -> Iterator[tuple[int, int]]:
        """Pairs of rows that may be nearly the same, of this dataset or of this one and `other`.

        Of rows that agree in one of 16 bands of 4 values, each is paired with the first: two rows that share 80% of their
        pairs of words meet so with a probability of 99.98%, at 50% with 64%. Of those pairs stay whose sketches agree by 60%,
        which is four standard errors below 80%.
        """
        import numpy as np

        parts = [part for part in (self, other) if part is not None and part._rows]
        for part in parts:
            if part._waiting:
                part._sketch()
        if len(parts) < (1 if other is None else 2):
            return
        rows = np.concatenate([np.frombuffer(part._rows, "L") for part in parts])
        flat = np.concatenate([np.frombuffer(part._signatures, "I") for part in parts])
        signatures = flat.reshape(-1, PERMUTATIONS)
        ours = len(self._rows)
        for band in range(0, PERMUTATIONS, PERMUTATIONS // BANDS):
            first, second = _meeting(_mixed(signatures[:, band : band + PERMUTATIONS // BANDS]))
            if other is not None:
                across = (first < ours) & (second >= ours)
                first, second = first[across], second[across]
            for start in range(0, len(first), CHUNK):
                one, two = first[start : start + CHUNK], second[start : start + CHUNK]
                near = (signatures[one] == signatures[two]).mean(axis=1) >= 0.6
                yield from zip(rows[one[near]].tolist(), rows[two[near]].tolist(), strict=True)


def _meeting(keys: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For each position whose key stands earlier too: the first position with that key, and it."""
    import numpy as np

    order = np.argsort(keys, kind="stable")
    new = np.concatenate(([True], keys[order][1:] != keys[order][:-1]))
    first = order[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))]
    return first[~new], order[~new]


def _mixed(band: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """The values of a band in 8 bytes (a sum of products with odd constants, by Dietzfelbinger 1996)."""
    import numpy as np

    factors = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5], np.uint64)
    mixed: NDArray[np.uint64] = (band.astype(np.uint64) * factors).sum(axis=1, dtype=np.uint64)
    return mixed


@dataclass(slots=True)
class Twins:
    """Says of two rows whether they are nearly the same: questions and answers each at least `alike`.

    Both have to be: the same long document with two questions is two examples, and so are two sums in the same words.
    Answers of fewer than 8 pairs of words are to be equal, but for case and punctuation.
    """

    one: Rows
    other: Rows
    alike: float = 0.8
    compared: int = 0
    _told: dict[tuple[int, int], bool] = field(default_factory=dict)
    _kept: dict[tuple[bool, int], tuple[str, str]] = field(default_factory=dict)

    @property
    def tired(self) -> bool:
        """Whether so many pairs were compared that the rest is left."""
        return self.compared >= MOST_COMPARED

    def are(self, first: int, second: int) -> bool:
        if (first, second) not in self._told:
            self.compared += 1
            (asked, answer), (again, reply) = self._spoken(self.one, first), self._spoken(self.other, second)
            self._told[first, second] = (asked, answer) != (again, reply) and self._alike(asked, answer, again, reply)
        return self._told[first, second]

    def _alike(self, asked: str, answer: str, again: str, reply: str) -> bool:
        if min(answer.count(" "), reply.count(" ")) <= FEWEST_PAIRS:
            return folded(answer) == folded(reply) and jaccard(asked, again) >= self.alike
        return jaccard(answer, reply) >= self.alike and jaccard(asked, again) >= self.alike

    def _spoken(self, side: Rows, row: int) -> tuple[str, str]:
        known = (side is self.other, row)
        if known not in self._kept:
            if len(self._kept) >= 4_096:
                self._kept.clear()
            self._kept[known] = spoken(side.row(row))
        return self._kept[known]


@dataclass(slots=True)
class NearDuplicates:
    """Rows that differ from an earlier one in a few words only: 80% of the pairs of words in common, or more.

    Candidates come from MinHash and are compared word by word; of rows that look alike each is compared with the first.
    Rows that are equal, and texts of fewer than 9 words, are left to the exact check. A note where they are 2% or less.
    """

    _sketches: Sketches = field(default_factory=Sketches)
    _missing: MissingDependencyError | None = None

    def see(self, index: int, row: Mapping[str, Any]) -> None:
        if self._missing is not None:
            return
        try:
            self._sketches.add(index, row)
        except MissingDependencyError as fault:
            self._missing = fault

    def findings(self, rows: Rows) -> Iterator[Finding]:
        if self._missing is not None:
            yield _not_looked_for(self._missing)
            return
        twins, later = Twins(rows, rows), dict[int, int]()
        try:
            for first, index in self._sketches.candidates():
                if index not in later and twins.are(first, index):
                    later[index] = first
                if twins.tired:
                    break
        except MissingDependencyError as fault:
            yield _not_looked_for(fault)
            return
        if later:
            places = Places()
            for index in sorted(later):
                first = later[index]
                shown = excerpt(question(asked_and_answer(rows.row(index))[0]) or spoken(rows.row(index))[0], 80)
                places.add(
                    index,
                    f"{rows.unit} {rows.line(index)} is nearly {rows.unit} {rows.line(first)}: {shown}"
                    if not places.first
                    else "",
                )
            least = "at least " if twins.tired else ""
            yield places.finding(
                rows,
                "near-duplicates",
                "warning" if len(later) > 0.02 * len(rows) else "note",
                f"{least}{rows_of(len(later), 'differs from an earlier one', 'differ from earlier ones')} by a few words only.",
                "keep one of each; on both sides of a split they make a model look better than it is",
            )


def leaks(train: Rows, held: Rows) -> Iterator[Finding]:
    """Rows of `held` that are rows of `train`, exactly or nearly. Raises MissingDependencyError."""
    trained = set(train.hashes())
    exact = [index for index, content in enumerate(held.hashes()) if content in trained]
    if exact:
        places = Places()
        for index in exact:
            places.add(index)
        sides = "one side of the split" if held.name == train.name else f"{held.name} or from {train.name}"
        cure = f"remove them from {sides}: what was trained on cannot be judged on"
        yield places.finding(
            held, "leakage", "error", f"{rows_of(len(exact), 'is', 'are')} also in {train.name}.", cure
        )
    yield from near_leaks(train, held)


def near_leaks(train: Rows, held: Rows) -> Iterator[Finding]:
    """Rows of `held` that are nearly rows of `train`: one finding, an error. Raises MissingDependencyError."""
    near = near_between(train, held)
    if near:
        places = Places()
        for index, first in sorted(near.items()):
            places.add(
                index, f"{held.unit} {held.line(index)} is nearly {train.unit} {train.line(first)} of {train.name}"
            )
        yield places.finding(
            held,
            "near-leakage",
            "error",
            f"{rows_of(len(near), 'differs', 'differ')} from a row of {train.name} by a few words only, "
            "so what was trained on would be judged on.",
            "split with apart=True (in a job file `split: {apart: true}`), or train on train.apart_from(held_out)",
        )


def near_leaks_if_looked_for(train: Rows, held: Rows) -> Iterator[Finding]:
    """The same, with a note in its place where near duplicates cannot be looked for, or that would take minutes."""
    if len(train) + len(held) > MOST_ROWS:
        yield Finding(
            "near-leakage",
            "note",
            f"near duplicates of {held.name} were not looked for among {len(train):,} rows, which takes minutes.",
            "look once: held_out.leaks(train), or `finetune check job.yaml`",
        )
        return
    try:
        yield from near_leaks(train, held)
    except MissingDependencyError as fault:
        yield Finding(
            "near-leakage",
            "note",
            f"near duplicates of {held.name} were not looked for: {fault.message}",
            str(fault.cure),
        )


def near_between(train: Rows, held: Rows) -> dict[int, int]:
    """Rows of `held` that are nearly a row of `train`, each with that row. Raises MissingDependencyError."""
    sketches, others = Sketches(), Sketches()
    for sketch, side in ((sketches, train), (others, held)):
        for index, row in enumerate(side.rows()):
            sketch.add(index, row)
    twins, found = Twins(train, held), dict[int, int]()
    for ours, theirs in sketches.candidates(others):
        if theirs not in found and not twins.tired and twins.are(ours, theirs):
            found[theirs] = ours
    return found


def _not_looked_for(fault: MissingDependencyError) -> Finding:
    return Finding("near-duplicates", "note", f"near duplicates were not looked for: {fault.message}", str(fault.cure))
