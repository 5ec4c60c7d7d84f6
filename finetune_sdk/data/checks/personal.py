"""Personal data in the rows: e-mail addresses, telephone numbers, IBANs, card numbers, IP addresses.

Only what a pattern can tell, and where there is a sum to check it is checked; names and postal addresses are not found.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from operator import attrgetter
from typing import Any, NamedTuple

from finetune_sdk.data.checks.finding import Finding, Rows
from finetune_sdk.data.checks.places import Places, rows_of
from finetune_sdk.data.checks.reading import key


class Held(NamedTuple):
    """A piece of text that is somebody's: `value` is the same for each way of writing it."""

    kind: str
    start: int
    end: int
    value: str


NAMES = {
    "EMAIL": "an e-mail address",
    "PHONE": "a telephone number",
    "IBAN": "an IBAN",
    "CARD": "a card number",
    "IP": "an IP address",
}
_LATIN = "A-Za-z0-9\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f"
_EMAIL = re.compile(rf"[{_LATIN}._%+\-]{{1,64}}@(?:[{_LATIN}\-]{{1,63}}\.)+[{_LATIN[:6]}{_LATIN[9:]}]{{2,24}}\b")
_RESERVED = re.compile(r"(?:^|[.@])(?:example(?:\.(?:com|net|org))?|test|invalid|localhost)$")
_MESSAGE_ID = re.compile(r"[0-9.\-]{16,}@")
_DIGITS = re.compile(r"[0-9][0-9 .()/\-]{5,}[0-9]")
_PHONE = re.compile(
    r"(?<![\w#$€£.+\-/])(?:"
    r"\+[1-9]\d{0,2}(?:[ .\-/]{0,2}\(?\d\)?){7,12}"  # +49 (0)30 1234567
    r"|00[1-9]\d{1,2}[ \-/](?:[ \-/]?\d){7,11}"  # 0049 30 1234567
    r"|(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[.\-])[2-9]\d{2}[.\-]\d{4}"  # (555) 234-5678
    r"|0[1-9]\d{1,3}[ /]\d{3,4}[ \-]?\d{3,5}|0[1-9]\d{1,3}/\d{5,8}"  # 030 1234567, 0171/1234567
    r"|0[1-9](?:[ .]\d{2}){4}"  # 06 12 34 56 78
    r")(?![\w\-/]|[.,]\d)"
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}")
_IBAN_LENGTHS = {
    "AT": 20, "BE": 16, "BG": 22, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "EE": 20, "ES": 24, "FI": 18,
    "FR": 27, "GB": 22, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IT": 27, "LI": 21, "LT": 20, "LU": 20, "LV": 21,
    "MT": 31, "NL": 18, "NO": 15, "PL": 28, "PT": 25, "RO": 24, "SE": 24, "SI": 19, "SK": 24, "TR": 26,
}  # fmt: skip
_CARD = re.compile(r"(?<![\w.\-+])(?:3[47]|4|5[1-5]|2[2-7]|6(?:011|5))(?:[ \-]?\d){12,15}(?![\w\-]|\.\d)")
_IP = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)")
_FILE = re.compile(r"data:[\w.+\-]+/[\w.+\-]+(?:;[\w.+\-]+=[\w.+\-]+)*;base64,[A-Za-z0-9+/=]*")
_start = attrgetter("start")
_SURE = ("EMAIL", "IBAN", "CARD", "IP", "PHONE")
_VERSION = re.compile(r"(?:version|release|build|firmware|\bv)\W{0,2}$", re.IGNORECASE)


def personal(text: str) -> list[Held]:
    """The personal data in a text, in order; where two overlap the surer one counts."""
    found: list[Held] = []
    if "@" in text:
        found += (
            Held("EMAIL", m.start(), m.end(), m.group().lower())
            for m in _EMAIL.finditer(text)
            if not _RESERVED.search(m.group().lower()) and not _MESSAGE_ID.match(m.group())
        )
    for look in {look for digits in _DIGITS.finditer(text) for look in _possible(text, digits)}:
        found += look(text)
    return apart(sorted(found, key=lambda held: _SURE.index(held.kind)))


def _possible(text: str, digits: re.Match[str]) -> Iterator[Callable[[str], Iterator[Held]]]:
    """What a run of digits may be part of: few rows get as far as the patterns, which are slow."""
    run, before = digits.group(), text[digits.start() - 1 : digits.start()]
    if run.count(".") >= 3:
        yield _addresses
    count = sum(map(str.isdigit, run))
    if count >= 8:
        yield _ibans
    if count >= 15:
        yield _cards
    if before in ("-", "/", "#", ".") or before.isalnum():
        return
    if before in ("+", "(") or (run[0] == "0" and run[:3] != "000") or (count >= 10 and not run.isdigit()):
        yield _phones


def apart(found: list[Held]) -> list[Held]:
    """Those that overlap no earlier one of the list, in the order of the text."""
    kept: list[Held] = []
    for one in found:
        at = bisect_right(kept, one.start, key=_start)
        if (at == 0 or kept[at - 1].end <= one.start) and (at == len(kept) or one.end <= kept[at].start):
            kept.insert(at, one)
    return kept


def _ibans(text: str) -> Iterator[Held]:
    for match in _IBAN.finditer(text):
        length, said = _IBAN_LENGTHS.get(match.group()[:2], 0), ""
        for end, letter in enumerate(match.group(), 1):
            said += letter.strip()
            if len(said) == length and _mod_97(said):
                yield Held("IBAN", match.start(), match.start() + end, said)
                break


def _mod_97(iban: str) -> bool:
    """ISO 13616: the first four letters moved to the end and letters read as numbers, it is 1 modulo 97."""
    return int("".join(str(int(letter, 36)) for letter in iban[4:] + iban[:4])) % 97 == 1


def _cards(text: str) -> Iterator[Held]:
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if len(digits) == (15 if digits[0] == "3" else 16) and luhn(digits):
            yield Held("CARD", match.start(), match.end(), digits)


def luhn(digits: str) -> bool:
    """The check sum of card numbers (ISO/IEC 7812-1)."""
    doubled = (2 * int(digit) if at % 2 else int(digit) for at, digit in enumerate(reversed(digits)))
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def _addresses(text: str) -> Iterator[Held]:
    for match in _IP.finditer(text):
        try:
            address = ip_address(match.group())
        except ValueError:
            continue
        # Fewer than 7 digits are rather the number of a section: of addresses in use one in 300 has so few.
        if len(match.group()) < 10 or not address.is_global:
            continue
        if not _VERSION.search(text, max(0, match.start() - 12), match.start()):
            yield Held("IP", match.start(), match.end(), match.group())


def _phones(text: str) -> Iterator[Held]:
    for match in _PHONE.finditer(text):
        digits = re.sub(r"\D", "", match.group().replace("(0)", ""))
        yield Held("PHONE", match.start(), match.end(), digits.removeprefix("00"))


def all_text(row: Mapping[str, Any]) -> str:
    """Everything that is said in a row, in lines."""
    if "messages" not in row:
        return "\n".join(texts(row))
    parts: list[str] = []
    for turn in row["messages"]:
        if len(turn) == 2 and isinstance(turn["content"], str):
            parts.append(turn["content"])
        else:
            parts += texts(turn)
    return "\n".join(parts)


def texts(value: Any, *, free: bool = False) -> Iterator[str]:
    """Every text in a row, but for the words of its form (roles, ids); where keys are `free`, they are texts too."""
    if isinstance(value, str):
        if not is_file(value):
            yield value
    elif isinstance(value, Mapping):
        if not free and value.get("type") in BINARY:
            return
        for name, inner in value.items():
            if free:
                yield name
            if free or name not in FORM:
                yield from texts(inner, free=free or name in FREE)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner, free=free)


def is_file(text: str) -> bool:
    """Whether a text is a file in base64, as a picture is where its address is meant."""
    return text.startswith("data:") and _FILE.fullmatch(text) is not None


FORM = frozenset({"role", "type", "id", "tool_call_id", "tools", "weight"})
"""Keys under which a row holds nothing that is said."""

FREE = frozenset({"arguments", "reference"})
"""Keys under which a row holds objects with keys of their own."""

BINARY = ("input_audio", "file")
"""Parts of a message whose text is a file in base64."""


def masked(value: str) -> str:
    """Enough of a value to find it, not to use it."""
    return f"{value[:2]}…{value[-2:]} ({len(value)} characters)"


@dataclass(slots=True)
class PersonalData:
    """Rows with personal data, a finding for each kind. The example is masked.

    A value in `own` (10%) of the rows, 20 at least, is taken for the firm's own (the address of its support) and is not
    told. Addresses at example.com, private IP addresses and version numbers are none.
    """

    own: float = 0.1
    _rows: dict[str, tuple[array[int], array[int]]] = field(default_factory=dict)
    _counts: Counter[int] = field(default_factory=Counter)
    _examples: dict[int, str] = field(default_factory=dict)

    def see(self, index: int, row: Mapping[str, Any]) -> None:
        held = {(kind, value) for kind, _, _, value in personal(all_text(row))}
        for kind, value in sorted(held):
            stands_for = key(value)
            self._counts[stands_for] += 1
            indices, values = self._rows.setdefault(kind, (array("L"), array("q")))
            indices.append(index)
            values.append(stands_for)
            if len(self._examples) < 1_000:
                self._examples.setdefault(stands_for, masked(value))

    def findings(self, rows: Rows) -> Iterator[Finding]:
        often = max(20, self.own * len(rows))
        for kind in (kind for kind in NAMES if kind in self._rows):
            places, last = Places(), -1
            for index, value in zip(*self._rows[kind], strict=True):
                if index != last and self._counts[value] < often:
                    places.add(index, self._examples.get(value, ""))
                    last = index
            if places.count:
                yield places.finding(
                    rows,
                    "personal-data",
                    "warning",
                    f"{rows_of(places.count, 'holds', 'hold')} {NAMES[kind]}.",
                    "a model may repeat it to anybody: `finetune check FILE --fix OUT --redact` puts placeholders",
                )
