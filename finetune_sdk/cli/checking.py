"""A data file that is checked, mended and shown: what `finetune check` does with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_sdk.cli.screen import Screen
from finetune_sdk.cli.waiting import Ticks, waiting

if TYPE_CHECKING:
    from finetune_sdk.data.checks import Finding
    from finetune_sdk.data.checks.labels import Labels
    from finetune_sdk.data.checks.outliers import Lengths
    from finetune_sdk.data.dataset import Dataset

_SAMPLES = 5
_LISTED = 12


@dataclass(frozen=True, slots=True)
class Checked:
    """A data file with what is wrong with it, and what the page shows besides."""

    file: Path
    data: Dataset
    findings: Sequence[Finding]
    labels: Labels
    lengths: Lengths

    def to_dict(self) -> dict[str, Any]:
        from finetune_sdk.cli.findings import counts

        return {
            "file": str(self.file), "kind": self.data.kind, "rows": len(self.data), "unit": self.data.unit,
            "fingerprint": self.data.fingerprint, **counts(self.findings),
            "findings": [finding.to_dict() for finding in self.findings],
        }  # fmt: skip


def checked(file: Path, form: str | None, columns: Mapping[str, str] | None = None) -> Checked:
    """The file with all checks done, in one pass."""
    from finetune_sdk.data.checks.labels import Labels
    from finetune_sdk.data.checks.outliers import Lengths
    from finetune_sdk.data.checks.thorough import THOROUGH
    from finetune_sdk.data.dataset import Dataset

    with waiting(f"checking {file.name}") as tell:
        data, _ = Dataset.inspect(file, form, columns=columns)
        labels, lengths = Labels(), Lengths()
        ticks = Ticks(lambda done: tell(done, len(data)))
        others = [make for make in THOROUGH if make not in (Labels, Lengths)]
        findings = data.check([lambda: ticks, *others, lambda: labels, lambda: lengths])
    return Checked(file, data, findings, labels, lengths)


def show(found: Checked, out: Screen) -> None:
    from finetune_sdk.cli.findings import counts, shown, summary

    said = summary(counts(found.findings))
    out.show(f"{found.file}: {len(found.data):,} {found.data.kind} examples; {said}", *shown(found.findings))


def mend(found: Checked, to: Path, redact: bool, out: Screen) -> dict[str, Any]:
    """Writes the mended rows and says every change, those of a kind together."""
    from finetune_sdk.cli.findings import plural

    with waiting(f"mending {found.file.name}"):
        fixed = found.data.fix(redact=redact)
        fixed.save(to)
        changes = fixed.changes
    dropped = sum(change.action == "dropped" for change in changes)
    alike, unit = dict[str, list[int]](), found.data.unit
    for change in changes:
        lines = alike.setdefault(f"{change.action}: {change.what}" if change.action != "redacted" else "redacted", [])
        lines += [change.line] if change.line else []
    out.show(f"{to}: {plural(len(changes), 'change')}, {plural(dropped, 'row')} dropped")
    for what, lines in alike.items():
        listed = ", ".join(f"{line:,}" for line in lines[:_LISTED])
        more = f" and {len(lines) - _LISTED:,} more" if len(lines) > _LISTED else ""
        out.show(f"  {what}" + (f" ({unit if len(lines) == 1 else f'{unit}s'} {listed}{more})" if lines else ""))
    if any(len(lines) > _LISTED for lines in alike.values()):
        out.show(f"  --json lists every change with its {unit}")
    return {"file": str(to), "dropped": dropped, "changes": [change.to_dict() for change in changes]}


def page(found: Checked, to: Path, mended: dict[str, Any] | None) -> None:
    """Writes the page: counts, lengths, labels, findings and samples."""
    from datetime import UTC, datetime

    from finetune_sdk.files import whole
    from finetune_sdk.report.dataset import render

    hidden = _Hidden()
    value = found.to_dict()
    for finding in value["findings"]:
        finding |= {"message": hidden(finding["message"]), "example": hidden(finding["example"])}
    data = value | {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "lengths": {"questions": found.lengths.questions, "answers": found.lengths.answers},
        "labels": {
            name: Counter({hidden(ways[0]): sum(series.values[way].count for way in ways) for ways in labels.values()})
            for name, series, labels in found.labels.found()
        },
        "samples": _samples(found.data, hidden),
        "fixed": mended,
    }
    with whole(to) as file:
        file.write(render(data).encode())


class _Hidden:
    """Text for a page that goes from hand to hand: without personal data, and secrets where they can be looked for."""

    def __init__(self) -> None:
        from finetune_sdk.data.cures.redaction import Redaction

        self._redaction = Redaction()

    def __call__(self, text: str) -> str:
        from finetune_sdk.errors import MissingDependencyError

        try:
            return str(self._redaction.redacted(text, {}))
        except MissingDependencyError as fault:
            return f"(not shown, for it may hold a secret: {fault.message})"


def _samples(data: Dataset, hidden: _Hidden) -> list[dict[str, Any]]:
    from finetune_sdk.data.checks.reading import said, turns

    drawn = data.sample(min(_SAMPLES, len(data)))
    return [
        {
            "line": drawn.line(index),
            "turns": [(turn["role"], hidden(said(turn) or str(turn.get("tool_calls") or ""))) for turn in turns(row)]
            or [("text", hidden(row.get("text", "")))],
        }
        for index, row in enumerate(drawn.rows())
    ]
