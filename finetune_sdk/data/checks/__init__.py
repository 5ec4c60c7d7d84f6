"""What can be wrong with a dataset. A check is a small class that yields findings; one file a family."""

from collections.abc import Callable

from finetune_sdk.data.checks.duplicates import Duplicates
from finetune_sdk.data.checks.finding import Check, Finding, RowError, Severity
from finetune_sdk.data.checks.structure import structure

QUICK: tuple[Callable[[], Check], ...] = (Duplicates,)
"""What costs next to nothing: looked for at each submission."""
THOROUGH: tuple[Callable[[], Check], ...] = QUICK
"""All that is looked for by `finetune check` and `Dataset.check`."""

__all__ = ["QUICK", "THOROUGH", "Check", "Duplicates", "Finding", "RowError", "Severity", "structure"]
