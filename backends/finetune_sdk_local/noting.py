"""Contents that a template renders in place of texts, and that note what it asks of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

_STRIPS = ("strip", "lstrip", "rstrip")
_QUESTIONS = (
    "__bool__", "__contains__", "__lt__", "__le__", "__gt__", "__ge__", "count", "endswith", "find", "isalnum", "isalpha",
    "isdigit", "islower", "isspace", "isupper", "rfind", "startswith",
)  # fmt: skip
_REFUSED = (
    "__format__", "__getitem__", "__hash__", "__html__", "__len__", "__mod__", "__mul__", "__repr__", "__rmod__", "__rmul__", "capitalize",
    "casefold", "center", "encode", "expandtabs", "format", "format_map", "index", "isascii", "isdecimal", "isidentifier",
    "isnumeric", "isprintable", "istitle", "join", "ljust", "lower", "partition", "removeprefix", "removesuffix", "replace",
    "rindex", "rjust", "rpartition", "rsplit", "split", "splitlines", "swapcase", "title", "translate", "upper", "zfill",
)  # fmt: skip


class Unnotable(BaseException):
    """The template does to a content what cannot be noted. No Exception: a template's own tests catch those."""


class Piece(NamedTuple):
    """The content of message `slot`, stripped by `steps`: names of methods, each with the characters that it strips."""

    slot: int
    steps: tuple[tuple[str, str | None], ...] = ()

    def of(self, contents: Sequence[str]) -> str:
        text = contents[self.slot]
        for name, characters in self.steps:
            text = getattr(text, name)(characters)
        return text


class Guard(NamedTuple):
    """A question that was asked of a piece, and its answer."""

    piece: Piece
    question: str
    arguments: tuple[Any, ...]
    answer: object

    def holds(self, contents: Sequence[str]) -> bool:
        return bool(_answer(self.piece.of(contents), self.question, self.arguments, contents) == self.answer)


class Trace:
    """What was noted while one conversation was rendered."""

    def __init__(self, contents: Sequence[str]) -> None:
        self.contents = contents
        self.pieces = list[Piece]()
        """Each under its number, which is what its mark says."""
        self.guards = dict[Guard, None]()


class Noting(str):
    """Stands for a piece: it is written as the piece's mark, answers as the text itself would, and notes the question.

    The mark is its text in memory: what reads that without asking writes the mark.
    """

    __slots__ = ("_piece", "_trace")
    _piece: Piece
    _trace: Trace

    def __new__(cls, trace: Trace, piece: Piece) -> Noting:
        if piece not in trace.pieces:
            trace.pieces.append(piece)
        made = super().__new__(cls, f"\x02{trace.pieces.index(piece)}\x03")
        made._piece, made._trace = piece, trace
        return made

    def __str__(self) -> str:
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and bool(self._ask("__eq__", other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __iter__(self) -> Iterator[str]:
        """Any text can be gone through, which may be asked; that somebody begins to cannot be noted."""
        return Letters()

    def __add__(self, other: Any) -> str:
        return joined((self, other))

    def __radd__(self, other: Any) -> str:
        return joined((other, self))

    def _ask(self, question: str, *arguments: Any) -> Any:
        noted = tuple(each._piece if isinstance(each, Noting) else each for each in arguments)
        if not all(isinstance(each, str | int | Piece | None) for each in noted):
            raise Unnotable
        contents = self._trace.contents
        answer = _answer(self._piece.of(contents), question, noted, contents)
        self._trace.guards[Guard(self._piece, question, noted, answer)] = None
        return answer

    def _strip(self, name: str, characters: str | None = None) -> str:
        if isinstance(characters, Noting) or (characters is not None and characters.strip()):
            raise Unnotable
        return Noting(self._trace, self._piece._replace(steps=(*self._piece.steps, (name, characters))))


def joined(parts: Iterable[Any]) -> str:
    """Texts after one another: what notes goes on noting, one alone all that it is asked."""
    texts = [part for part in parts if isinstance(part, Noting) or part != ""]
    if not all(isinstance(text, str) for text in texts):
        raise Unnotable
    if not any(isinstance(text, Noting) for text in texts):
        return "".join(texts)
    return texts[0] if len(texts) == 1 else Joined("".join(texts))


class Letters(Iterator[str]):
    """Of a content: nobody may read them."""

    def __next__(self) -> NoReturn:
        raise Unnotable


class Joined(Noting):
    """Pieces and other text after one another: it may be written, or joined to more. Nothing can be asked of it."""

    __slots__ = ()

    def __new__(cls, text: str) -> Joined:
        return str.__new__(cls, text)

    def _ask(self, question: str, *arguments: Any) -> NoReturn:
        raise Unnotable

    def _strip(self, name: str, characters: str | None = None) -> NoReturn:
        raise Unnotable


def _answer(text: str, question: str, arguments: Sequence[Any], contents: Sequence[str]) -> Any:
    if question == "__bool__":
        return bool(text)
    return getattr(text, question)(*[each.of(contents) if isinstance(each, Piece) else each for each in arguments])


def _asking(question: str) -> Callable[..., Any]:
    return lambda self, *arguments: self._ask(question, *arguments)


def _stripping(name: str) -> Callable[..., str]:
    return lambda self, characters=None: self._strip(name, characters)


def _refusing(self: Noting, *arguments: Any, **named: Any) -> NoReturn:
    raise Unnotable


for _name in _QUESTIONS:
    setattr(Noting, _name, _asking(_name))
for _name in _STRIPS:
    setattr(Noting, _name, _stripping(_name))
for _name in _REFUSED:
    setattr(Noting, _name, _refusing)
