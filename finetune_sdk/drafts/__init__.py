"""Rows that a model writes and a person decides on: kept, reviewed, and only then data."""

from finetune_sdk.drafts.draft import Decision, Draft, Written
from finetune_sdk.drafts.drafts import Drafts

__all__ = ["Decision", "Draft", "Drafts", "Written"]
