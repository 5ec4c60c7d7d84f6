"""From a job to its run: checked, priced, asked, sent once."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from finetune_sdk.cli.estimate import shown as estimate_shown
from finetune_sdk.cli.findings import shown as findings_shown
from finetune_sdk.cli.waiting import waiting
from finetune_sdk.errors import InputError

if TYPE_CHECKING:
    from finetune_sdk.backend import Status
    from finetune_sdk.cli.screen import Screen
    from finetune_sdk.client import Client
    from finetune_sdk.data.checks import Finding
    from finetune_sdk.estimate import Estimate
    from finetune_sdk.job import Job
    from finetune_sdk.run import Run


@dataclass(frozen=True, slots=True)
class Terms:
    """What the user allows: `max_cost` in USD, a new attempt, leaking rows, and no question before the send."""

    max_cost: float | None = None
    again: bool = False
    allow_leakage: bool = False
    yes: bool = False


@dataclass(frozen=True, slots=True)
class Submission:
    """A job's run; `earlier` is its status when the same job was submitted before, else None."""

    run: Run
    estimate: Estimate
    findings: tuple[Finding, ...]
    earlier: Status | None


def submit(client: Client, job: Job, terms: Terms, out: Screen) -> Submission:
    """Checks, shows the estimate, asks unless `terms.yes` or the job has a run already, and submits."""
    with waiting(f"checking {job.name}"):
        findings = client.check(job, allow_leakage=terms.allow_leakage)
        estimate = client.estimate(job)
    known = None if terms.again else client.find_run(job)
    status = known.status if known is not None else None
    wrong = any(finding.severity == "error" for finding in findings)
    if not wrong:
        out.say(*findings_shown(findings), f"{job.name} at {client.name}", *estimate_shown(estimate))
    going = status is not None and (status == "succeeded" or not status.terminal)
    if not (going or wrong or terms.yes or _too_dear(estimate, terms.max_cost)):
        ask(out)
    run = client.submit(job, max_cost=terms.max_cost, again=terms.again, allow_leakage=terms.allow_leakage)
    same = known is not None and run.id == known.id
    if same:
        said = "has already run" if status == "succeeded" else "is running already"
        out.say(f"this job {said}: {run.id} ({status}); nothing was submitted")
    else:
        out.say(f"submitted: {run.id}")
    return Submission(run, estimate, findings, status if same else None)


def _too_dear(estimate: Estimate, max_cost: float | None) -> bool:
    """Whether `submit` is going to refuse, so that there is nothing to ask."""
    from finetune_sdk.spending import whole

    high = whole(estimate).high
    return max_cost is not None and (high is None or high > max_cost)


def ask(out: Screen, to: str = "to this job", cure: str = "--yes to submit without asking") -> None:
    """Asks a person. Raises InputError where nobody is there, Exit where they say no."""
    if out.for_a_program or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError(f"nobody is at the terminal to say yes {to}.", cure=f"add {cure}")
    if not typer.confirm("Proceed?", err=True):
        raise typer.Exit(1)
