"""Pattern and Template: the answer has a form.

Patterns run in the engine that JSONSchema's run in: linear where a pattern allows that, else with so many steps back and
no more. Python's own `re` has no bound, and a bound in seconds would judge differently on another machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any, ClassVar

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluators import given
from finetune_sdk.evaluation.evaluators.case import Case, Score
from finetune_sdk.evaluation.evaluators.reading import mended, shown
from finetune_sdk.model import Answer

BACKTRACKS = 1_000_000
_SYNTAX = frozenset(r"\^$.|?*+()[]{}")
_ANYTHING = r"[\s\S]+?"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression is found in the answer; with `whole` it is all of the answer, with `absent` it is not found.

    The dialect is that of JSON schema: ECMAScript's, with `(?i)`, `(?m)`, `(?s)` and `\\p{…}`. A pattern that is wrong, or
    that takes more than a million steps back on an answer, is an EvaluationError.
    """

    pattern: str
    whole: bool = False
    ignore_case: bool = False
    absent: bool = False
    name: str = "Pattern"
    version: ClassVar[int] = 1
    pure: ClassVar[bool] = True
    _compiled: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given.text("the pattern", self.pattern)
        object.__setattr__(self, "_compiled", compiled(self.pattern, whole=self.whole, ignore_case=self.ignore_case))

    def judge(self, case: Case, answer: Answer) -> Score:
        found = matches(self._compiled, answer.text, self.pattern)
        if found is not self.absent:
            return Score(True)
        return Score(False, f"{shown(self.pattern)} {'matches' if found else 'does not match'} {shown(answer.text)}")


@dataclass(frozen=True, slots=True)
class Template:
    """The answer is a text with slots: `Order {order} was {status}.`; white space at both ends does not count.

    A slot holds any text that is not empty, or what its pattern in `slots` says: `{"status": "open|closed"}`.
    `{{` and `}}` are braces.
    """

    template: str
    slots: Mapping[str, str] = field(default_factory=dict, hash=False)
    name: str = "Template"
    version: ClassVar[int] = 1
    pure: ClassVar[bool] = True
    _compiled: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given.text("the template", self.template)
        if not isinstance(self.slots, Mapping):
            raise EvaluationError(
                f"the slots are {shown(self.slots)}.", cure='give patterns: {"status": "open|closed"}'
            )
        object.__setattr__(self, "slots", dict(self.slots))
        object.__setattr__(self, "_compiled", compiled(self._pattern(), whole=True))

    def judge(self, case: Case, answer: Answer) -> Score:
        if matches(self._compiled, answer.text.strip(), self.template):
            return Score(True)
        return Score(False, f"{shown(answer.text)} is not of the form {shown(self.template)}")

    def _pattern(self) -> str:
        pattern, seen = "", list[str]()
        for literal, slot, spec, conversion in self._parts():
            pattern += "".join(f"\\{letter}" if letter in _SYNTAX else letter for letter in literal)
            if slot is None:
                continue
            if spec or conversion or not slot.isidentifier() or slot in seen:
                raise EvaluationError(
                    f"the slot {{{slot}}} of the template makes no sense.",
                    cure="give each slot a name of its own, of letters, digits and _; write {{ and }} for braces",
                )
            seen.append(slot)
            own = self.slots.get(slot, _ANYTHING)
            compiled(given.text(f"the pattern of the slot {slot!r}", own))  # (a|b) must not end its own group
            pattern += f"(?:{own})"
        unknown = sorted(set(self.slots) - set(seen))
        if unknown or not seen:
            raise EvaluationError(
                f"the template has no slot {unknown[0]!r}." if unknown else "the template has no slot.",
                cure="name slots in braces: 'Order {order} was {status}.'",
            )
        return pattern

    def _parts(self) -> list[tuple[str, str | None, str | None, str | None]]:
        try:
            return list(Formatter().parse(self.template))
        except ValueError as fault:
            raise EvaluationError(
                f"the template is wrong: {fault}.", cure="write {{ and }} for braces that are no slot"
            ) from None


def compiled(pattern: str, *, whole: bool = False, ignore_case: bool = False) -> Any:
    """Raises EvaluationError for a pattern that is none."""
    import jsonschema_rs

    source = f"^(?:{pattern})$" if whole else pattern
    try:
        jsonschema_rs.validator_for({"pattern": pattern})  # as it stands, lest a group be closed from within
        return jsonschema_rs.validator_for(
            {"pattern": f"(?i){source}" if ignore_case else source},
            mask="the answer",
            pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=BACKTRACKS),
        )
    except (jsonschema_rs.ValidationError, ValueError):
        raise EvaluationError(
            f"the pattern {shown(pattern)} is no regular expression, or one too large.",
            cure="mend it; the dialect is ECMAScript's, as in JSON schema",
        ) from None


def matches(expression: Any, text: str, named: str) -> bool:
    """Whether the compiled expression is found. Raises EvaluationError where it takes too many steps back."""
    import jsonschema_rs

    whole = mended(text)
    if expression.is_valid(whole):
        return True
    try:
        expression.validate(whole)
    except jsonschema_rs.ValidationError as fault:
        if not isinstance(fault.kind, jsonschema_rs.ValidationErrorKind.Pattern):
            raise EvaluationError(
                f"the pattern {shown(named)} took more than {BACKTRACKS:,} steps back and was given up.",
                cure="write it without nested repetitions, look-around and back references",
            ) from None
    return False
