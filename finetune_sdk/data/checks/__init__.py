"""What can be wrong with a dataset. A check is a small class that yields findings; one file a family."""

from finetune_sdk.data.checks.duplicates import Duplicates
from finetune_sdk.data.checks.finding import Check, Finding, RowError, Severity
from finetune_sdk.data.checks.structure import structure

__all__ = ["Check", "Duplicates", "Finding", "RowError", "Severity", "structure"]
