"""How models are asked: each question once, within the cap, and never again once it was answered."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass

from finetune_sdk.errors import BackendError, BudgetError, EvaluationError
from finetune_sdk.estimate import quantity
from finetune_sdk.evaluation.evaluators import Case
from finetune_sdk.evaluation.kept import Sitting, digest
from finetune_sdk.evaluation.known import known_as
from finetune_sdk.evaluation.patience import outcomes_within
from finetune_sdk.evaluation.samples import repeatable
from finetune_sdk.evaluation.spending import Budget, Tariff
from finetune_sdk.messages import Conversation, ToolCall
from finetune_sdk.model import Answer, Model, Question, Sampling, Token

Outcome = Answer | BackendError
GIVE_UP_AFTER = 128
"""So many questions in a row for which the place was not there, and it is asked no more."""

_LOST = frozenset({"timeout", "connection", "garbled"})  # an answer may have been made, and charged, and not have come


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of one model's questions: case by case, of each its samples. So many answers were `kept` from earlier."""

    outcomes: tuple[Outcome, ...]
    kept: int


class Asking:
    """The questions of one evaluation: each case as often as there are samplings, to every model in turn.

    `sitting` keeps the answers, where they are kept; `seconds` is how long a question may take; `advance` is told how many
    more are done.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        samplings: Sequence[Sampling | None],
        sitting: Sitting | None,
        budget: Budget,
        seconds: float | None,
        advance: Callable[[str, int], None],
    ) -> None:
        self._cases = cases
        self._samplings = samplings
        self._sitting = sitting
        self._budget = budget
        self._seconds = seconds
        self._advance = advance
        self.answered = 0

    def ask(self, key: str, model: Model) -> Asked:
        """Raises BudgetError before the cap would be exceeded; what was answered is kept."""
        places = self._kept_as(key, model)
        found = self._found(places)
        kept = len(found)
        self.answered += kept
        self._advance(key, kept)
        left = [number for number in self._order() if number not in found]
        with closing(self._outcomes(model, left)) as outcomes:
            for number, outcome, usd in outcomes:
                if isinstance(outcome, Answer):
                    self.answered += 1
                    self._keep(outcome, places.get(number), usd)
                elif usd and self._sitting is not None:
                    self._sitting.pay(usd)
                found[number] = outcome
                self._advance(key, 1)
        return Asked(tuple(found[number] for number in range(len(self._cases) * len(self._samplings))), kept)

    def interrupted(self) -> str:
        """What is said when somebody interrupts it."""
        if self._sitting is None:
            return f"interrupted: {self.answered:,} answers are lost, since nothing is kept (cache=False)"
        return f"interrupted: {self.answered:,} answers are kept; run the same evaluation again to go on where it was"

    def _order(self) -> Iterator[int]:
        """All first samples before the second ones, so that those of one call are drawn alike."""
        each = len(self._samplings)
        return (case * each + sample for sample in range(each) for case in range(len(self._cases)))

    def _question(self, number: int) -> tuple[Conversation, Sampling | None]:
        case, sample = divmod(number, len(self._samplings))
        return self._cases[case].prompt, self._samplings[sample]

    def _outcomes(self, model: Model, left: list[int]) -> Generator[tuple[int, Outcome, float], None, None]:
        """Of each question that is left what came of it, and what it cost; in rounds, where the cap lets only some begin."""
        tariff, patience, waiting = Tariff.of(model), _Patience(), left[::-1]
        while waiting:
            taken: list[tuple[int, float]] = []
            over = set[int]()
            with closing(outcomes_within(model, self._begun(tariff, waiting, taken), self._seconds)) as outcomes:
                for at, outcome in outcomes:
                    number, reserved = taken[at]
                    usd = _usd(outcome, tariff, reserved)
                    self._budget.settle(reserved, usd)
                    over.add(at)
                    yield number, _checked(model, outcome), usd
                    if patience.ends_with(outcome):
                        break
            self._budget.release()
            if not taken:
                raise self._too_little()
            if patience.ended:
                cut = [number for at, (number, _) in enumerate(taken) if at not in over]
                yield from ((number, patience.not_asked(), 0.0) for number in (*cut, *reversed(waiting)))
                return
            if len(over) < len(taken):
                raise EvaluationError(
                    f"{model.name} gave {len(over)} answers to {len(taken)} cases.",
                    cure="Model.outcomes must give an outcome for each question that it takes",
                )

    def _begun(self, tariff: Tariff, waiting: list[int], taken: list[tuple[int, float]]) -> Iterator[Question]:
        """Taken by the model, in whatever thread, one by one as it has room."""
        while waiting:
            asked, sampling = self._question(waiting[-1])
            most = tariff.at_most(asked, sampling) if tariff.known else 0.0
            if not self._budget.reserve(most):
                return
            taken.append((waiting.pop(), most))
            yield asked, sampling

    def _too_little(self) -> BudgetError:
        most = self._budget.most or 0.0
        kept = "what was answered is kept, and is not asked again" if self._sitting else "nothing is kept (cache=False)"
        return BudgetError(
            f"the evaluation stopped at {_dollars(self._budget.spent)}, since the next answer could take it above "
            f"max_cost={_dollars(most)}: {self.answered:,} answers are there; {kept}.",
            cure="run it again with a higher max_cost"
            + (", which counts what is spent already" if self._sitting else ""),
        )

    def _kept_as(self, called: str, model: Model) -> dict[int, tuple[bytes, bool]]:
        """Of each question the key of its answer, and whether that outlasts this sitting; empty where nothing is kept."""
        known = known_as(model) if self._sitting is not None else None
        if known is None or self._sitting is None:
            return {}
        shared = [known.lasting and repeatable(sampling) for sampling in self._samplings]
        drawn = [asdict(sampling) if sampling else None for sampling in self._samplings]
        places: dict[int, tuple[bytes, bool]] = {}
        for at, case in enumerate(self._cases):
            asked = digest(case.prompt.canonical()).hex()
            for sample, how in enumerate(drawn):
                whose = None if shared[sample] else (self._sitting.id, called)
                key = digest("answer", known.name, asked, how, sample, whose)
                places[at * len(drawn) + sample] = (key, shared[sample])
        return places

    def _found(self, places: Mapping[int, tuple[bytes, bool]]) -> dict[int, Outcome]:
        if self._sitting is None or not places:
            return {}
        values = self._sitting.find([key for key, _ in places.values()])
        return {number: read(values[key]) for number, (key, _) in places.items() if key in values}

    def _keep(self, answer: Answer, place: tuple[bytes, bool] | None, usd: float) -> None:
        if self._sitting is None:
            return
        value = written(answer)
        if place is None or value is None:
            self._sitting.pay(usd)
            return
        self._sitting.keep(place[0], value, lasting=place[1], usd=usd)


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
