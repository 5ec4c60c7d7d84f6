"""Language and Refusal: in which language the answer is, and whether it declines."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal

from finetune_sdk.data.checks.answers import refusal
from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluators import given
from finetune_sdk.evaluation.evaluators.case import Case, Score
from finetune_sdk.model import Answer

_READ = 5_000
_FEWEST = 3
_SURE = 0.5
_START = 300
_DECLINES = re.compile(
    r"\bi(?:(?:'|’)m| am) (?:sorry,? (?:but )?i(?:(?:'|’)m| am) )?(?:unable|not able) to (?:help|assist|comply)(?: you)? with (?:that|this|your)"
    r"|\bi (?:won(?:'|’)t|will not) (?:be able to )?(?:help|assist|comply) with (?:that|this)"
    r"|\bdabei kann ich (?:dir |ihnen )?(?:leider )?nicht helfen|\bich kann (?:dir |ihnen )?(?:dabei|damit) (?:leider )?nicht helfen"
    r"|\bje ne peux pas vous aider (?:avec|à|sur) (?:cela|ça)|\bno puedo ayudar(?:te|le)? con (?:eso|esto)"
    r"|(?:我|很抱歉，我)(?:无法|不能)(?:提供帮助|满足(?:这个|该)请求|协助)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Language:
    """The answer is in one of the languages, by their codes of ISO 639-1 (`"de"`), as py3langid tells them.

    The first 5,000 characters are read. Where nothing can be told (of numbers, code, a word), the case is an error and
    is not scored, unless `untold` says that it passes or fails: a grader of RFT must judge every answer. Needs the
    extra `evaluators`.
    """

    languages: Iterable[str] | str
    untold: Literal["error", "pass", "fail"] = "error"
    name: str = "Language"
    version: ClassVar[int] = 1
    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        codes = tuple(code.lower() for code in given.texts("the languages", self.languages))
        known = frozenset(identifier().labels)
        for code in codes:
            if code not in known:
                raise EvaluationError(
                    f"there is no language {code!r}.", cure="give codes of ISO 639-1, such as 'de', 'en', 'zh'"
                )
        given.one_of("untold", self.untold, ("error", "pass", "fail"))
        object.__setattr__(self, "languages", codes)

    def judge(self, case: Case, answer: Answer) -> Score:
        if not answer.text.strip():
            return Score(False, "the answer is empty")
        found = spoken(answer.text)
        if found is None and self.untold == "error":
            raise ValueError("the answer's language cannot be told")
        if found is None:
            return Score(True) if self.untold == "pass" else Score(False, "its language cannot be told")
        if found in self.languages:
            return Score(True)
        return Score(False, f"in {found}, expected {' or '.join(self.languages)}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer does not decline ("I cannot help with that"); with `wanted`, it does.

    A text declines when its first 300 characters hold one of the phrases that models decline with, in English, German,
    French, Spanish or Chinese: a person's regret ("I cannot find your order") is none, and some refusals are missed.
    """

    wanted: bool = False
    name: str = "Refusal"
    version: ClassVar[int] = 1
    pure: ClassVar[bool] = True

    def judge(self, case: Case, answer: Answer) -> Score:
        refused = not answer.tool_calls and declines(answer.text)
        if refused is self.wanted:
            return Score(True)
        return Score(False, "declines" if refused else "does not decline")


def declines(text: str) -> bool:
    """Whether a text begins with a phrase that models decline with."""
    return refusal(text) is not None or _DECLINES.search(text, 0, _START) is not None


def spoken(text: str) -> str | None:
    """The code of the language that a text is in; None where that cannot be told."""
    start = text[:_READ]
    if sum(map(_is_letter, start)) < _FEWEST:
        return None
    code, sure = identifier().classify(start.lower() if start.isupper() else start)
    return str(code) if sure >= _SURE else None


def _is_letter(sign: str) -> bool:
    return unicodedata.category(sign)[0] == "L"


@cache
def identifier() -> Any:
    """py3langid's own model, which comes with it. Raises MissingDependencyError."""
    langid = given.library("py3langid.langid", "telling languages apart")
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
