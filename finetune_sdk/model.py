"""Model: anything that answers messages, and some that stand on others or on earlier answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from finetune_sdk.errors import AnswersError, BackendError, EvaluationError, InputError
from finetune_sdk.estimate import Price
from finetune_sdk.log import Log
from finetune_sdk.messages import Asked, ChatExample, Conversation, Example, Message, ToolCall


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was said, with its log probability (base e) before any temperature; `likely` are the likeliest ones there.

    `text` holds U+FFFD where the token is a part of a letter.
    """

    text: str
    logprob: float
    likely: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said. `seconds` is what its asker waited: in a batch, the batch's time.

    Tokens are None where the place does not count them. `finish` is "stop", "length", "tool_calls" or the place's word.
    `id` is that of its line in a log, where it was logged. `said` are the text's tokens, where the sampling asked for
    them and the place gives them.
    """

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float | None = None
    finish: str = "stop"
    id: str | None = None
    said: tuple[Token, ...] | None = None

    @property
    def message(self) -> Message:
        """The answer as the assistant's turn."""
        return Message("assistant", self.text if self.text or not self.tool_calls else None, self.tool_calls)

    def to_dict(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "tool_calls": [call.canonical() for call in self.tool_calls],
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "seconds": self.seconds,
            "finish": self.finish,
        }


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are drawn. Temperature 0 is greedy. `logprobs` asks for `Answer.said`, with so many likely tokens each."""

    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    logprobs: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.max_tokens, bool) or not isinstance(self.max_tokens, int) or self.max_tokens < 1:
            raise InputError(f"max_tokens={self.max_tokens!r} makes no sense.", cure="give a whole number, 1 or more")
        for name, low, high in (("temperature", 0.0, 100.0), ("top_p", 0.0, 1.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise InputError(f"{name}={value!r} makes no sense.", cure=f"give a number from {low:g} to {high:g}")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a model comes from. `sketch` holds content hashes of training rows, to notice leaks in an evaluation.

    `job`, `estimate`, `actual`, `curves` and `manifest` are plain JSON-able tables, as the report shows them.
    """

    backend: str
    base: str
    run: str | None = None
    job: Mapping[str, Any] = field(default_factory=dict)
    estimate: Mapping[str, Any] | None = None
    actual: Mapping[str, Any] | None = None
    curves: Mapping[str, Any] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    sketch: frozenset[str] = frozenset()


AT_ONCE = 64
"""How many conversations `answers` is given at a time where a model does not say so itself, in `at_once`."""


def at_once(model: object) -> int:
    return int(getattr(model, "at_once", AT_ONCE))


@runtime_checkable
class Model(Protocol):
    """Anything that answers messages: a base, a tuned model, a base behind a prompt, kept answers."""

    @property
    def name(self) -> str: ...

    @property
    def origin(self) -> Origin: ...

    def answer(self, asked: Asked, sampling: Sampling | None = None) -> Answer:
        """One answer to one conversation."""
        ...

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        """One answer to each conversation, in their order; batched where the place can.

        Where some are not answered, a place that asks for each by itself raises AnswersError, which holds the others.
        """
        ...


Hears = Mapping[int, Callable[[str], bool]]
"""Who hears which answer, by its place; each gets text piece by piece, and returns False to end the answer there."""

Question = tuple[Asked, Sampling | None]


@runtime_checkable
class Flowing(Protocol):
    """A model that hands each answer over as soon as it is there. Optional."""

    def outcomes(self, questions: Iterable[Question]) -> Iterator[tuple[int, Answer | BackendError]]:
        """Of each question, as they come: its number among them, and its answer or what went wrong.

        A question is taken from `questions`, in any thread, only when the place has room for it.
        """


def outcomes(model: Model, questions: Iterable[Question]) -> Iterator[tuple[int, Answer | BackendError]]:
    """Of each question its number and what came of it, as they come where the model can (`Flowing`), else by the call.

    A conversation that the place cannot answer does not take the others of its call with it.
    """
    if isinstance(model, Flowing):
        yield from model.outcomes(questions)
        return
    numbered, size = enumerate(questions), max(1, at_once(model))
    ahead: list[tuple[int, Question]] = []
    while ahead or (ahead := list(islice(numbered, size))):
        sampling = ahead[0][1][1]
        alike = next((at for at, (_, (_, other)) in enumerate(ahead) if other != sampling), len(ahead))
        together, ahead = ahead[:alike], ahead[alike:]
        said = _said(model, [asked for _, (asked, _) in together], sampling)
        yield from zip((number for number, _ in together), said, strict=True)


def _said(model: Model, asked: Sequence[Asked], sampling: Sampling | None) -> list[Answer | BackendError]:
    try:
        answers = list(model.answers(asked, sampling))
    except AnswersError as fault:
        return [one if isinstance(one, Answer | BackendError) else BackendError(str(one)) for one in fault.outcomes]
    except BackendError as fault:
        if fault.retryable or len(asked) == 1:
            return [fault] * len(asked)
        return [_said(model, [one], sampling)[0] for one in asked]
    if len(answers) != len(asked):
        raise EvaluationError(
            f"{model.name} gave {len(answers)} answers to {len(asked)} cases.",
            cure="Model.answers must return one answer for each conversation, in their order",
        )
    for answer in answers:
        if not isinstance(answer, Answer) or not isinstance(answer.text, str):
            raise EvaluationError(
                f"{model.name} answered with {type(answer).__name__}, not with an Answer that has a text.",
                cure="Model.answers must return Answer(text) for each conversation",
            )
    return list(answers)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a model is known by when its answers are kept: those of equal ones are interchangeable. Never a secret.

    `lasting` says that the same name will mean the same weights next month; where it does not, answers serve one evaluation.
    """

    name: str
    lasting: bool

    def behind(self, what: object) -> Identity:
        """That of the same model with something before it."""
        digest = sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
        return Identity(f"{self.name} behind {digest}", self.lasting)


def identity(model: object) -> Identity | None:
    """What the model says that it is known by (an optional `identity`); None where it does not say."""
    found = getattr(model, "identity", None)
    return found if isinstance(found, Identity) else None


def prices(model: object) -> tuple[Price, ...]:
    """What asking the model costs, by kind ("input", "output"), as it says itself (optional `prices`); else empty: unknown."""
    return tuple(getattr(model, "prices", ()))


@runtime_checkable
class Speaking(Protocol):
    """A model that can be heard while it answers: what a stream of text is made from. Optional."""

    def speak(self, asked: Iterable[Asked], hear: Hears, sampling: Sampling | None = None) -> list[Answer]:
        """As `Model.answers`; `hear[i]` gets the text of answer i piece by piece, and returns False to end it there.

        The pieces make up the answer's text. An answer that was ended has what was heard of it, and the tokens of that.
        """
        ...


def speak(model: Model, asked: Iterable[Asked], hear: Hears, sampling: Sampling | None = None) -> list[Answer]:
    """`Speaking.speak` of any model; one that cannot be heard while it answers is heard whole, at the end."""
    if isinstance(model, Speaking):
        return model.speak(asked, hear, sampling)
    answers = model.answers(asked, sampling)
    for row, one in hear.items():
        if answers[row].text:
            one(answers[row].text)
    return answers


@dataclass(frozen=True)
class Prompted:
    """A model behind a prompt: `system` replaces the conversation's own, `examples` come before it as turns."""

    model: Model
    system: str | None = None
    examples: tuple[ChatExample, ...] = ()

    def __init__(self, model: Model, system: str | None = None, examples: Iterable[Example] = ()) -> None:
        shown = tuple(examples)
        chats = tuple(example for example in shown if isinstance(example, ChatExample))
        if len(chats) < len(shown):
            raise EvaluationError(
                "only chat examples can stand before a conversation, and some of these are of another kind.",
                cure="take them from a chat dataset, as in train.sample(3)",
            )
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "system", system)
        object.__setattr__(self, "examples", chats)

    @property
    def name(self) -> str:
        parts = ["a system prompt"] if self.system else []
        if self.examples:
            parts.append(f"{len(self.examples)} examples")
        return f"{self.model.name} with {' and '.join(parts) or 'no prompt'}"

    @property
    def origin(self) -> Origin:
        return self.model.origin

    @property
    def at_once(self) -> int:
        return at_once(self.model)

    def conversation(self, asked: Asked) -> Conversation:
        """What the model behind is really asked."""
        whole = Conversation.of(asked)
        own = [message for message in whole.messages if message.role in ("system", "developer")]
        rest = [message for message in whole.messages if message.role not in ("system", "developer")]
        system = [Message("system", self.system)] if self.system else own
        shown = [
            message
            for shown_example in self.examples
            for message in shown_example.messages
            if message.role not in ("system", "developer")
        ]
        return Conversation((*system, *shown, *rest), whole.tools, whole.parallel_tool_calls)

    @property
    def identity(self) -> Identity | None:
        shown = [self.system, [example.canonical() for example in self.examples]]
        known = identity(self.model)
        return known.behind(shown) if known else None

    @property
    def prices(self) -> tuple[Price, ...]:
        return prices(self.model)

    def answer(self, asked: Asked, sampling: Sampling | None = None) -> Answer:
        return self.model.answer(self.conversation(asked), sampling)

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        return self.model.answers([self.conversation(one) for one in asked], sampling)

    def speak(self, asked: Iterable[Asked], hear: Hears, sampling: Sampling | None = None) -> list[Answer]:
        return speak(self.model, [self.conversation(one) for one in asked], hear, sampling)

    def outcomes(self, questions: Iterable[Question]) -> Iterator[tuple[int, Answer | BackendError]]:
        return outcomes(self.model, ((self.conversation(asked), sampling) for asked, sampling in questions))


@dataclass(frozen=True)
class Tuned:
    """A tuned model: the place's own model, with the name and the origin that the run gives it."""

    model: Model
    name: str
    origin: Origin

    @property
    def at_once(self) -> int:
        return at_once(self.model)

    @property
    def identity(self) -> Identity | None:
        return identity(self.model)

    @property
    def prices(self) -> tuple[Price, ...]:
        return prices(self.model)

    def answer(self, asked: Asked, sampling: Sampling | None = None) -> Answer:
        return self.model.answer(asked, sampling)

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        return self.model.answers(asked, sampling)

    def speak(self, asked: Iterable[Asked], hear: Hears, sampling: Sampling | None = None) -> list[Answer]:
        return speak(self.model, asked, hear, sampling)

    def outcomes(self, questions: Iterable[Question]) -> Iterator[tuple[int, Answer | BackendError]]:
        return outcomes(self.model, questions)


@dataclass(frozen=True)
class Observed:
    """A model whose answers go into a log; rate them there by their id: `observed.log.rate(answer.id, good=True)`."""

    model: Model
    log: Log

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def origin(self) -> Origin:
        return self.model.origin

    @property
    def at_once(self) -> int:
        return at_once(self.model)

    def answer(self, asked: Asked, sampling: Sampling | None = None) -> Answer:
        return self.answers([asked], sampling)[0]

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        return self.speak(asked, {}, sampling)

    def speak(self, asked: Iterable[Asked], hear: Hears, sampling: Sampling | None = None) -> list[Answer]:
        conversations = [Conversation.of(one) for one in asked]
        answers = speak(self.model, conversations, hear, sampling)
        return [
            replace(answer, id=self.log.note(conversation, answer.message, self.name, self.origin.run))
            for conversation, answer in zip(conversations, answers, strict=True)
        ]


class Recorded:
    """Answers kept from earlier: what a model said while it lived. Asking anything else is an EvaluationError."""

    def __init__(self, name: str, said: Iterable[tuple[Asked, Answer]], origin: Origin | None = None) -> None:
        self.name = name
        self.origin = origin or Origin(backend="recorded", base=name)
        self._said = {_key(Conversation.of(asked)): answer for asked, answer in said}

    def __contains__(self, asked: Asked) -> bool:
        return _key(Conversation.of(asked)) in self._said

    def answer(self, asked: Asked, sampling: Sampling | None = None) -> Answer:
        conversation = Conversation.of(asked)
        kept = self._said.get(_key(conversation))
        if kept is None:
            raise EvaluationError(
                f"{self.name} holds no answer to {conversation.messages[-1].text[:80]!r}.",
                cure="record the answers to the same cases, or evaluate a model that still answers",
            )
        return kept

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        return [self.answer(one, sampling) for one in asked]


def _key(conversation: Conversation) -> str:
    return json.dumps(conversation.canonical(), sort_keys=True)
