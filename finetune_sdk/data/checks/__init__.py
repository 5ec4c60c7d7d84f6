"""What can be wrong with a dataset. A check is a small class that yields findings; one file a family.

All checks see the rows in one pass, and keep numbers of 8 bytes a row, or a sketch of 256, never the texts. What is
looked for at each load and submission is here; `thorough` names all there is, and is loaded when it is asked for.
"""

from collections.abc import Callable

from finetune_sdk.data.checks.duplicates import Duplicates
from finetune_sdk.data.checks.finding import Check, Finding, RowError, Severity
from finetune_sdk.data.checks.structure import structure

QUICK: tuple[Callable[[], Check], ...] = (Duplicates,)
"""What costs next to nothing: looked for at each submission."""

__all__ = ["QUICK", "Check", "Duplicates", "Finding", "RowError", "Severity", "structure"]
