"""What comes in: JSON of a limited size, checked, and forms that are written to the disk as they come."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import md5, sha256
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from finetune_sdk.serve.errors import ProtocolError, too_large, too_slow
from finetune_sdk.serve.multipart import Begin, Data, Multipart

JSON_BYTES = 16 * 1024 * 1024
_LARGE = 128 * 1024
_FIELD_BYTES = 64 * 1024
_FORM_BYTES = 1024 * 1024
_WRITE_BYTES = 1024 * 1024
_GRACE_SECONDS, _LEAST_BYTES_A_SECOND = 30.0, 1024
_DRAIN_BYTES = 1024 * 1024 * 1024


class Body(BaseModel):
    """A JSON body. A key that is not declared is refused: nothing is ignored."""

    model_config = ConfigDict(extra="forbid", strict=True)


_B = TypeVar("_B", bound=Body)


async def read_json(request: Request, kind: type[_B]) -> _B:
    """The body as `kind` has it. Raises ProtocolError naming the first thing that is wrong with it."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ProtocolError("This takes a body of the type application/json.", code="invalid_content_type")
    held = bytearray()
    async for chunk in incoming(request):
        held += chunk
        if len(held) > JSON_BYTES:
            await drain(request)
            raise too_large(None, JSON_BYTES)
    if len(held) > _LARGE:
        return await run_in_threadpool(_parsed, bytes(held), kind)
    return _parsed(bytes(held), kind)


def _parsed(body: bytes, kind: type[_B]) -> _B:
    try:
        return kind.model_validate_json(body)
    except ValidationError as fault:
        raise _first(fault.errors(include_url=False, include_input=False)[0]) from None


def _first(error: Any) -> ProtocolError:
    param = ".".join(str(step) for step in error["loc"]) or None
    if error["type"] == "extra_forbidden":
        return ProtocolError(f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")
    if error["type"] == "missing":
        return ProtocolError(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")
    if param is None:
        return ProtocolError(f"The body is not the JSON object that it should be: {error['msg']}.", code="invalid_json")
    return ProtocolError(f"Invalid value for '{param}': {error['msg']}.", param=param, code="invalid_type")


async def incoming(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes. Raises ProtocolError for a sender that lets more than 30 s go by, and a second for each KiB."""
    waited, received, chunks, clock = 0.0, 0, request.stream(), asyncio.get_running_loop().time
    while True:
        since = clock()
        try:
            async with asyncio.timeout(_GRACE_SECONDS + received / _LEAST_BYTES_A_SECOND - waited):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise too_slow(waited + clock() - since) from None
        waited += clock() - since  # what the disk takes meanwhile is not the sender's
        received += len(chunk)
        yield chunk


async def drain(request: Request) -> None:
    """Reads what still comes and drops it, so that the sender gets to hear the answer."""
    left = _DRAIN_BYTES
    with suppress(ClientDisconnect, RuntimeError, ProtocolError):
        async for chunk in incoming(request):
            left -= len(chunk)
            if left < 0:
                return


@dataclass(frozen=True, slots=True)
class Received:
    """A form: its plain fields, and the file that is on the disk now."""

    fields: dict[str, str]
    filename: str
    bytes: int
    sha256: str


async def read_form(
    request: Request,
    file_field: str,
    target: Path,
    limit: int,
    allowed: Callable[[str], bool],
    take: Callable[[int], None],
) -> Received:
    """Writes the form's one file to `target`, synced, as it comes; nothing is left there when this raises.

    `take` is asked before so many bytes are written. Raises ProtocolError for a file above `limit` bytes, an empty one, none, or a field that is not `allowed`.
    """
    form = _Form(file_field, target, limit, allowed, take)
    try:
        parts = Multipart(request.headers.get("content-type"))
        try:
            await form.read(request, parts)
        except ProtocolError as fault:
            if fault.status != 408:
                await drain(request)
            raise
        except OSError:
            await drain(request)
            raise
        if not parts.complete:
            raise ProtocolError("The multipart body ends before its last boundary.", code="invalid_body")
        return await run_in_threadpool(form.received)
    except BaseException:
        form.close()
        target.unlink(missing_ok=True)
        raise


class _Form:
    def __init__(
        self,
        file_field: str,
        target: Path,
        limit: int,
        allowed: Callable[[str], bool],
        take: Callable[[int], None],
    ) -> None:
        self._file_field, self._target, self._limit, self._allowed = file_field, target, limit, allowed
        self._take = take
        self._fields: dict[str, bytearray] = {}
        self._at: str | None = None
        self._filename: str | None = None
        self._file: BinaryIO | None = None
        self._held = bytearray()
        self._bytes = self._form_bytes = 0
        self._hash = sha256()

    async def read(self, request: Request, parts: Multipart) -> None:
        async for chunk in incoming(request):
            for piece in parts.feed(chunk):
                if isinstance(piece, Begin):
                    self._begin(piece)
                elif isinstance(piece, Data):
                    self._data(piece.content)
            if len(self._held) >= _WRITE_BYTES:
                await run_in_threadpool(self._write)

    def _begin(self, part: Begin) -> None:
        self._at = part.name
        if part.name == self._file_field:
            if self._file is not None:
                raise ProtocolError(f"There is more than one '{part.name}'.", param=part.name, code="invalid_value")
            self._filename = part.filename or part.name
            self._file = self._target.open("xb")
        elif not self._allowed(part.name) or part.name in self._fields:
            raise ProtocolError(f"Unknown parameter: '{part.name}'.", param=part.name, code="unknown_parameter")
        else:
            self._fields[part.name] = bytearray()

    def _data(self, content: bytes) -> None:
        assert self._at is not None
        if self._at == self._file_field:
            self._bytes += len(content)
            if self._bytes > self._limit:
                raise too_large(self._file_field, self._limit)
            self._held += content
            return
        self._form_bytes += len(content)
        self._fields[self._at] += content
        if self._form_bytes > _FORM_BYTES or len(self._fields[self._at]) > _FIELD_BYTES:
            raise too_large(self._at, _FIELD_BYTES)

    def _write(self) -> None:
        assert self._file is not None
        self._take(len(self._held))
        self._hash.update(self._held)
        self._file.write(self._held)
        self._held.clear()

    def received(self) -> Received:
        if self._file is None or self._filename is None:
            missing = self._file_field
            raise ProtocolError(
                f"Missing required parameter: '{missing}'.", param=missing, code="missing_required_parameter"
            )
        if not self._bytes:
            raise ProtocolError("The file is empty.", param=self._file_field, code="invalid_value")
        self._write()
        sync(self._file)
        self.close()
        fields = {name: value.decode("utf-8", "replace") for name, value in self._fields.items()}
        return Received(fields, plain_name(self._filename), self._bytes, self._hash.hexdigest())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def sync(file: BinaryIO) -> None:
    import os

    file.flush()
    os.fsync(file.fileno())


def plain_name(name: str) -> str:
    """A file's name without folders and control characters; it is shown, and never used as a path."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join(letter for letter in last if letter.isprintable())[:255] or "file"


def joined(parts: list[Path], target: Path) -> tuple[str, str]:
    """One file of several, synced; its SHA-256 and MD5. Nothing is left where this raises."""
    strong, asked = sha256(), md5(usedforsecurity=False)
    try:
        with target.open("xb") as out:
            for part in parts:
                with part.open("rb") as file:
                    while chunk := file.read(_WRITE_BYTES):
                        strong.update(chunk)
                        asked.update(chunk)
                        out.write(chunk)
            sync(out)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return strong.hexdigest(), asked.hexdigest()
