"""Files and uploads: data that somebody sends, on this server's disk until it is deleted or has expired."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from finetune_sdk.serve.bodies import Body, Received, joined, plain_name, read_form
from finetune_sdk.serve.errors import ProtocolError, invalid, no_such_file, no_such_upload, too_large
from finetune_sdk.serve.quota import Coming, Quota
from finetune_sdk.serve.records import File, Part, Upload, new_id
from finetune_sdk.serve.shapes import RESULTS, TUNED, file_object, listed
from finetune_sdk.serve.store import Store

_UPLOAD_SECONDS = 3600
_SHORTEST, _LONGEST = 3600, 2_592_000
_EXPIRY = ("expires_after[anchor]", "expires_after[seconds]")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes: of a file sent at once, of a part, of an upload as a whole, and of all that one owner keeps."""

    file: int = 512 * 1024 * 1024
    part: int = 64 * 1024 * 1024
    upload: int = 8 * 1024 * 1024 * 1024
    owner: int = 64 * 1024 * 1024 * 1024


class Expiry(Body):
    anchor: Literal["created_at"]
    seconds: int = Field(ge=_SHORTEST, le=_LONGEST)


class NewUpload(Body):
    bytes: int = Field(gt=0)
    filename: str = Field(min_length=1)
    mime_type: str
    purpose: str
    expires_after: Expiry | None = None


class Completion(Body):
    part_ids: list[str] = Field(min_length=1)
    md5: str | None = None


class Files:
    """The files in `folder`, each under its own id."""

    def __init__(self, store: Store, folder: Path, limits: Limits) -> None:
        self._store = store
        self._folder = folder
        self._limits = limits
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._quota = Quota(store, folder, limits.owner)

    def path(self, file: str) -> Path:
        """Where the content lies. Ids are the server's own, never a client's text."""
        return self._folder / f"{file}.jsonl"

    async def receive(self, request: Request, owner: str) -> File:
        """A new file of a form with `file`, `purpose` and perhaps `expires_after`."""
        file = new_id("file-")
        target = self.path(file)
        allowed = {"purpose", *_EXPIRY}
        with self._quota.coming(owner) as coming:
            received = await read_form(request, "file", target, self._limits.file, allowed.__contains__, coming.take)
            return await run_in_threadpool(self._keep, file, owner, received, coming)

    def _keep(self, file: str, owner: str, received: Received, coming: Coming) -> File:
        try:
            purpose = received.fields.get("purpose")
            if purpose is None:
                raise ProtocolError(
                    "Missing required parameter: 'purpose'.", param="purpose", code="missing_required_parameter"
                )
            _check_kind(purpose, received.filename)
            created = int(time.time())
            expires = _expiry(received)
            made = File(
                file, owner, received.filename, purpose, received.bytes, created,
                created + expires if expires else None, received.sha256,
            )  # fmt: skip
            coming.keep(lambda: self._store.add_file(made))
        except BaseException:
            self.path(file).unlink(missing_ok=True)
            raise
        return made

    def get(self, owner: str, file: str) -> File:
        found = self._store.file(owner, file)
        if found is None:
            raise no_such_file(file)
        return found

    def page(self, owner: str, purpose: str | None, after: str | None, limit: int, newest: bool) -> dict[str, Any]:
        if after is not None and not self._store.had_file(owner, after):
            raise invalid("after", f"there is no file {after!r}.")
        found = self._store.files(owner, purpose, after, limit + 1, newest)
        return listed([file_object(file) for file in found[:limit]], len(found) > limit, ends=True)

    def delete(self, owner: str, file: str) -> None:
        """From now on it is not there; the content stays for a job that has not ended."""
        self.get(owner, file)
        self._store.delete_file(file)
        self.sweep()

    def keep_results(self, owner: str, content: bytes) -> str:
        """A file that a job leaves."""
        file = new_id("file-")
        self.path(file).write_bytes(content)
        digest = sha256(content).hexdigest()
        self._store.add_file(
            File(file, owner, "step_metrics.csv", RESULTS, len(content), int(time.time()), None, digest)
        )
        return file

    def sweep(self) -> None:
        """Removes what nobody can ask for any more, and what a server that died left half written."""
        for upload in self._store.expired_uploads():
            self._end(upload, "expired")
        for file in self._store.unwanted_files():
            self.path(file).unlink(missing_ok=True)
            self._store.forget_file(file)

    def sweep_strays(self) -> None:
        """As `sweep`, with files that no record knows. Only before anything is received."""
        self.sweep()
        known = self._store.file_ids()
        for path in self._folder.glob("*.jsonl"):
            if path.stem not in known:
                path.unlink(missing_ok=True)

    def begin(self, owner: str, asked: NewUpload) -> Upload:
        filename = plain_name(asked.filename)
        _check_kind(asked.purpose, filename)
        if asked.bytes > self._limits.upload:
            raise too_large("bytes", self._limits.upload)
        self._quota.check(owner, asked.bytes)
        created = int(time.time())
        upload = Upload(
            new_id("upload_"), owner, filename, asked.purpose, asked.bytes, created, created + _UPLOAD_SECONDS,
            "pending", None, asked.expires_after.seconds if asked.expires_after else None,
        )  # fmt: skip
        self._store.add_upload(upload)
        return upload

    async def receive_part(self, request: Request, owner: str, upload: str) -> Part:
        limit, part = await run_in_threadpool(self._room, owner, upload), new_id("part_")
        with self._quota.coming(owner) as coming:
            received = await read_form(request, "data", self.path(part), limit, lambda _: False, coming.take)
            made = Part(part, upload, received.bytes, int(time.time()))
            await run_in_threadpool(self._keep_part, owner, made, coming)
        return made

    def _keep_part(self, owner: str, part: Part, coming: Coming) -> None:
        try:
            if not coming.keep(lambda: self._store.add_part(part)):
                raise _not_pending(self.get_upload(owner, part.upload)[0])
        except BaseException:
            self.path(part.id).unlink(missing_ok=True)
            raise

    def _room(self, owner: str, upload: str) -> int:
        """How large another part may be. One may come twice, where its answer was not heard: only those named count."""
        pending = self._pending(owner, upload)
        so_far = sum(part.bytes for part in self._store.parts(upload).values())
        return min(self._limits.part, max(0, 2 * pending.bytes - so_far))

    def complete(self, owner: str, upload: str, asked: Completion) -> tuple[Upload, File]:
        pending = self._pending(owner, upload)
        parts = self._store.parts(upload)
        unknown = [part for part in asked.part_ids if part not in parts]
        if unknown:
            raise invalid("part_ids", f"{unknown[0]!r} is no part of this upload.")
        total = sum(parts[part].bytes for part in asked.part_ids)
        if total != pending.bytes:
            raise invalid("part_ids", f"the parts have {total:,} bytes, and the upload was to have {pending.bytes:,}.")
        self._quota.check_disk(total)  # parts and file are both there for a moment
        file = new_id("file-")
        strong, md5 = joined([self.path(part) for part in asked.part_ids], self.path(file))
        created = int(time.time())
        expires = created + pending.keep_for if pending.keep_for else None
        made = File(file, owner, pending.filename, pending.purpose, total, created, expires, strong)
        if asked.md5 is not None and asked.md5.lower() != md5:
            self.path(file).unlink(missing_ok=True)
            raise invalid("md5", f"the bytes that came have {md5}.")
        if not self._store.end_upload(upload, "completed", made):
            self.path(file).unlink(missing_ok=True)
            raise _not_pending(self.get_upload(owner, upload)[0])
        self._drop(parts)
        return self.get_upload(owner, upload)[0], made

    def cancel(self, owner: str, upload: str) -> Upload:
        self._pending(owner, upload)
        self._end(upload, "cancelled")
        return self.get_upload(owner, upload)[0]

    def get_upload(self, owner: str, upload: str) -> tuple[Upload, File | None]:
        found = self._store.upload(owner, upload)
        if found is None:
            raise no_such_upload(upload)
        return found, self._store.file(owner, found.file) if found.file else None

    def _pending(self, owner: str, upload: str) -> Upload:
        found = self.get_upload(owner, upload)[0]
        if found.status != "pending" or found.expires <= time.time():
            raise _not_pending(found)
        return found

    def _end(self, upload: str, status: str) -> None:
        parts = self._store.parts(upload)
        if self._store.end_upload(upload, status):
            self._drop(parts)

    def _drop(self, parts: Mapping[str, Any]) -> None:
        for part in parts:
            with suppress(OSError):
                self.path(part).unlink(missing_ok=True)


def _not_pending(upload: Upload) -> ProtocolError:
    status = "expired" if upload.status == "pending" else upload.status
    return ProtocolError(f"The upload {upload.id} is {status}.", param="upload_id", code="upload_not_pending")


def _check_kind(purpose: str, filename: str) -> None:
    if purpose != TUNED:
        raise invalid("purpose", f"this server keeps files for fine-tuning only; use '{TUNED}', not {purpose!r}.")
    if not filename.lower().endswith(".jsonl"):
        raise invalid("file", f"a training file's name ends in .jsonl, and this one is {filename!r}.")


def _expiry(received: Received) -> int | None:
    anchor, seconds = (received.fields.get(name) for name in _EXPIRY)
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise invalid("expires_after.anchor", "it is 'created_at'.")
    if seconds is None or not seconds.isdecimal() or not _SHORTEST <= int(seconds[:9]) <= _LONGEST:
        raise invalid("expires_after.seconds", f"give a whole number from {_SHORTEST} to {_LONGEST}.")
    return int(seconds)
