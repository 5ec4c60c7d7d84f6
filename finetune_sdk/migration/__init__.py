"""The way out of a place: its jobs, their data, settings and recorded answers in a folder that any backend can train from.

Whatever is written stands whole or not at all, so that a migration that was ended anywhere goes on where it was. Nothing
in here knows a vendor: a place tells its past through the optional verb "history" of the contract.
"""

from finetune_sdk.migration.cases import Cases, choose
from finetune_sdk.migration.comparing import compare
from finetune_sdk.migration.fetching import fetch
from finetune_sdk.migration.folder import Folder
from finetune_sdk.migration.listing import find, past_jobs
from finetune_sdk.migration.recording import Recording, plan, record, recorded
from finetune_sdk.migration.writing import write

__all__ = [
    "Cases", "Folder", "Recording", "choose", "compare", "fetch", "find", "past_jobs", "plan", "record", "recorded", "write"
]  # fmt: skip
