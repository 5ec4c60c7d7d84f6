"""The tables of evaluators in a job file, and the evaluators that they describe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from finetune_sdk.jobfile.table import Name, Table

if TYPE_CHECKING:
    from finetune_sdk.evaluation.evaluators import Evaluator

Names = Annotated[tuple[Name, ...], Field(min_length=1)]
NotNegative = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(ge=0, le=1)]


class JSONSchemaTable(Table):
    """The answer is JSON that a JSON schema accepts."""

    kind: Literal["json_schema"]
    schema_: Annotated[str | dict[str, Any], Field(alias="schema")]
    """The schema, or the path of a file that holds it."""
    fenced: bool = False
    """Accept JSON in a code fence too."""
    name: Name = "JSONSchema"
    """What the report calls it."""


class ExactMatchTable(Table):
    """The answer is the expected one, letter by letter."""

    kind: Literal["exact_match"]
    strip: bool = True
    """Leave white space at both ends out of it."""
    name: Name = "ExactMatch"
    """What the report calls it."""


class FieldMatchTable(Table):
    """The fields of a JSON answer are the expected ones."""

    kind: Literal["field_match"]
    fields_: Annotated[tuple[str, ...] | None, Field(alias="fields", min_length=1)] = None
    """Which fields; all of the expected answer's when left out."""
    name: Name = "FieldMatch"
    """What the report calls it."""


class LengthTable(Table):
    """The answer is neither too long nor too short."""

    kind: Literal["length"]
    max_characters: Annotated[int, Field(gt=0)] | None = None
    """At most so many characters."""
    min_characters: Annotated[int, Field(ge=0)] | None = None
    """At least so many characters."""
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    """At most so many tokens, as the place counts them."""
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    """At least so many tokens."""
    max_words: Annotated[int, Field(gt=0)] | None = None
    """At most so many words, between white space."""
    min_words: Annotated[int, Field(ge=0)] | None = None
    """At least so many words."""
    name: Name = "Length"
    """What the report calls it."""


class PatternTable(Table):
    """A regular expression (ECMAScript's) is found in the answer."""

    kind: Literal["pattern"]
    pattern: Name
    """The expression."""
    whole: bool = False
    """It is all of the answer."""
    ignore_case: bool = False
    """Case does not count."""
    absent: bool = False
    """It must not be found."""
    name: Name = "Pattern"
    """What the report calls it."""


class TemplateTable(Table):
    """The answer is a text with slots, as in `Order {order} was {status}.`"""

    kind: Literal["template"]
    template: Name
    """The text; `{{` and `}}` are braces."""
    slots: dict[Name, Name] = Field(default={})
    """Patterns of what slots may hold; without one, any text."""
    name: Name = "Template"
    """What the report calls it."""


class LabelsTable(Table):
    """The answer is the expected one of a set of labels."""

    kind: Literal["labels"]
    allowed: Names
    """The labels."""
    field: Name | None = None
    """The field of a JSON answer that holds the label."""
    ignore_case: bool = False
    """Case does not count."""
    name: Name = "Labels"
    """What the report calls it."""


class LabelSetsTable(Table):
    """The answer is the expected labels, none or several, in any order."""

    kind: Literal["label_sets"]
    allowed: Names
    """The labels."""
    separator: Name = ","
    """What stands between two."""
    field: Name | None = None
    """The field of a JSON answer that holds them."""
    ignore_case: bool = False
    """Case does not count."""
    name: Name = "LabelSets"
    """What the report calls it."""


class NormalisedMatchTable(Table):
    """The answer is the expected text when spelling does not count."""

    kind: Literal["normalised_match"]
    case: bool = False
    """Case counts."""
    punctuation: bool = False
    """Punctuation counts."""
    articles: bool = True
    """A, an and the count."""
    name: Name = "NormalisedMatch"
    """What the report calls it."""


class NumericMatchTable(Table):
    """The number in the answer is the expected one."""

    kind: Literal["numeric_match"]
    absolute: NotNegative = 0.0
    """How far off it may be."""
    relative: NotNegative = 0.0
    """How far off it may be, as a share of the expected number."""
    take: Literal["only", "first", "last"] = "only"
    """Which of several numbers counts; by default several fail."""
    decimal: Literal[".", ","] = "."
    """The sign before decimals."""
    units: dict[str, Annotated[float, Field(gt=0)]] | None = None
    """The worth of each unit, as in `{g: 1, kg: 1000}`; without, units do not count."""
    field: Name | None = None
    """The field of a JSON answer that holds the number."""
    name: Name = "NumericMatch"
    """What the report calls it."""


class ContainsTable(Table):
    """Texts stand in the answer."""

    kind: Literal["contains"]
    texts: Name | Names
    """The texts."""
    any: bool = False
    """One of them will do."""
    ignore_case: bool = False
    """Case does not count."""
    words: bool = False
    """Not as a part of a longer word."""
    name: Name = "Contains"
    """What the report calls it."""


class ForbiddenTable(Table):
    """Texts do not stand in the answer."""

    kind: Literal["forbidden"]
    texts: Name | Names
    """The texts."""
    ignore_case: bool = True
    """Case does not count."""
    words: bool = True
    """As a part of a longer word they may stand."""
    name: Name = "Forbidden"
    """What the report calls it."""


class ToolCallsTable(Table):
    """The answer calls the expected tools, or none where none is expected."""

    kind: Literal["tool_calls"]
    arguments: Literal["values", "schema", "names"] = "values"
    """What is compared of a call: its arguments, the tool's own schema, or the name alone."""
    ordered: bool = False
    """The order of several calls counts."""
    loose: bool = False
    """Text is compared without case, blanks and punctuation."""
    listed: bool = False
    """Each expected argument lists its accepted values."""
    accepted: dict[Name, dict[Name, tuple[Any, ...]]] = Field(default={})
    """Values that are as good as each other, by tool and argument."""
    name: Name = "ToolCalls"
    """What the report calls it."""


class InstructionsTable(Table):
    """The answer obeys instructions that a program can verify (IFEval's 25 kinds)."""

    kind: Literal["instructions"]
    instructions: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)] | None = None
    """Tables of a `kind`, such as no_comma, and its arguments; each case's own when left out."""
    loose: bool = False
    """Also without the first or last line, or asterisks."""
    name: Name = "Instructions"
    """What the report calls it."""


class ChrFTable(Table):
    """The answer's chrF against the expected text is high enough."""

    kind: Literal["chrf"]
    at_least: Annotated[float, Field(ge=0, le=100)] = 50.0
    """The least, of 100."""
    word_order: Annotated[int, Field(ge=0)] = 0
    """2 makes it chrF++."""
    name: Name = "ChrF"
    """What the report calls it."""


class RougeLTable(Table):
    """The answer's ROUGE-L against the expected text is high enough."""

    kind: Literal["rouge_l"]
    at_least: Rate = 0.5
    """The least, of 1."""
    stem: bool = False
    """English endings do not count."""
    name: Name = "RougeL"
    """What the report calls it."""


class PerplexityTable(Table):
    """The model was sure enough of what it said, where the place tells."""

    kind: Literal["perplexity"]
    at_most: Annotated[float, Field(ge=1)]
    """The highest perplexity of the answer's own tokens."""
    name: Name = "Perplexity"
    """What the report calls it."""


class LanguageTable(Table):
    """The answer is in one of the languages."""

    kind: Literal["language"]
    languages: Name | Names
    """Codes of ISO 639-1, such as `de`."""
    untold: Literal["error", "pass", "fail"] = "error"
    """What an answer is of which the language cannot be told."""
    name: Name = "Language"
    """What the report calls it."""


class RefusalTable(Table):
    """The answer does not decline."""

    kind: Literal["refusal"]
    wanted: bool = False
    """It must decline."""
    name: Name = "Refusal"
    """What the report calls it."""


class ValidXMLTable(Table):
    """The answer is well-formed XML."""

    kind: Literal["valid_xml"]
    root: Name | None = None
    """What its root must be."""
    fenced: bool = False
    """Accept it in a code fence too."""
    name: Name = "ValidXML"
    """What the report calls it."""


class ValidYAMLTable(Table):
    """The answer is YAML of plain data."""

    kind: Literal["valid_yaml"]
    scalars: bool = False
    """Accept what is neither an object nor a list."""
    fenced: bool = False
    """Accept it in a code fence too."""
    name: Name = "ValidYAML"
    """What the report calls it."""


class ValidCSVTable(Table):
    """The answer is a table of comma-separated values."""

    kind: Literal["valid_csv"]
    columns: Names | None = None
    """What its first row must be."""
    separator: Name = ","
    """What stands between two fields."""
    fenced: bool = False
    """Accept it in a code fence too."""
    name: Name = "ValidCSV"
    """What the report calls it."""


class ValidSQLTable(Table):
    """The answer is a statement of SQL."""

    kind: Literal["valid_sql"]
    dialect: Name | None = None
    """Whose SQL, as sqlglot calls it: `postgres`."""
    several: bool = False
    """Accept several statements."""
    reads: bool = False
    """Accept queries alone."""
    fenced: bool = False
    """Accept it in a code fence too."""
    name: Name = "ValidSQL"
    """What the report calls it."""


class EntitySpansTable(Table):
    """The entities of a JSON answer are the expected ones."""

    kind: Literal["entity_spans"]
    at_least: Rate = 1.0
    """The least F1."""
    field: Name | None = None
    """The field that holds the list of entities."""
    label: Name = "label"
    """What an entity calls its label."""
    text: Name = "text"
    """What it calls its text."""
    start: Name = "start"
    """What it calls its start."""
    end: Name = "end"
    """What it calls its end."""
    ignore_case: bool = False
    """Case of texts does not count."""
    name: Name = "EntitySpans"
    """What the report calls it."""


EvaluatorTable = (
    JSONSchemaTable
    | ExactMatchTable
    | FieldMatchTable
    | LengthTable
    | PatternTable
    | TemplateTable
    | LabelsTable
    | LabelSetsTable
    | NormalisedMatchTable
    | NumericMatchTable
    | ContainsTable
    | ForbiddenTable
    | ToolCallsTable
    | InstructionsTable
    | ChrFTable
    | RougeLTable
    | PerplexityTable
    | LanguageTable
    | RefusalTable
    | ValidXMLTable
    | ValidYAMLTable
    | ValidCSVTable
    | ValidSQLTable
    | EntitySpansTable
)
TABLES: dict[str, type[Table]] = {
    table.model_fields["kind"].annotation.__args__[0]: table for table in EvaluatorTable.__args__
}
"""By their `kind`."""


def evaluator(table: EvaluatorTable, at: Callable[[str], Path]) -> Evaluator:
    """The evaluator that a table describes; `at` says where a file is that it names. Raises EvaluationError."""
    from finetune_sdk.evaluation import evaluators

    given = table.model_dump(by_alias=True, exclude={"kind"})
    if isinstance(table, JSONSchemaTable) and isinstance(table.schema_, str):
        given["schema"] = at(table.schema_)
    made: Evaluator = getattr(evaluators, type(table).__name__.removesuffix("Table"))(**given)
    return made
