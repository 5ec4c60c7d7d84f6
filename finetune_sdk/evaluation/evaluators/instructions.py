"""Instruction and Instructions: the answer obeys instructions that a program can verify."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, ClassVar

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluators import given
from finetune_sdk.evaluation.evaluators.case import Case, Score
from finetune_sdk.evaluation.evaluators.language import identifier
from finetune_sdk.evaluation.evaluators.obeying import KINDS, SPOKEN
from finetune_sdk.evaluation.evaluators.reading import NotJSONError, parsed, shown
from finetune_sdk.model import Answer


@dataclass(frozen=True, slots=True, init=False)
class Instruction:
    """One of IFEval's 25 kinds by its name, whole or without its group, and its arguments, as IFEval's data calls them.

    `Instruction("no_comma")`, `Instruction("number_words", relation="at least", num_words=200)`. A relation is "at least"
    or "less than". Those about a language need the extra `evaluators`.
    """

    kind: str
    arguments: tuple[tuple[str, Any], ...]

    def __init__(self, kind: str, **arguments: Any) -> None:
        known = {name.partition(":")[2]: name for name in KINDS}
        full = known.get(kind, kind) if isinstance(kind, str) else kind
        if full not in KINDS:
            near = get_close_matches(str(kind), [*known, *KINDS], 1)
            raise EvaluationError(
                f"there is no instruction {shown(kind)}.",
                cure=f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}",
            )
        checked = _checked(full, {name: value for name, value in arguments.items() if value is not None})
        if full in SPOKEN:  # a package that is missing is told before any model is asked
            given.one_of("the language", checked.get("language", "en"), identifier().labels)
        object.__setattr__(self, "kind", full)
        object.__setattr__(self, "arguments", tuple(sorted(checked.items())))

    def to_dict(self) -> dict[str, Any]:
        """As plain data, which `Instructions` takes too."""
        return {"kind": self.kind, **dict(self.arguments)}

    def obeyed(self, said: str, prompt: str = "") -> bool:
        """Whether a text obeys it; an empty one obeys nothing."""
        return bool(said.strip()) and KINDS[self.kind][0](said, prompt, dict(self.arguments))


@dataclass(frozen=True, slots=True)
class Instructions:
    """The answer obeys each of the instructions; the fields tell of each, the value is the share that is obeyed.

    With `loose` an instruction is obeyed when one of eight forms of the answer obeys it: as it is, without its first line, without
    its last, without both, and each of them without asterisks (IFEval's loose criterion, section 2.2). Without
    `instructions` each case's own are taken: its expected answer is JSON with `instruction_id_list` and `kwargs`, as a
    row of IFEval has them. They are kept as plain data.
    """

    instructions: Iterable[Instruction | Mapping[str, Any]] | None = field(default=None, hash=False)
    loose: bool = False
    name: str = "Instructions"
    version: ClassVar[int] = 1
    graded: ClassVar[bool] = True
    _chosen: tuple[Instruction, ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        if self.instructions is None:
            return
        asked = (self.instructions,) if isinstance(self.instructions, Instruction) else self.instructions
        chosen = tuple(map(_instruction, asked)) if isinstance(asked, list | tuple) else ()
        if not chosen:
            raise EvaluationError(
                f"the instructions are {shown(str(asked))}.", cure='give some: [Instruction("no_comma")]'
            )
        object.__setattr__(self, "instructions", tuple(each.to_dict() for each in chosen))
        object.__setattr__(self, "_chosen", chosen)

    @property
    def pure(self) -> bool:
        """The instructions of a case, in its expected answer, are not to be tried as an answer."""
        return self.instructions is not None

    def judge(self, case: Case, answer: Answer) -> Score:
        chosen = self._chosen or _own(case)
        prompt = next((turn.text for turn in reversed(case.prompt.messages) if turn.role == "user"), "")
        forms = tuple(_forms(answer.text)) if self.loose else (answer.text,)
        fields: dict[str, bool] = {}
        for instruction, name in zip(chosen, _names(chosen), strict=True):
            fields[name] = any(instruction.obeyed(form, prompt) for form in forms)
        failed = [name for name, obeyed in fields.items() if not obeyed]
        share = 1 - len(failed) / len(fields)
        return Score(not failed, f"not obeyed: {', '.join(failed)}" if failed else "", share, fields)


def _instruction(given_: Any) -> Instruction:
    if isinstance(given_, Instruction):
        return given_
    if not isinstance(given_, Mapping) or not all(isinstance(name, str) for name in given_) or "kind" not in given_:
        raise EvaluationError(f"{shown(str(given_))} is no instruction.", cure='give Instruction("no_comma")')
    return Instruction(**given_)


def _forms(text: str) -> Iterator[str]:
    lines = text.split("\n")
    cut = (text, "\n".join(lines[1:]).strip(), "\n".join(lines[:-1]).strip(), "\n".join(lines[1:-1]).strip())
    for form in dict.fromkeys(cut):
        yield form
        if "*" in form:
            yield form.replace("*", "")


def _names(chosen: Iterable[Instruction]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for instruction in chosen:
        short = instruction.kind.partition(":")[2]
        seen[short] = seen.get(short, 0) + 1
        yield short if seen[short] == 1 else f"{short} {seen[short]}"


def _own(case: Case) -> tuple[Instruction, ...]:
    text = given.expected(case).text
    try:
        row = parsed(text)
        kinds, arguments = row["instruction_id_list"], row.get("kwargs", [{}] * len(row["instruction_id_list"]))
        pairs = list(zip(kinds, arguments, strict=True))
    except (NotJSONError, TypeError, KeyError, AttributeError, ValueError):
        pairs = []
    if not pairs or not all(isinstance(each, Mapping) for _, each in pairs):
        raise EvaluationError(
            f"{case.where}: the expected answer {shown(text)} names no instructions.",
            cure='give them as JSON, {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}, or to Instructions',
        )
    try:
        return tuple(Instruction(kind, **each) for kind, each in pairs)
    except EvaluationError as fault:
        raise EvaluationError(f"{case.where}: {fault.message}", cure=fault.cure) from None


def _checked(kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
    takes = KINDS[kind][1]
    for name in arguments.keys() - takes.keys():
        raise EvaluationError(f"{kind} takes no {name}.", cure=f"it takes {', '.join(takes) or 'nothing'}")
    for name, sort in takes.items():
        if name in arguments:
            arguments[name] = _value(f"{name} of {kind}", sort, arguments[name])
        elif "if" not in sort:
            raise EvaluationError(f"{kind} lacks {name}.", cure=f"it takes {', '.join(takes)}")
    return arguments


def _value(what: str, sort: str, value: Any) -> Any:
    if sort == "relation":
        return given.one_of(what, value, ("at least", "less than"))
    if sort in ("count", "place"):
        number = int(value) if isinstance(value, float) and value.is_integer() else value  # tables make floats of them
        return given.whole(what, number, low=int(sort == "place"))
    return given.texts(what, value) if sort == "texts" else given.text(what, value)
