"""finetune schema: the JSON schema of job.yaml, for editors."""

from __future__ import annotations

from finetune_sdk.cli.options import AsJson
from finetune_sdk.cli.screen import screen, write_json


def schema(as_json: AsJson = False) -> None:
    """Print the JSON schema of a job file, with which editors complete and check it."""
    with screen(as_json) as out:
        from finetune_sdk.jobfile import JobFile

        if not out.for_a_program:
            write_json(1, JobFile.schema())
        out.answer(JobFile.schema())
