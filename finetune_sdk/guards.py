"""What is watched while a job runs, beside the loss: answers, what is forgotten, what is known by heart.

Watching changes nothing of what is learnt. `best_by` decides which checkpoint becomes the run's model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, Any

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import JobError
from finetune_sdk.evaluation.evaluators.tables import evaluator_table

if TYPE_CHECKING:
    from finetune_sdk.evaluation.evaluators.case import Evaluator

MOST_CASES, MOST_TOKENS = 10_000, 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """At each validation:

    - with `best_by`, up to `cases` prompts of the validation data are answered, greedily and in at most `max_tokens` tokens. The
      validation score is the share of answers that pass all these evaluators. The run's model is that of the best score (of equal
      ones, of the lower loss), and `early_stopping` counts validations without a better one;
    - with `memorisation`, the same answers are searched for training answers, word for word;
    - with `forgetting`, the loss is taken on these general examples (chats or texts), which are never trained on;
    - with `forgetting_by`, up to `cases` of these general chats are answered too, in the same way, and judged by these evaluators.
    """

    best_by: tuple[Evaluator, ...] = ()
    cases: int = 32
    max_tokens: int = 256
    memorisation: bool = False
    forgetting: Dataset | None = None
    forgetting_by: tuple[Evaluator, ...] = ()

    def __post_init__(self) -> None:
        for name in ("best_by", "forgetting_by"):
            object.__setattr__(self, name, _evaluators(name, getattr(self, name)))
        for name, most in (("cases", MOST_CASES), ("max_tokens", MOST_TOKENS)):
            value: Any = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
                raise JobError(
                    f"Guards({name}={value!r}) makes no sense.", cure=f"give {name} a whole number from 1 to {most:,}"
                )
        if not isinstance(self.memorisation, bool):
            raise JobError(f"Guards(memorisation={self.memorisation!r}) makes no sense.", cure="give True or False")
        if self.forgetting is None:
            if self.forgetting_by:
                raise JobError(
                    "Guards(forgetting_by=…) judges answers to general examples, and there are none.",
                    cure="give forgetting=… chats that the base answers well, or leave forgetting_by out",
                )
            return
        if not isinstance(self.forgetting, Dataset) or self.forgetting.kind not in ("chat", "text"):
            found = getattr(self.forgetting, "kind", type(self.forgetting).__name__)
            raise JobError(
                f"Guards(forgetting=…) is {found}.", cure="give a Dataset of chats or texts that the base is good at"
            )
        if not len(self.forgetting):
            raise JobError("Guards(forgetting=…) has no rows.", cure="give at least one example; 100 tell more")
        if self.forgetting_by and self.forgetting.kind != "chat":
            raise JobError(
                f"Guards(forgetting_by=…) judges answers, and {self.forgetting.name} holds texts, which ask nothing.",
                cure="give forgetting=… chats, or leave forgetting_by out: the loss is taken on texts too",
            )

    @property
    def answers(self) -> bool:
        """Whether prompts of the validation data are answered at each validation."""
        return bool(self.best_by) or self.memorisation

    def named(self) -> Iterator[str]:
        """The guards that are on."""
        for name in ("best_by", "memorisation", "forgetting_by", "forgetting"):
            if getattr(self, name):
                yield name

    def definition(self) -> dict[str, Any]:
        """As plain data, what is off left out."""
        told: dict[str, Any] = {}
        if self.answers or self.forgetting_by:
            told |= {"cases": self.cases, "max_tokens": self.max_tokens}
        if self.best_by:
            told["best_by"] = [evaluator_table(one) for one in self.best_by]
        if self.memorisation:
            told["memorisation"] = True
        if self.forgetting is not None:
            told["forgetting"] = self.forgetting.fingerprint
        if self.forgetting_by:
            told["forgetting_by"] = [evaluator_table(one) for one in self.forgetting_by]
        return told


def _evaluators(name: str, given: Any) -> tuple[Any, ...]:
    made = tuple(given) if isinstance(given, list | tuple) else (given,)
    if not all(hasattr(one, "judge") and is_dataclass(one) and not isinstance(one, type) for one in made):
        raise JobError(
            f"Guards({name}={given!r:.80}) makes no sense.", cure=f"give evaluators, such as {name}=(ExactMatch(),)"
        )
    return made
