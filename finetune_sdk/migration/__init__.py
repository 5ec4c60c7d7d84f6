"""The way out of a place: its jobs, their data, settings and recorded answers in a folder that any backend can train from.

Whatever is written stands whole or not at all, so that a migration that was ended anywhere goes on where it was. Nothing
in here knows a vendor: a place tells its past through the optional verb "history" of the contract.
"""

from finetune_sdk.migration.comparing import Compared, compare
from finetune_sdk.migration.folder import Folder
from finetune_sdk.migration.listing import find, past_jobs
from finetune_sdk.migration.migration import Migration, within
from finetune_sdk.migration.recording import Recording, recorded

__all__ = ["Compared", "Folder", "Migration", "Recording", "compare", "find", "past_jobs", "recorded", "within"]
