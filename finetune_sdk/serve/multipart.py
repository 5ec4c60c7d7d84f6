"""multipart/form-data (RFC 7578), read as it comes: nothing is held but the end of what was fed last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message

from finetune_sdk.serve.errors import ProtocolError

_HEAD = 16 * 1024
_PARTS = 64


@dataclass(frozen=True, slots=True)
class Begin:
    """A part begins. `filename` is None for a plain field."""

    name: str
    filename: str | None


@dataclass(frozen=True, slots=True)
class Data:
    content: bytes


@dataclass(frozen=True, slots=True)
class End:
    pass


Piece = Begin | Data | End


class Multipart:
    """Feed it the body in any pieces; it gives the parts back, whole or in pieces, in the order in which they come."""

    def __init__(self, content_type: str | None) -> None:
        """Raises ProtocolError for a body of another type, or without a boundary."""
        header = _header("content-type", content_type or "")
        boundary = header.get_param("boundary")
        if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
            raise ProtocolError("This takes a body of the type multipart/form-data.", code="invalid_content_type")
        if not 1 <= len(boundary) <= 200 or not boundary.isascii():
            raise _broken("its boundary")
        self._mark = b"\r\n--" + boundary.encode()
        self._held = bytearray(b"\r\n")
        self._parts = 0
        self._state = "before"

    @property
    def complete(self) -> bool:
        """Whether the last boundary has been read; what may stand behind it is nobody's."""
        return self._state == "done"

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """The pieces that are known now. Raises ProtocolError where the body is not what it says."""
        self._held += chunk
        while True:
            if self._state in ("before", "body"):
                at = self._held.find(self._mark)
                if at < 0:
                    yield from self._take(len(self._held) - len(self._mark) + 1)
                    return
                yield from self._take(at)
                if self._state == "body":
                    yield End()
                del self._held[: len(self._mark)]
                self._state = "mark"
            elif self._state == "mark":
                if len(self._held) < 2:
                    return
                follows = bytes(self._held[:2])
                if follows not in (b"\r\n", b"--"):
                    raise _broken("what follows a boundary")
                self._state = "done" if follows == b"--" else "head"
                if follows == b"--":
                    del self._held[:2]
            elif self._state == "head":
                end = self._held.find(b"\r\n\r\n")
                if end > _HEAD or (end < 0 and len(self._held) > _HEAD):
                    raise _broken("the head of a part")
                if end < 0:
                    return
                head = bytes(self._held[2:end])
                del self._held[: end + 4]
                self._state = "body"
                yield self._begin(head)
            else:
                self._held.clear()
                return

    def _take(self, count: int) -> Iterator[Piece]:
        """The first bytes of what is held; those before the first boundary are dropped."""
        if count <= 0:
            return
        content = bytes(self._held[:count])
        del self._held[:count]
        if self._state == "body":
            yield Data(content)

    def _begin(self, head: bytes) -> Begin:
        self._parts += 1
        if self._parts > _PARTS:
            raise _broken(f"it has more than {_PARTS} parts, so it")
        lines = head.decode("utf-8", "replace").split("\r\n")
        named = (line.partition(":") for line in lines)
        disposition = next((value for name, _, value in named if name.strip().lower() == "content-disposition"), "")
        header = _header("content-disposition", disposition)
        name, filename = header.get_param("name", header="content-disposition"), header.get_filename()
        if header.get_content_disposition() != "form-data" or not isinstance(name, str):
            raise _broken("the head of a part")
        return Begin(name, filename)


def _header(name: str, value: str) -> Message:
    message = Message()
    message[name] = value.replace("\r", " ").replace("\n", " ").strip()
    return message


def _broken(what: str) -> ProtocolError:
    return ProtocolError(f"The multipart body cannot be read: {what} is not as RFC 7578 has it.", code="invalid_body")
