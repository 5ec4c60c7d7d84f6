"""Rows that contradict each other: the same question with another answer."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from finetune_sdk.data.checks.finding import Finding, Rows
from finetune_sdk.data.checks.places import Places, groups, rows_of
from finetune_sdk.data.checks.reading import asked_and_answer, excerpt, folded, key, question, said, tools


@dataclass(slots=True)
class Conflicts:
    """The same input with different outputs; for pairs, the same two answers preferred the other way round.

    Inputs are compared exactly, answers by what they say: case, white space and a full stop at the end do not count
    (label variants are told elsewhere). Where more than `meant` of all rows share an input, several answers to each
    question are taken for the dataset's way (sampled answers), and it is a note only.
    """

    meant: float = 0.3
    _at: array[int] = field(default_factory=lambda: array("L"))
    _inputs: array[int] = field(default_factory=lambda: array("q"))
    _outputs: array[int] = field(default_factory=lambda: array("q"))

    def see(self, index: int, row: Mapping[str, Any]) -> None:
        asked, answer = asked_and_answer(row)
        if "rejected" in row:
            sides = [key(row["chosen"]), key(row["rejected"])]
            given, learnt = key([list(asked), sorted(sides)]), sides[0]
        elif "good" in row:
            given, learnt = key([list(asked), row["answer"]]), int(row["good"])
        elif "reference" in row:
            given, learnt = key([list(asked), list(tools(row))]), key(row["reference"])
        elif answer is not None:
            plain = isinstance(answer["content"], str) and "tool_calls" not in answer
            given = key([list(asked), list(tools(row))])
            learnt = key(" ".join(folded(said(answer)).split()) if plain else answer)
        else:
            return
        self._at.append(index)
        self._inputs.append(given)
        self._outputs.append(learnt)

    def findings(self, rows: Rows) -> Iterator[Finding]:
        places, inputs = Places(), 0
        for group in groups(self._inputs):
            if len({self._outputs[at] for at in group}) < 2:
                continue
            inputs += 1
            for at in group:
                places.add(self._at[at])
        if not inputs:
            return
        places.example = _shown(rows, places.first)
        meant = places.count > self.meant * len(rows)
        yield places.finding(
            rows,
            "conflicts",
            "note" if meant else "warning",
            f"{rows_of(places.count, 'has', 'have')} the input of another row and not its answer"
            f" ({inputs:,} {'input' if inputs == 1 else 'inputs'}).",
            "decide which answer is right and remove the others; or keep them where several answers are meant",
        )


def _shown(rows: Rows, first: list[int]) -> str:
    row = rows.row(first[0])
    asked, answer = asked_and_answer(row)
    others = (rows.row(index) for index in first[1:])
    other = next((said(found) for at, found in map(asked_and_answer, others) if at == asked and found != answer), "")
    return f"{excerpt(question(asked), 80)!r}: {excerpt(said(answer), 60)!r}, and {excerpt(other, 60)!r}"
