"""A past job's files and settings, fetched once, byte by byte as they are, and then looked at: faults are told, not mended."""

from __future__ import annotations

import json
from hashlib import file_digest
from pathlib import Path
from typing import Any

from finetune_sdk.backend import Backend, PastFile, PastJob
from finetune_sdk.data.checks import QUICK
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import BackendError, DatasetError, NotFoundError, RefusedError
from finetune_sdk.files import whole
from finetune_sdk.migration.folder import Folder

_THOROUGH_ROWS = 20_000
_TOLD = 20


def fetch(backend: Backend, past: PastJob, folder: Folder) -> None:
    """Fills the folder with what the place still has of the job. What is there whole is not asked for again.

    A file that is gone or withheld is told in `folder.known`; raises BackendError for a place that fails.
    """
    if not folder.told.exists():
        folder.put(folder.told, json.dumps(dict(past.whole), indent=2, ensure_ascii=False, default=str) + "\n")
    grader = past.own.get("grader")
    if grader is not None and not folder.grader.exists():
        folder.put(folder.grader, json.dumps(grader, indent=2, ensure_ascii=False) + "\n")
    files = dict(folder.known.get("files", {}))
    for side, file, path in (("train", past.train, folder.train), ("validation", past.validation, folder.validation)):
        before = files.get(side) or {}
        if file is None or (before.get("sha256") and path.exists()):
            continue
        files[side] = _fetched(backend, file, path)
        folder.know(files=files)


def _fetched(backend: Backend, file: PastFile, path: Path) -> dict[str, Any]:
    """What came of one file. One that stands is whole: it took its place only when all of it was there."""
    about = {"id": file.id, "name": file.name}
    if not path.exists():
        if file.there is False:
            return {**about, "why": file.why}
        try:
            with whole(path) as into:
                backend.fetch(file.id, into)
                into.flush()
                _as_large_as_told(file, into.tell())
        except NotFoundError:
            return {**about, "why": file.why or "the place has it no more: deleted, or expired"}
        except RefusedError as fault:
            if fault.code in ("401", "invalid_api_key"):
                raise
            return {**about, "why": f"the place does not hand it out: {fault.message}"}
    with path.open("rb") as content:
        digest = file_digest(content, "sha256").hexdigest()
    return {**about, "path": path.name, "bytes": path.stat().st_size, "sha256": digest, **_looked_at(path)}


def _as_large_as_told(file: PastFile, size: int) -> None:
    if file.size and file.size != size:
        raise BackendError(
            f"the file {file.id} came with {size:,} bytes, and the place says that it has {file.size:,}.",
            cure="call this again; what came is not kept",
            retryable=True,
        )


def _looked_at(path: Path) -> dict[str, Any]:
    """How many rows there are, and what is wrong with them."""
    try:
        data, faults = Dataset.inspect(path)
        found = data.check(QUICK if len(data) > _THOROUGH_ROWS else None)
    except DatasetError as fault:
        return {"rows": 0, "unusable": fault.message, "findings": []}
    told = [
        {"severity": one.severity, "message": one.message, "cure": one.cure, "rows": list(one.rows[:_TOLD])}
        for one in found[:_TOLD]
    ]
    return {"rows": len(data), "kind": data.kind, "unusable_rows": len(faults), "findings": told}
