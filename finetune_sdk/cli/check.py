"""finetune check: what is wrong with a data file, or with a job and all its files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune_sdk.cli.options import AllowLeakage, AsJson, BackendName, ConfigPath
from finetune_sdk.cli.screen import Screen, screen

if TYPE_CHECKING:
    from finetune_sdk.data.checks import Finding
    from finetune_sdk.jobfile import JobFile

_FORMAT = "The data's format, where it should not be detected."


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE|JOB.YAML", help="A data file, or a job.", show_default=False)],
    form: Annotated[str | None, typer.Option("--format", metavar="NAME", help=_FORMAT)] = None,
    backend: BackendName = None,
    config: ConfigPath = None,
    allow_leakage: AllowLeakage = False,
    as_json: AsJson = False,
) -> None:
    """Say everything that is wrong with a data file or a job, with lines and cures. Nothing is sent.

    The exit status is 1 where something must be mended first.
    """
    from finetune_sdk.errors import InputError

    with screen(as_json) as out:
        if file.suffix in (".yaml", ".yml"):
            if form is not None:
                raise InputError(f"--format is for data files, and {file} is a job.", cure="leave --format out")
            errors = _check_job(file, backend, config, allow_leakage, out)
        else:
            found = _check_data(file, form, out)
            out.answer(found)
            errors = found["errors"]
    if errors:
        raise typer.Exit(1)


def _check_data(file: Path, form: str | None, out: Screen) -> dict[str, Any]:
    from finetune_sdk.cli.findings import counts, shown, summary
    from finetune_sdk.data.dataset import Dataset

    data, _ = Dataset.inspect(file, form)
    findings = data.check()
    number = counts(findings)
    out.show(f"{file}: {len(data):,} {data.kind} examples; {summary(number)}", *shown(findings))
    return {
        "file": str(file), "kind": data.kind, "rows": len(data), "fingerprint": data.fingerprint, **number,
        "findings": [finding.to_dict() for finding in findings],
    }  # fmt: skip


def _check_job(file: Path, backend: str | None, config: Path | None, allow_leakage: bool, out: Screen) -> int:
    from finetune_sdk.cli.findings import counts, shown, summary
    from finetune_sdk.jobfile import JobFile

    job_file = JobFile.load(file)
    files = {side: _check_data(path, None, out) for side, path in job_file.files().items()}
    errors: int = sum(found["errors"] for found in files.values())
    own: list[Finding] = []
    if not errors:
        known = {finding["message"] for found in files.values() for finding in found["findings"]}
        placed = _placed(job_file, backend, config, allow_leakage)
        own = [finding for finding in placed if finding.message not in known]
    number = counts(own)
    out.show(f"{file} ({job_file.table.name}): {summary(number) if not errors else 'mend its data first'}", *shown(own))
    errors += number["errors"]
    out.answer(
        {
            "file": str(file), "job": job_file.table.name, "errors": errors, "files": files,
            "findings": [finding.to_dict() for finding in own],
        }
    )  # fmt: skip
    return errors


def _placed(job_file: JobFile, backend: str | None, config: Path | None, allow_leakage: bool) -> list[Finding]:
    """What the place says to the job, and to being asked at all."""
    from finetune_sdk.client import Client
    from finetune_sdk.data.checks import Finding
    from finetune_sdk.errors import BackendError, InputError, MissingDependencyError

    try:
        job = job_file.job()
        job_file.evaluation()
        return list(Client(backend, config=config).check(job, allow_leakage=allow_leakage))
    except MissingDependencyError as fault:
        return [Finding("place", "note", f"the place was not asked: {fault.message}", fault.cure or "")]
    except (InputError, BackendError) as fault:
        return [Finding("job", "error", fault.message, fault.cure or "change the job")]
