"""What can be wrong with a dataset. A check is a small class that yields findings; one file a family.

All checks see the rows in one pass, and keep numbers of 8 bytes a row at most, or a sketch, never the texts.
"""

from collections.abc import Callable

from finetune_sdk.data.checks.answers import CutAnswers, EmptyAnswers, Refusals
from finetune_sdk.data.checks.calls import ToolCalls
from finetune_sdk.data.checks.conflicts import Conflicts
from finetune_sdk.data.checks.duplicates import Duplicates
from finetune_sdk.data.checks.finding import Check, Finding, RowError, Severity
from finetune_sdk.data.checks.labels import Labels
from finetune_sdk.data.checks.near import NearDuplicates
from finetune_sdk.data.checks.outliers import Languages, Lengths
from finetune_sdk.data.checks.outputs import OutputForms, SystemPrompts
from finetune_sdk.data.checks.personal import PersonalData
from finetune_sdk.data.checks.secrets import Secrets
from finetune_sdk.data.checks.structure import structure

QUICK: tuple[Callable[[], Check], ...] = (Duplicates,)
"""What costs next to nothing: looked for at each submission."""
THOROUGH: tuple[Callable[[], Check], ...] = (
    *QUICK, Conflicts, Labels, OutputForms, EmptyAnswers, CutAnswers, Refusals, Secrets, PersonalData, ToolCalls,
    SystemPrompts, NearDuplicates, Languages, Lengths,
)  # fmt: skip
"""All that is looked for by `finetune check` and `Dataset.check`."""

__all__ = [
    "QUICK", "THOROUGH", "Check", "Conflicts", "CutAnswers", "Duplicates", "EmptyAnswers", "Finding", "Labels",
    "Languages", "Lengths", "NearDuplicates", "OutputForms", "PersonalData", "Refusals", "RowError", "Secrets",
    "Severity", "SystemPrompts", "ToolCalls", "structure",
]  # fmt: skip
