"""Answers from which nothing good is learnt: empty ones, those that were cut, and those that refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from finetune_sdk.data.checks.finding import Finding, Rows
from finetune_sdk.data.checks.places import Places, rows_of
from finetune_sdk.data.checks.reading import asked_and_answer, percent, said

_PLACEHOLDERS = frozenset(
    {"todo", "tbd", "fixme", "...", "…", "nan", "null", "undefined", "lorem ipsum", "[object object]"}
)
_REFUSALS = re.compile(
    r"as an ai(?: language model| assistant|,)|as a large language model"
    r"|i(?:'|’)?m (?:sorry|afraid),? (?:but )?i (?:can(?:'|’)?t|cannot|can not|am unable to|am not able to) (?:assist|help|comply|fulfil)"
    r"|i (?:can(?:'|’)?t|cannot|can not) (?:assist|help|comply) with (?:that|this)(?: request)?\b"
    r"|als ki-(?:sprachmodell|modell|assistent)|en tant qu(?:'|’)(?:ia|intelligence artificielle)"
    r"|como (?:un )?modelo de lenguaje|作为(?:一个)?(?:人工智能|ai)",
    re.IGNORECASE,
)
_FENCE = re.compile(r"^[ \t]*```[^`\n]*$", re.MULTILINE)
_TELLTALES = (
    "as an ai", "language model", "can't", "can’t", "cannot", "can not", "am unable", "am not able", "als ki-", "en tant qu",
    "modelo de", "作为",
)  # fmt: skip


@dataclass(slots=True)
class EmptyAnswers:
    """Answers of white space, or of a placeholder such as TODO or null; a placeholder that 5% of the rows use is a label."""

    _blank: Places = field(default_factory=Places)
    _placeholders: Places = field(default_factory=Places)
    _answers: int = 0

    def see(self, index: int, row: Mapping[str, Any]) -> None:
        _, answer = asked_and_answer(row)
        if answer is None or "tool_calls" in answer or "refusal" in answer:
            return
        self._answers += 1
        text = said(answer)
        if len(text) > 40 or isinstance(answer["content"], list):
            return
        text = text.strip()
        if not text:
            self._blank.add(index)
        elif text.casefold() in _PLACEHOLDERS:
            self._placeholders.add(index, text)

    def findings(self, rows: Rows) -> Iterator[Finding]:
        if self._blank.count:
            yield self._blank.finding(
                rows,
                "empty-answer",
                "warning",
                f"{rows_of(self._blank.count, 'has an answer', 'have answers')} of white space only.",
                "write the answer, or remove the row",
            )
        if 0 < self._placeholders.count <= max(1, 0.05 * self._answers):
            yield self._placeholders.finding(
                rows,
                "empty-answer",
                "warning",
                f"{rows_of(self._placeholders.count, 'has a placeholder', 'have placeholders')} in place of an answer.",
                "write the answer, or remove the row",
            )


@dataclass(slots=True)
class CutAnswers:
    """Answers that were cut: JSON or a code block that does not end, and sentences that do not, where others do.

    Sentences (a note: it may be only a full stop that lacks) are judged against the habit: only where at least `fewest` answers of eight words or more end in prose, and
    `habit` (95%) of these with a mark that ends a sentence. Lists, signatures and titles end without one, so a last
    line counts when it has six words or more, begins with a letter and ends with a letter or a comma.
    """

    habit: float = 0.95
    fewest: int = 20
    _open: Places = field(default_factory=Places)
    _mid: Places = field(default_factory=Places)
    _prose: int = 0

    def see(self, index: int, row: Mapping[str, Any]) -> None:
        _, answer = asked_and_answer(row)
        text = said(answer).rstrip()
        if not text:
            return
        if _unclosed(text):
            self._open.add(index, f"…{text[-60:]}")
            return
        line = text[text.rfind("\n") + 1 :]
        if not line[:1].isalpha() or line.count(" ") < (5 if "\n" in text else 7):
            return
        self._prose += 1
        if line[-1].isalpha() or line[-1] == ",":
            self._mid.add(index, f"…{text[-60:]}")

    def findings(self, rows: Rows) -> Iterator[Finding]:
        if self._open.count:
            yield self._open.finding(
                rows,
                "cut-answer",
                "warning",
                f"{rows_of(self._open.count, 'has an answer', 'have answers')} with JSON or a code block that does not end.",
                "complete the answer, or remove the row; was it made with too few tokens?",
            )
        whole = self._prose - self._mid.count
        if self._mid.count and self._prose >= self.fewest and whole >= self.habit * self._prose:
            yield self._mid.finding(
                rows,
                "cut-answer",
                "note",
                f"{percent(whole, self._prose)} of the answers end a sentence;"
                f" {rows_of(self._mid.count, 'stops', 'stop')} within one, or lack its full stop.",
                "complete the sentence, or remove the row; was it made with too few tokens?",
            )


def _unclosed(text: str) -> bool:
    """Whether a code block has no end, or JSON stops before its last bracket."""
    if "```" in text and len(_FENCE.findall(text)) % 2:
        return True
    if not text.startswith(('{"', "[{", '["', "{\n")) or text[-1] in "}]":
        return False
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        # Braces in prose, as in `{"a"} is a set`, close; what was cut leaves more open than closed.
        return text.count("{") + text.count("[") > text.count("}") + text.count("]")
    return False


def refusal(text: str) -> re.Match[str] | None:
    """Where a text refuses in a model's stock phrases, in its first 300 characters."""
    if not any(map(text[:300].lower().__contains__, _TELLTALES)):
        return None
    return _REFUSALS.search(text, 0, 300)


@dataclass(slots=True)
class Refusals:
    """Answers that refuse in a model's stock phrases; polite regrets of a person ("I cannot find your order") are none.

    Where more than `meant` of the answers do, refusing is probably what is taught, and it is a note. A refusal in the
    field of that name is explicit and never told.
    """

    meant: float = 0.2
    _places: Places = field(default_factory=Places)
    _answers: int = 0

    def see(self, index: int, row: Mapping[str, Any]) -> None:
        _, answer = asked_and_answer(row)
        if answer is None:
            return
        self._answers += 1
        text = said(answer)
        if (found := refusal(text)) is not None:
            self._places.add(index, text[found.start() :])

    def findings(self, rows: Rows) -> Iterator[Finding]:
        if self._places.count:
            yield self._places.finding(
                rows,
                "refusal",
                "note" if self._places.count > self.meant * self._answers else "warning",
                f"{rows_of(self._places.count, 'has an answer that refuses', 'have answers that refuse')}"
                f" ({percent(self._places.count, self._answers)} of all).",
                "remove them, unless refusing is to be learnt here",
            )
