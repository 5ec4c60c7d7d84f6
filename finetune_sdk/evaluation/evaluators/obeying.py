"""The 25 kinds of instruction that a program can verify, of IFEval (Zhou et al. 2023, arXiv:2311.07911): a function each.

Each takes what was said, the prompt and the instruction's arguments, and says whether the instruction is obeyed. All of
them go over the text a fixed number of times, whatever it holds. Where IFEval leans on nltk's models, plain rules stand here:
a sentence ends at . ! ? … before white space (not after an initial or a usual abbreviation), and words of capitals are runs
without blanks. Where a language cannot be told, an instruction about it counts as obeyed, as it does there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from finetune_sdk.evaluation.evaluators.language import spoken

Given = Mapping[str, Any]
Obeyed = Callable[[str, str, Given], bool]

_WORD = re.compile(r"\w+")
_END = re.compile(r"[.!?…。！？]+[\"'”’)\]]*(?=\s|$)|[。！？]+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'])(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|Inc|Ltd|Co|vs|etc|Fig|No|[eE]\.g|[iI]\.e|U\.S|a\.m|p\.m)$"
)
_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_OPENING = re.compile(r"^```(?:json)?", re.IGNORECASE)
_HIGHLIGHTS = (re.compile(r"\*[^\n*]*\*"), re.compile(r"\*\*[^\n*]*\*\*"))
_PARAGRAPH = re.compile(r"\s?\*\*\*\s?")
_EDGE = 20


def _compared(count: int, relation: str, limit: int) -> bool:
    return count < limit if relation == "less than" else count >= limit


def _existence(said: str, prompt: str, given: Given) -> bool:
    return all(word.lower() in said.lower() for word in given["keywords"])


def _frequency(said: str, prompt: str, given: Given) -> bool:
    return _compared(said.lower().count(given["keyword"].strip().lower()), given["relation"], given["frequency"])


def _forbidden(said: str, prompt: str, given: Given) -> bool:
    return not any(re.search(rf"\b{re.escape(word)}\b", said, re.IGNORECASE) for word in given["forbidden_words"])


def _letters(said: str, prompt: str, given: Given) -> bool:
    return _compared(said.lower().count(given["letter"].lower()), given["let_relation"], given["let_frequency"])


def _language(said: str, prompt: str, given: Given) -> bool:
    return spoken(said) in (given["language"], None)


def sentences(text: str) -> int:
    """How many sentences a text has: its parts up to each end of one that hold a letter or a digit."""
    found = start = 0
    for end in _END.finditer(text):
        if (
            end[0][0] == "."
            and len(end[0]) == 1
            and _ABBREVIATION.search(text, max(start, end.start() - _EDGE), end.start())
        ):
            continue
        found += _WORD.search(text, start, end.start()) is not None
        start = end.end()
    return found + (_WORD.search(text, start) is not None)


def _sentences(said: str, prompt: str, given: Given) -> bool:
    return _compared(sentences(said), given["relation"], given["num_sentences"])


def _paragraphs(said: str, prompt: str, given: Given) -> bool:
    parts = _PARAGRAPH.split(said)
    if not all(part.strip() for part in parts[1:-1]):
        return False
    return bool(sum(bool(part.strip()) for part in parts) == given["num_paragraphs"])


def _words(said: str, prompt: str, given: Given) -> bool:
    return _compared(sum(1 for _ in _WORD.finditer(said)), given["relation"], given["num_words"])


def _first_word(said: str, prompt: str, given: Given) -> bool:
    parts = said.split("\n\n")
    count = sum(bool(part.strip()) for part in parts)
    nth = given["nth_paragraph"]
    if count != given["num_paragraphs"] or nth > count or not parts[nth - 1].strip():
        return False
    word = parts[nth - 1].split(maxsplit=1)[0].lstrip("'").lstrip('"')
    return bool(re.split(r"[.,?!'\"]", word, maxsplit=1)[0].lower() == given["first_word"].lower())


def _placeholders(said: str, prompt: str, given: Given) -> bool:
    count = 0
    for line in said.split("\n"):
        at = line.find("[")
        while at >= 0 and (end := line.find("]", at)) >= 0:
            count, at = count + 1, line.find("[", end)
    return bool(count >= given["num_placeholders"])


def _postscript(said: str, prompt: str, given: Given) -> bool:
    marker = given["postscript_marker"].strip()
    known = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    return re.search(known.get(marker, re.escape(marker.lower())), said.lower()) is not None


def _bullets(said: str, prompt: str, given: Given) -> bool:
    lines = [line.lstrip() for line in said.split("\n")]
    starred = sum(line.startswith("*") and len(line) > 1 and line[1] != "*" for line in lines)
    return bool(starred + sum(line.startswith("-") for line in lines) == given["num_bullets"])


def _constrained(said: str, prompt: str, given: Given) -> bool:
    return any(answer in said for answer in _ANSWERS)


def _highlights(said: str, prompt: str, given: Given) -> bool:
    count = sum(bool(part.strip("*").strip()) for form in _HIGHLIGHTS for part in form.findall(said))
    return bool(count >= given["num_highlights"])


def _sections(said: str, prompt: str, given: Given) -> bool:
    found = re.findall(rf"{re.escape(given['section_spliter'].strip())}\s?\d+", said)
    return bool(len(found) >= given["num_sections"])


def _json(said: str, prompt: str, given: Given) -> bool:
    text = _OPENING.sub("", said.strip()).removesuffix("```").strip()
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _title(said: str, prompt: str, given: Given) -> bool:
    for line in said.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if 0 <= start < end and line[start : end + 2].lstrip("<").rstrip(">").strip():
            return True
    return False


def _two(said: str, prompt: str, given: Given) -> bool:
    parts = said.split("******")
    if not all(part.strip() for part in parts[1:-1]):
        return False
    answers = [part.strip() for part in parts if part.strip()]
    return len(answers) == 2 and answers[0] != answers[1]


def _repeated(said: str, prompt: str, given: Given) -> bool:
    asked = given.get("prompt_to_repeat") or prompt
    return said.strip().lower().startswith(asked.strip().lower())


def _end(said: str, prompt: str, given: Given) -> bool:
    return said.strip().strip('"').lower().endswith(given["end_phrase"].strip().lower())


def _quoted(said: str, prompt: str, given: Given) -> bool:
    text = said.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


def _capital_words(said: str, prompt: str, given: Given) -> bool:
    count = sum(word.isupper() for word in said.split())
    return _compared(count, given["capital_relation"], given["capital_frequency"])


def _capitals(said: str, prompt: str, given: Given) -> bool:
    return said.isupper() and spoken(said) in ("en", None)


def _lowercase(said: str, prompt: str, given: Given) -> bool:
    return said.islower() and spoken(said) in ("en", None)


def _no_comma(said: str, prompt: str, given: Given) -> bool:
    return "," not in said


KINDS: dict[str, tuple[Obeyed, dict[str, str]]] = {
    "keywords:existence": (_existence, {"keywords": "texts"}),
    "keywords:frequency": (_frequency, {"keyword": "text", "frequency": "count", "relation": "relation"}),
    "keywords:forbidden_words": (_forbidden, {"forbidden_words": "texts"}),
    "keywords:letter_frequency": (_letters, {"letter": "text", "let_frequency": "count", "let_relation": "relation"}),
    "language:response_language": (_language, {"language": "text"}),
    "length_constraints:number_sentences": (_sentences, {"num_sentences": "count", "relation": "relation"}),
    "length_constraints:number_paragraphs": (_paragraphs, {"num_paragraphs": "count"}),
    "length_constraints:number_words": (_words, {"num_words": "count", "relation": "relation"}),
    "length_constraints:nth_paragraph_first_word": (
        _first_word,
        {"num_paragraphs": "count", "nth_paragraph": "place", "first_word": "text"},
    ),
    "detectable_content:number_placeholders": (_placeholders, {"num_placeholders": "count"}),
    "detectable_content:postscript": (_postscript, {"postscript_marker": "text"}),
    "detectable_format:number_bullet_lists": (_bullets, {"num_bullets": "count"}),
    "detectable_format:constrained_response": (_constrained, {}),
    "detectable_format:number_highlighted_sections": (_highlights, {"num_highlights": "count"}),
    "detectable_format:multiple_sections": (_sections, {"section_spliter": "text", "num_sections": "count"}),
    "detectable_format:json_format": (_json, {}),
    "detectable_format:title": (_title, {}),
    "combination:two_responses": (_two, {}),
    "combination:repeat_prompt": (_repeated, {"prompt_to_repeat": "text, if another than the case's"}),
    "startend:end_checker": (_end, {"end_phrase": "text"}),
    "startend:quotation": (_quoted, {}),
    "change_case:capital_word_frequency": (
        _capital_words,
        {"capital_frequency": "count", "capital_relation": "relation"},
    ),
    "change_case:english_capital": (_capitals, {}),
    "change_case:english_lowercase": (_lowercase, {}),
    "punctuation:no_comma": (_no_comma, {}),
}
"""By IFEval's own names, with the arguments that each takes, as IFEval's data has them."""

SPOKEN = frozenset({"language:response_language", "change_case:english_capital", "change_case:english_lowercase"})
"""Those that detect a language."""
