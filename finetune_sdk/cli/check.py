"""finetune check: what is wrong with a data file, or with a job and all its files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune_sdk.cli.options import AllowLeakage, AsJson, ColumnNames, ConfigPath, RulesOf, columns
from finetune_sdk.cli.screen import Screen, screen
from finetune_sdk.cli.waiting import waiting

if TYPE_CHECKING:
    from finetune_sdk.cli.checking import Checked
    from finetune_sdk.data.checks import Finding
    from finetune_sdk.jobfile import JobFile

_FORMAT = "The data's format, where it should not be detected."
_FIX = "Write the rows there with what is mechanical mended, and say every change."
_REDACT = "With --fix: replace secrets and personal data by placeholders such as <EMAIL_1>."
_HTML = "Also write what was found as a page."
_PREVIEW = "Also show the first N rows as a base sees them, with what is trained in colour."
_BASE = "With --preview or --for: the base, instead of the settings' own."


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a data file besides all checks: how to read it, what to write, and which place to ask."""

    form: str | None
    columns: dict[str, str] | None
    fix: Path | None
    redact: bool
    html: Path | None
    preview: int | None
    base: str | None
    backend: str | None
    config: Path | None

    def refuse_for_a_job(self, file: Path) -> None:
        """Raises InputError for what is set and would not count, since the file is a job."""
        names = ("form", "columns", "fix", "redact", "html", "preview", "base")
        given = {"--format" if name == "form" else f"--{name}": getattr(self, name) for name in names}
        _refuse(given, "a data file", f"{file} is a job")

    def refuse_for_data(self) -> None:
        """Raises InputError for what is set and would not count without what is not set."""
        if self.backend is None and self.preview is None:
            _refuse({"--config": self.config}, "a place", "no --for is named")
            _refuse({"--base": self.base}, "a place", "there is neither --for nor --preview")
        if self.fix is None:
            _refuse({"--redact": self.redact}, "mending", "there is no --fix OUT")


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE|JOB.YAML", help="A data file, or a job.", show_default=False)],
    form: Annotated[str | None, typer.Option("--format", metavar="NAME", help=_FORMAT)] = None,
    column: ColumnNames = None,
    fix: Annotated[Path | None, typer.Option("--fix", metavar="OUT", help=_FIX, show_default=False)] = None,
    redact: Annotated[bool, typer.Option("--redact", help=_REDACT)] = False,
    html: Annotated[Path | None, typer.Option("--html", metavar="OUT", help=_HTML, show_default=False)] = None,
    preview: Annotated[int | None, typer.Option("--preview", metavar="N", min=1, help=_PREVIEW)] = None,
    base: Annotated[str | None, typer.Option("--base", metavar="NAME", help=_BASE)] = None,
    backend: RulesOf = None,
    config: ConfigPath = None,
    allow_leakage: AllowLeakage = False,
    as_json: AsJson = False,
) -> None:
    """Say everything that is wrong with a data file or a job, with lines and cures. Nothing is sent.

    The exit status is 1 where something must be mended first.
    """
    with screen(as_json) as out:
        asked = Asked(form, columns(column), fix, redact, html, preview, base, backend, config)
        if file.suffix in (".yaml", ".yml"):
            asked.refuse_for_a_job(file)
            errors = _check_job(file, backend, config, allow_leakage, out)
        else:
            _refuse({"--allow-leakage": allow_leakage}, "a job", f"{file} is a data file")
            asked.refuse_for_data()
            errors = _check_file(file, asked, out)
    if errors:
        raise typer.Exit(1)


def _refuse(options: dict[str, Any], what: str, why: str) -> None:
    """Raises InputError for the first option that is set and would not count."""
    from finetune_sdk.errors import InputError

    for name, value in options.items():
        if value:
            raise InputError(f"{name} is for {what}, and {why}.", cure=f"leave {name} out")


def _check_file(file: Path, asked: Asked, out: Screen) -> int:
    from finetune_sdk.cli.checking import checked, mend, page, show

    _writable(file, asked.fix, asked.html)
    found = checked(file, asked.form, asked.columns)
    if asked.backend is not None:
        rules = _rules(found, asked.backend, asked.config, asked.base)
        found = replace(found, findings=[*found.findings, *rules])
    show(found, out)
    value = found.to_dict()
    if asked.preview is not None:
        from finetune_sdk.cli.preview import preview

        value["preview"] = preview(found, asked.preview, asked.base, asked.backend, asked.config, out)
    if asked.fix is not None:
        value["fixed"] = mend(found, asked.fix, asked.redact, out)
    if asked.html is not None:
        page(found, asked.html, value.get("fixed"))
        value["html"] = str(asked.html)
        out.show(f"page: {asked.html}")
    out.answer(value)
    errors: int = value["errors"]
    return 0 if asked.fix is not None else errors


def _writable(file: Path, fix: Path | None, html: Path | None) -> None:
    from finetune_sdk.errors import InputError

    for name, to in (("--fix", fix), ("--html", html)):
        if to is None:
            continue
        if to.exists() and file.exists() and to.samefile(file):
            raise InputError(f"{name} would write over {file}.", cure="name another file, and compare the two")
        if to.is_dir() or not to.absolute().parent.is_dir():
            raise InputError(
                f"{name} {to} cannot be written: it is a folder, or its folder is not there.", cure="name a file"
            )


def _rules(found: Checked, backend: str, config: Path | None, base: str | None) -> list[Finding]:
    """What the place would reject in these rows, asked with the usual method for their kind; base None is its own."""
    from finetune_sdk.data.checks import Finding
    from finetune_sdk.errors import DatasetError, InputError, MissingDependencyError, UnsupportedError
    from finetune_sdk.job import DPO, KTO, SFT, Job, Pretraining

    methods = {"chat": SFT, "preference": DPO, "rated": KTO, "text": Pretraining}
    data = found.data
    if data.kind not in methods:
        raise InputError(
            f"what {backend} says to {data.kind} data depends on the job.",
            cure=f"write a job for {found.file}, and `finetune check job.yaml --for {backend}`",
        )
    if any(finding.severity == "error" for finding in found.findings):
        said = f"{backend} was not asked: rows that cannot be used come first."
        return [Finding("place", "note", said, "mend the errors above")]
    from finetune_sdk.client import Client

    client = Client(backend, config=config)
    known = {finding.message for finding in found.findings}
    try:
        job = Job(name=found.file.stem or "data", train=data, method=methods[data.kind](), base=base)
        said_there = client.check(job)
    except (DatasetError, UnsupportedError, MissingDependencyError) as fault:
        return [Finding("place", "error", f"{backend} cannot check these rows: {fault.message}", fault.cure or "")]
    return [finding for finding in said_there if finding.message not in known]


def _check_job(file: Path, backend: str | None, config: Path | None, allow_leakage: bool, out: Screen) -> int:
    from finetune_sdk.cli.checking import checked, show
    from finetune_sdk.cli.findings import counts, shown, summary
    from finetune_sdk.jobfile import JobFile

    job_file = JobFile.load(file)
    files: dict[str, dict[str, Any]] = {}
    for side, held in job_file.data_files().items():
        found = checked(Path(held.path), held.format, held.columns)
        show(found, out)
        files[side] = found.to_dict()
    errors: int = sum(each["errors"] for each in files.values())
    own: list[Finding] = []
    if not errors:
        known = {finding["message"] for each in files.values() for finding in each["findings"]}
        with waiting(f"checking {file.name}"):
            placed = _placed(job_file, backend, config, allow_leakage)
            if not allow_leakage:
                near = _near(job_file)
                placed = [*near, *(each for each in placed if not any(one.message in each.message for one in near))]
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


def _near(job_file: JobFile) -> list[Finding]:
    """Held-out rows that are nearly training rows, in however many; those that are exactly are told by the job."""
    from finetune_sdk.data.checks import Finding
    from finetune_sdk.data.checks.near import near_leaks
    from finetune_sdk.errors import InputError, MissingDependencyError

    try:
        train, validation, test = job_file.datasets()
        return [finding for side in (validation, test) if side is not None for finding in near_leaks(train, side)]
    except MissingDependencyError as fault:
        said = f"near duplicates between the sides were not looked for: {fault.message}"
        return [Finding("near-leakage", "note", said, fault.cure or "")]
    except InputError:  # told by the job
        return []


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
