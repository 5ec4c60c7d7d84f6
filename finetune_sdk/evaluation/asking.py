"""How models are asked: each question once, within the cap, and never again once it was answered."""

from __future__ import annotations

import json
import sys
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from copy import copy
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

from finetune_sdk.errors import AnswersError, BackendError, BudgetError, EvaluationError
from finetune_sdk.estimate import quantity
from finetune_sdk.evaluation.evaluators import Bounded, Case, Evaluator
from finetune_sdk.evaluation.kept import Sitting, digest
from finetune_sdk.evaluation.known import known_as
from finetune_sdk.evaluation.patience import outcomes_within
from finetune_sdk.evaluation.samples import repeatable
from finetune_sdk.evaluation.spending import Budget, Tariff
from finetune_sdk.messages import Asked as AskedOf
from finetune_sdk.messages import Conversation, ToolCall
from finetune_sdk.model import Answer, Model, Prompted, Question, Sampling, Token, Tuned, at_once, prices

Outcome = Answer | BackendError
Put = tuple[Conversation, Sampling | None]
"""A question as it is put."""
GIVE_UP_AFTER = 128
"""So many questions in a row for which the place was not there, and it is asked no more."""

_LOST = frozenset({"timeout", "connection", "garbled"})  # an answer may have been made, and charged, and not have come


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of one model's questions: case by case, of each its samples. So many answers were `kept` from earlier."""

    outcomes: tuple[Outcome, ...]
    kept: int


class Place(NamedTuple):
    """Where an answer is kept, and whether it outlasts the evaluation."""

    key: bytes
    lasting: bool


class Asking:
    """All that is asked for one evaluation, by whomever: what is answered is kept, and the cap holds for all of it.

    `sitting` keeps the answers, where they are kept; `seconds` is how long a model may take for what it took.
    """

    def __init__(self, sitting: Sitting | None, budget: Budget, seconds: float | None) -> None:
        self._sitting = sitting
        self._budget = budget
        self._seconds = seconds
        self._answered = 0
        self.over: BudgetError | None = None

    def ask(
        self,
        key: str,
        model: Model,
        cases: Sequence[Case],
        samplings: Sequence[Sampling | None],
        advance: Callable[[int], None],
    ) -> Asked:
        """Each case as often as there are samplings; `advance` is told how many more are done.

        Raises BudgetError before the cap would be exceeded; what was answered is kept.
        """
        # All first samples before the second ones, so that those of one call are drawn alike.
        found, kept = self.outcomes(key, model, [(case.prompt, one) for one in samplings for case in cases], advance)
        by_case = (found[sample * len(cases) + case] for case in range(len(cases)) for sample in range(len(samplings)))
        return Asked(tuple(by_case), kept)

    def outcomes(
        self, key: str, model: Model, questions: Sequence[Put], advance: Callable[[int], None]
    ) -> tuple[list[Outcome], int]:
        """What came of each question, and how many answers were there already. `key` is what the model is called here."""
        places = self._places(key, model, questions)
        found = self._found(places)
        kept = len(found)
        self._answered += kept
        advance(kept)
        left = [number for number in range(len(questions)) if number not in found]
        with closing(self._new(model, questions, left)) as outcomes:
            for number, outcome, usd in outcomes:
                if isinstance(outcome, Answer):
                    self._answered += 1
                    self._keep(outcome, places[number] if places else None, usd)
                elif usd and self._sitting is not None:
                    self._sitting.pay(usd)
                found[number] = outcome
                advance(1)
        return [found[number] for number in range(len(questions))], kept

    def kept_for(self, evaluator: Evaluator) -> Evaluator:
        """The evaluator itself, or where it asks a model (its `model`) a copy of it whose questions go through here."""
        if isinstance(evaluator, Bounded):
            inner = self.kept_for(evaluator.evaluator)
            same = inner is evaluator.evaluator
            return evaluator if same else replace(evaluator, evaluator=inner)
        model = getattr(evaluator, "model", None)
        if isinstance(model, type) or not isinstance(model, Model):
            return evaluator
        kept = copy(evaluator)
        object.__setattr__(kept, "model", Keeping(model, self, f"evaluator {evaluator.name}"))
        return kept

    def interrupted(self) -> str:
        """What is said when somebody interrupts it."""
        if self._sitting is None:
            return f"interrupted: {self._answered:,} answers are lost, since nothing is kept (cache=False)"
        return f"interrupted: {self._answered:,} answers are kept; run the same evaluation again to go on where it was"

    def _new(
        self, model: Model, questions: Sequence[Put], left: Sequence[int]
    ) -> Generator[tuple[int, Outcome, float], None, None]:
        """Of each question that is left what came of it, and what it cost; in rounds, where the cap lets only some begin."""
        tariff, patience, waiting = Tariff.of(model), _Patience(), list(reversed(left))

        def begun(taken: list[tuple[int, float]]) -> Iterator[Question]:
            # The model takes them, in whatever thread, one by one as it has room.
            while waiting:
                asked, sampling = questions[waiting[-1]]
                most = tariff.at_most(_really(model, asked), sampling) if tariff.known else 0.0
                if not self._budget.reserve(most):
                    return
                taken.append((waiting.pop(), most))
                yield asked, sampling

        while waiting:
            taken, ended = list[tuple[int, float]](), set[int]()
            with closing(outcomes_within(model, begun(taken), self._seconds)) as outcomes:
                for at, outcome in outcomes:
                    number, reserved = taken[at]
                    usd = _usd(outcome, tariff, reserved)
                    self._budget.settle(reserved, usd)
                    ended.add(at)
                    yield number, _checked(model, outcome), usd
                    if patience.ends_with(outcome):
                        break
            self._budget.release()
            if not taken:
                self.over = self._too_little()
                raise self.over
            cut = [number for at, (number, _) in enumerate(taken) if at not in ended]
            if patience.ended:
                yield from ((number, patience.not_asked(), 0.0) for number in (*cut, *reversed(waiting)))
                return
            if cut:
                raise EvaluationError(
                    f"{model.name} gave {len(ended)} answers to {len(taken)} cases.",
                    cure="Model.outcomes must give an outcome for each question that it takes",
                )

    def _too_little(self) -> BudgetError:
        most = self._budget.most or 0.0
        kept = "what was answered is kept, and is not asked again" if self._sitting else "nothing is kept (cache=False)"
        counted = ", which counts what is spent already" if self._sitting else ""
        return BudgetError(
            f"the evaluation stopped at {_dollars(self._budget.spent)}, since the next answer could take it above "
            f"max_cost={_dollars(most)}: {self._answered:,} answers are there; {kept}.",
            cure=f"run it again with a higher max_cost{counted}",
        )

    def _places(self, called: str, model: Model, questions: Sequence[Put]) -> list[Place]:
        """Where the answer to each question is kept; empty where none are. Equal questions are told apart by their order."""
        known = known_as(model) if self._sitting is not None else None
        if known is None or self._sitting is None:
            return []
        seen, places = Counter[bytes](), list[Place]()
        for asked, sampling in questions:
            lasting = known.lasting and repeatable(sampling)
            whose = None if lasting else (self._sitting.id, called)
            drawn = asdict(sampling) if sampling else None
            key = digest(known.name, whose, asked.canonical(), drawn)
            seen[key] += 1
            places.append(Place(key if seen[key] == 1 else digest(key.hex(), seen[key]), lasting))
        return places

    def _found(self, places: Sequence[Place]) -> dict[int, Outcome]:
        if self._sitting is None or not places:
            return {}
        values = self._sitting.find([place.key for place in places])
        return {number: read(values[place.key]) for number, place in enumerate(places) if place.key in values}

    def _keep(self, answer: Answer, place: Place | None, usd: float) -> None:
        if self._sitting is None:
            return
        value = written(answer) if place is not None else None
        if place is None or value is None:
            self._sitting.pay(usd)
        else:
            self._sitting.keep(place.key, value, lasting=place.lasting, usd=usd)


class Keeping:
    """A model that an evaluator asks: its answers are kept and paid for like those of the models that are judged."""

    def __init__(self, model: Model, asking: Asking, called: str) -> None:
        self._model = model
        self._asking = asking
        self._called = called
        self.name = model.name
        self.origin = model.origin
        self.at_once = at_once(model)
        self.identity = known_as(model)
        self.prices = prices(model)

    def answer(self, asked: AskedOf, sampling: Sampling | None = None) -> Answer:
        (outcome,) = self._outcomes([asked], sampling)
        if isinstance(outcome, Answer):
            return outcome
        raise outcome

    def answers(self, asked: Iterable[AskedOf], sampling: Sampling | None = None) -> list[Answer]:
        outcomes = self._outcomes(asked, sampling)
        answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
        if len(answers) == len(outcomes):
            return answers
        first = next(outcome for outcome in outcomes if isinstance(outcome, BackendError))
        lost = len(outcomes) - len(answers)
        message = f"{lost} of {len(outcomes)} conversations were not answered; the first: {first.message}"
        raise AnswersError(message, tuple(outcomes), cure=first.cure)

    def _outcomes(self, asked: Iterable[AskedOf], sampling: Sampling | None) -> list[Outcome]:
        questions = [(Conversation.of(one), sampling) for one in asked]
        return self._asking.outcomes(self._called, self._model, questions, lambda more: None)[0]


class _Patience:
    """Whether a place is still worth asking."""

    def __init__(self) -> None:
        self._failed: deque[BackendError] = deque(maxlen=GIVE_UP_AFTER)
        self._ever = False
        self.ended = False

    def ends_with(self, outcome: Outcome) -> bool:
        if isinstance(outcome, Answer):
            self._failed.clear()
            self._ever = True
            return False
        self._failed.append(outcome)
        if len(self._failed) == GIVE_UP_AFTER:
            gone = all(fault.retryable for fault in self._failed)
            self.ended = gone or (not self._ever and len({fault.message for fault in self._failed}) == 1)
        return self.ended

    def not_asked(self) -> BackendError:
        last = self._failed[-1]
        return BackendError(
            f"it was not asked any more, after {GIVE_UP_AFTER} questions in a row without an answer: {last.message}",
            code=last.code,
            retryable=True,
        )


def _really(model: Model, asked: Conversation) -> Conversation:
    """What the place is asked, and charges for: with the prompt that stands before it."""
    while isinstance(model, Prompted | Tuned):
        asked, model = model.conversation(asked) if isinstance(model, Prompted) else asked, model.model
    return asked


def _usd(outcome: Outcome, tariff: Tariff, reserved: float) -> float:
    """What a question cost; where that is not told, the most that it may have cost."""
    if isinstance(outcome, Answer):
        charged = tariff.charged(outcome)
        return reserved if charged is None else charged
    return reserved if outcome.code in _LOST else 0.0


def _checked(model: Model, outcome: object) -> Outcome:
    if isinstance(outcome, BackendError) or (isinstance(outcome, Answer) and isinstance(outcome.text, str)):
        return outcome
    raise EvaluationError(
        f"{model.name} answered with {type(outcome).__name__}, not with an Answer that has a text.",
        cure="Model.outcomes must give an Answer(text) or a BackendError for each question",
    )


def written(answer: Answer) -> bytes | None:
    """An answer for the disk; None for one that holds what JSON has no word for."""
    said = [[one.text, one.logprob, one.likely] for one in answer.said] if answer.said is not None else None
    calls = [[call.name, dict(call.arguments), call.id] for call in answer.tool_calls]
    row = [answer.text, calls, answer.input_tokens, answer.output_tokens, answer.seconds, answer.finish, said]
    try:
        return json.dumps(row).encode()
    except (TypeError, ValueError, RecursionError):
        return None


def read(value: bytes) -> Answer:
    """The answer that `written` wrote."""
    text, calls, read_, wrote, seconds, finish, said = json.loads(value)
    tokens = said and tuple(Token(one, logprob, tuple((a, b) for a, b in likely)) for one, logprob, likely in said)
    return Answer(
        text, tuple(ToolCall(*call) for call in calls), read_, wrote, seconds, finish,
        said=None if said is None else tokens or (),
    )  # fmt: skip


def _dollars(usd: float) -> str:
    return quantity(usd, "USD") if usd >= 0.01 or not usd else f"${usd:.2g}"


@contextmanager
def bar(
    title: str, models: Mapping[str, Model], questions: int, shown: bool | None
) -> Iterator[Callable[[str, int], None]]:
    """Shows how far each model is, on standard error; gives what is told of it: `advance(model, more)`."""
    if shown is False or (shown is None and not sys.stderr.isatty()):
        yield lambda key, done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks = {key: progress.add_task(f"{title}: {key}", total=questions) for key in models}
        yield lambda key, done: progress.advance(tasks[key], done)
