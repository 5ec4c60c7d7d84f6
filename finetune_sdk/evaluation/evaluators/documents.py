"""ValidXML, ValidYAML, ValidCSV and ValidSQL: the answer can be read by what will read it. JSON is JSONSchema's.

Each reads with a parser that is kept, builds nothing that it can do without, fetches nothing, and reads no more than a
limit: what is longer fails, and the reason says so. With `fenced` an answer may be one code fence.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluators import given
from finetune_sdk.evaluation.evaluators.case import Case, Score
from finetune_sdk.evaluation.evaluators.reading import shown, unfenced
from finetune_sdk.model import Answer

_XML = 20_000_000
_YAML = 200_000
_CSV = 20_000_000
_SQL = 50_000
_DEPTH = 200
_STATEMENTS = (
    "Query", "Values", "DML", "DDL", "Alter", "Analyze", "Comment", "Describe", "Drop", "Grant", "Revoke", "Set", "TruncateTable",
)  # fmt: skip
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(
    {"null", "bool", "int", "float", "binary", "timestamp", "omap", "pairs", "set", "str", "seq", "map", "merge", "!"}
)


@dataclass(frozen=True, slots=True)
class ValidXML:
    """The answer is one well-formed XML document. Definitions of entities are refused (defusedxml, of the extra `evaluators`)."""

    root: str | None = None
    fenced: bool = False
    name: str = "ValidXML"
    version: ClassVar[int] = 1
    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        given.library("defusedxml.expatreader", "reading XML")

    def judge(self, case: Case, answer: Answer) -> Score:
        from xml.sax import SAXException
        from xml.sax.handler import ContentHandler

        from defusedxml import DefusedXmlException
        from defusedxml.sax import parseString

        text = _text(answer, self.fenced, "xml")
        if (fault := _too_long(text, _XML)) is not None:
            return fault
        names: list[str] = []

        class _Root(ContentHandler):
            def startElement(self, name: str, attrs: object) -> None:  # noqa: N802 - the name is sax's
                if not names:
                    names.append(name)

        try:
            parseString(text.encode(), _Root())
        except (SAXException, DefusedXmlException, ValueError) as fault_:
            return Score(False, f"not XML ({_first_line(fault_)}): {shown(text)}")
        if self.root is not None and names != [self.root]:
            return Score(False, f"the root is {shown(names[0])}, expected {shown(self.root)}")
        return Score(True)


@dataclass(frozen=True, slots=True)
class ValidYAML:
    """The answer is one YAML document of plain data (PyYAML's safe tags), that is an object or a list, or any with `scalars`.

    Nearly every line of prose is a YAML scalar, which is why one fails. At most 200,000 characters are read.
    """

    scalars: bool = False
    fenced: bool = False
    name: str = "ValidYAML"
    version: ClassVar[int] = 1
    pure: ClassVar[bool] = True

    def judge(self, case: Case, answer: Answer) -> Score:
        import yaml

        text = _text(answer, self.fenced, "yaml", "yml")
        if (fault := _too_long(text, _YAML)) is not None:
            return fault
        try:
            return self._read(yaml.parse(text, Loader=yaml.SafeLoader), text)
        except (yaml.YAMLError, ValueError, RecursionError) as fault_:
            return Score(False, f"not YAML ({_first_line(fault_)}): {shown(text)}")

    def _read(self, events: Iterable[Any], text: str) -> Score:
        # Events are read one by one: nodes would be built by recursion, and aliases of aliases unfold.
        import yaml

        depth, anchors, root = 0, set[str](), None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                return Score(False, "more than one document")
            if isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if not isinstance(event, yaml.NodeEvent):
                continue
            root = root or event
            tag = getattr(event, "tag", None)
            if isinstance(event, yaml.AliasEvent) and event.anchor not in anchors:
                return Score(False, f"not YAML: the alias {shown(event.anchor)} stands for nothing")
            if tag and tag.removeprefix(_TAG) not in _PLAIN_TAGS:
                return Score(False, f"the tag {shown(tag)} is not one of plain data")
            if event.anchor:
                anchors.add(event.anchor)
            depth += isinstance(event, yaml.CollectionStartEvent)
            if depth > _DEPTH:
                return Score(False, f"nested more than {_DEPTH} levels deep")
        if root is None or (isinstance(root, yaml.ScalarEvent) and not self.scalars):
            return Score(False, f"neither an object nor a list: {shown(text)}")
        return Score(True)


@dataclass(frozen=True, slots=True)
class ValidCSV:
    """The answer is a table of comma-separated values (RFC 4180): every row has as many fields as the first, and there are two rows.

    With `columns` the first row is these names, in their order. `separator` may be another sign.
    """

    columns: Iterable[str] | None = None
    separator: str = ","
    fenced: bool = False
    name: str = "ValidCSV"
    version: ClassVar[int] = 1
    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.separator, str) or len(self.separator) != 1 or self.separator in '"\r\n ':
            raise EvaluationError(
                f"the separator is {shown(self.separator)}.", cure="give one sign, such as ',' or ';'"
            )
        if self.columns is not None:
            object.__setattr__(self, "columns", given.texts("the columns", self.columns))

    def judge(self, case: Case, answer: Answer) -> Score:
        text = _text(answer, self.fenced, "csv")
        if (fault := _too_long(text, _CSV)) is not None:
            return fault
        rows = csv.reader(io.StringIO(text.strip("\r\n"), newline=""), delimiter=self.separator, strict=True)
        try:
            header = next(rows, None)
            if header is None or not text.strip():
                return Score(False, "the answer is empty")
            if self.columns is not None and header != list(self.columns):
                return Score(False, f"the columns are {shown(header)}, expected {shown(list(self.columns))}")
            count = 0
            for row in rows:
                count += 1
                if len(row) != len(header):
                    return Score(False, f"line {rows.line_num} has {_fields(row)}, the first has {_fields(header)}")
        except csv.Error as fault_:
            return Score(False, f"not CSV at line {rows.line_num} ({fault_}): {shown(text)}")
        return Score(True, value=count) if count else Score(False, f"one row alone: {shown(text)}")


@dataclass(frozen=True, slots=True)
class ValidSQL:
    """The answer is one statement of SQL, or several with `several`, as sqlglot reads the dialect ("postgres"; its own mixture without).

    Statements query, change or define data; what sqlglot only takes for a command (EXPLAIN, SHOW, CALL) it has not read,
    and that fails. With `reads` only queries pass. Nothing is executed, and names of tables and columns are not
    checked. At most 50,000 characters are read. Needs the extra `evaluators`.
    """

    dialect: str | None = None
    several: bool = False
    reads: bool = False
    fenced: bool = False
    name: str = "ValidSQL"
    version: ClassVar[int] = 1
    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        sqlglot = given.library("sqlglot", "reading SQL")
        known = sorted(dialect.value for dialect in sqlglot.Dialects if dialect.value)
        if self.dialect is not None:
            given.one_of("the dialect", self.dialect, known)

    def judge(self, case: Case, answer: Answer) -> Score:
        text = _text(answer, self.fenced, "sql")
        if (fault := _too_long(text, _SQL)) is not None:
            return fault
        from sqlglot import exp

        try:
            found = _statements(text, self.dialect)
        except ValueError as fault_:
            return Score(False, f"not SQL ({_first_line(fault_)}): {shown(text)}")
        if not found:
            return Score(False, "the answer is empty")
        if len(found) > 1 and not self.several:
            return Score(False, f"{len(found)} statements, expected one")
        kinds = tuple(getattr(exp, kind) for kind in _STATEMENTS)
        if not all(isinstance(statement, kinds) for statement in found):
            return Score(False, f"not a statement of SQL: {shown(text)}")
        if self.reads and not all(_only_reads(statement) for statement in found):
            return Score(False, f"does more than read: {shown(text)}")
        return Score(True)


def _statements(text: str, dialect: str | None) -> list[Any]:
    """Raises ValueError for what is no SQL."""
    import sqlglot

    logger = logging.getLogger("sqlglot")  # it warns of each command, which fails here anyway
    before, logger.disabled = logger.disabled, True
    try:
        return [statement for statement in sqlglot.parse(text, read=dialect) if statement is not None]
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except sqlglot.errors.SqlglotError as fault:
        raise ValueError(str(fault)) from None
    finally:
        logger.disabled = before


def _only_reads(statement: Any) -> bool:
    from sqlglot import exp

    return isinstance(statement, exp.Query | exp.Values) and statement.find(exp.DML, exp.DDL, exp.Into) is None


def _text(answer: Answer, fenced: bool, *languages: str) -> str:
    return unfenced(answer.text, *languages) if fenced else answer.text


def _too_long(text: str, limit: int) -> Score | None:
    return (
        Score(False, f"{len(text):,} characters, more than the {limit:,} that are read") if len(text) > limit else None
    )


def _fields(row: list[str]) -> str:
    return f"{len(row)} field{'' if len(row) == 1 else 's'}"


def _first_line(fault: BaseException) -> str:
    return shown(" ".join(str(fault).split())[:200], 120).strip("'\"")
