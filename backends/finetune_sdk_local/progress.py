"""How far a run is, how fast it learns there, which step was its best, and whether it goes astray."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from finetune_sdk.errors import BackendError
from finetune_sdk.job import Method

DIVERGED, IN_A_ROW = 3.0, 3
"""A validation loss of so many times the base's, and one nat above it at least, in so many validations is a divergence."""


@dataclass
class Progress:
    """Where a run is. Everything here is in each checkpoint."""

    step: int = 0
    trained_tokens: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best_step: int | None = None
    best_loss: float = math.inf
    best_score: float = -math.inf
    start_loss: float = math.inf
    diverging: int = 0
    waited: int = 0

    def best(self, figures: Mapping[str, float]) -> bool:
        """Takes a validation: whether it is the best so far, by its score or reward where it has one, then by its loss."""
        score = figures.get("validation_score", figures.get("validation_reward", 0.0))
        loss = figures.get("validation_loss", 0.0)
        if (score, -loss) > (self.best_score, -self.best_loss):
            self.best_score, self.best_loss = score, loss
            self.best_step, self.waited = self.step, 0
            return True
        self.waited += 1
        return False

    def astray(self, loss: float) -> str | None:
        """Words about a validation loss that is far above the base's for the last time of several in a row.

        Raises BackendError where no validation was ever better than the base.
        """
        far = loss > max(DIVERGED * self.start_loss, self.start_loss + 1.0)
        self.diverging = self.diverging + 1 if far else 0
        if self.diverging != IN_A_ROW:
            return None
        found = (
            f"the validation loss after step {self.step} is {loss:.3f}, and was {self.start_loss:.3f} before the first step: "
            f"{IN_A_ROW} validations in a row are more than {DIVERGED:g} times as bad as the base"
        )
        if self.best_loss >= self.start_loss:
            raise diverged(found)
        return f"{found}. The best so far is that of step {self.best_step}, and is kept"


def learning_rate(method: Method, step: int, steps: int) -> float:
    """The rate of step `step` (from 0): linear warmup, then the schedule down to 0 after the last step."""
    assert method.learning_rate is not None
    warmup = math.ceil((method.warmup or 0.0) * steps)
    if step < warmup:
        return method.learning_rate * (step + 1) / warmup
    if method.schedule == "constant":
        return method.learning_rate
    done = (step - warmup) / max(1, steps - warmup)
    share = 0.5 * (1 + math.cos(math.pi * done)) if method.schedule == "cosine" else 1 - done
    return method.learning_rate * share


def diverged(found: str) -> BackendError:
    return BackendError(
        f"{found}: the run has diverged.",
        cure="lower the learning rate, and look at the rows of that step; the last good checkpoint is kept",
    )
