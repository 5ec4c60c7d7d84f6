"""multipart/form-data (RFC 7578), read as it comes by python-multipart: nothing is held but the head of a part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from finetune_sdk.serve.errors import ProtocolError

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
        from python_multipart.exceptions import MultipartParseError
        from python_multipart.multipart import MultipartParser, parse_options_header

        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise ProtocolError("This takes a body of the type multipart/form-data.", code="invalid_content_type")
        self._fault, self._options = MultipartParseError, parse_options_header
        self._pieces: list[Piece] = []
        self._parts = 0
        self._field, self._value, self._disposition = b"", b"", b""
        self.complete = False
        self._parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._named,
                "on_part_data": lambda data, start, end: self._pieces.append(Data(data[start:end])),
                "on_part_end": lambda: self._pieces.append(End()),
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """The pieces that are known now. Raises ProtocolError where the body is not what it says."""
        if self.complete:  # what may stand behind the last boundary is nobody's
            return
        try:
            self._parser.write(chunk)
        except self._fault as fault:
            raise _broken(str(fault)) from None
        yield from self._pieces
        self._pieces.clear()

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _PARTS:
            raise _broken(f"it has more than {_PARTS} parts")
        self._disposition = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field, self._value = b"", b""

    def _named(self) -> None:
        kind, options = self._options(self._disposition)
        if kind != b"form-data" or b"name" not in options:
            raise _broken("the head of a part has no name")
        name, filename = options[b"name"], options.get(b"filename")
        self._pieces.append(Begin(_text(name), None if filename is None else _text(filename)))

    def _end(self) -> None:
        self.complete = True


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _broken(why: str) -> ProtocolError:
    return ProtocolError(f"The multipart body cannot be read: {why}.", code="invalid_body")
