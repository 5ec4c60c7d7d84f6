"""Composes one support ticket and its label out of hand-written text, with a seeded generator.

The rule of the labels:

- `category` is the matter that the customer asks about, even if another one is mentioned as settled or beside the point.
  billing: charges, prices, vouchers, invoices, ways to pay, and refunds of wrong charges. delivery: the way of the parcel
  to the customer, what was damaged or missing on it. returns: goods that go back, are exchanged, repaired or faulty, and
  the refund for them. account: login, profile, personal data, points and membership. technical: website, app, downloads,
  and the software or connection of a device. other: the rest, such as questions about products, stores, staff and jobs,
  and reports that a product is unsafe.
- `priority` is high when money was lost or wrongly charged, when the customer cannot use at all what was paid for, when
  there is a hard deadline within days, when safety or security is at stake, or when the customer threatens to leave or to
  go to law; low when it is a question, praise or a wish without time pressure; normal otherwise. A parcel that is late,
  missing or damaged, or a login that fails, is normal by itself.
- `order` is the order number in the ticket (two capital letters, a hyphen, five digits), or null. Numbers of invoices,
  parcels, customers and tickets do not count.

How a line of text is read: one line is one text; `[a|b]` is one of a or b; `{product}` and the like are slots; `{o}` and
`{o2}` may take the order number; `¶` is a line break; in front, `~` marks a text that
stands nearly alone, as typed in haste, and `°` one in another language.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from types import ModuleType

CATEGORIES = ("billing", "delivery", "returns", "account", "technical", "other")
PRIORITIES = ("low", "normal", "high")
ORDER = re.compile(r"[A-Z]{2}-\d{5}(?!\d)")

_PREFIXES = ["KX", "MB", "TR", "LN", "VQ", "HS", "PD", "GW", "BZ", "RF", "CJ", "NY"]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
_MONTHS = ["January", "February", "March", "April", "May", "June", "September", "October", "November"]
_CHOICE = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]")


def texts(block: str) -> list[str]:
    """The texts of a block: one a line; a line that begins with a blank continues the one above."""
    return re.sub(r"\n +", " ", block).strip().split("\n")


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a customer wrote, and its label."""

    text: str
    category: str
    priority: str
    order: str | None


@dataclass(frozen=True, slots=True)
class Slots:
    """The values that one ticket's slots take, the same wherever a slot stands."""

    values: dict[str, str]

    def fill(self, text: str, rng: random.Random) -> str:
        while match := _CHOICE.search(text):
            text = text[: match.start()] + rng.choice(match[1].split("|")) + text[match.end() :]
        text = re.sub(r"\b([Aa]) \{(\w+)\}", self._with_article, text)
        return re.sub(r"\{(\w+)\}", lambda match: self.values[match[1]], text).replace("¶", "\n")

    def _with_article(self, match: re.Match[str]) -> str:
        value = self.values[match[2]]
        return f"{match[1]}{'n' if value[0] in 'aeiou' else ''} {value}"


def slots(extras: ModuleType, rng: random.Random) -> Slots:
    """Draws a value for every slot."""
    amount = rng.choice((rng.uniform(12, 90), rng.uniform(60, 480)))
    money = rng.choice(("€{:.2f}", "{:.2f} EUR", "£{:.2f}", "{:.2f} euros", "€{:.0f}", "${:.2f}"))

    def pick(block: str) -> str:
        return rng.choice(block.strip().replace("\n", "¶").split("¶"))

    date = f"{rng.randint(2, 28)} {rng.choice(_MONTHS)}"
    return Slots(
        {
            "product": pick(extras.PRODUCTS + extras.DEVICES),
            "device": pick(extras.DEVICES),
            "wear": pick(extras.WEAR),
            "wear_de": rng.choice(("Jacke", "Regenjacke", "Weste")),
            "furniture": pick(extras.FURNITURE),
            "city": pick(extras.CITIES),
            "carrier": pick(extras.CARRIERS),
            "email": f"{rng.choice(extras.MAILBOXES)}@example.com",
            "amount": money.format(amount),
            "amount2": money.format(amount * rng.uniform(0.3, 0.8)),
            "date": date,
            "day": rng.choice(_DAYS),
            "n": str(rng.randint(2, 9)),
            "order": f"{rng.choice(_PREFIXES)}-{rng.randint(10000, 99999)}",
            "track": rng.choice(("1Z{:012d}", "TRK{:010d}", "00{:012d}")).format(rng.randrange(10**10)),
            "inv": f"INV-2024-{rng.randint(100, 9999):04d}",
            "customer": str(rng.randint(100000, 999999)),
            "ticket": f"#{rng.randint(100000, 999999)}",
        }
    )


def ticket(core: str, category: str, priority: str, raised: bool, extras: ModuleType, rng: random.Random) -> Ticket:
    """Composes a ticket around `core`; `raised` adds the deadline or threat that makes a normal matter a high one."""
    values = slots(extras, rng)
    hasty, foreign, core = core[0] == "~", core[0] == "°", core.lstrip("~°")
    body, order_line = _order(core, priority, hasty, extras, rng)
    parts = [body]
    if raised:
        parts.append(rng.choice(texts(extras.DEADLINES[category]) * 2 + texts(extras.THREATS)))
    if not hasty and not foreign:
        _surround(parts, category, priority, extras, rng)
    if order_line:
        parts.insert(rng.choice((0, len(parts))), order_line)
    if not hasty and not foreign and rng.random() < 0.1:
        parts.append(rng.choice(texts(extras.OTHER_CODES)))
    lines = [values.fill(part, rng) for part in parts]
    text = (" " if rng.random() < 0.75 else "\n").join(_stopped(line) for line in lines[:-1]) if len(lines) > 1 else ""
    text = f"{text} {lines[-1]}".strip()
    if not hasty and not foreign:
        text = values.fill(_greeted(text, priority, extras, rng), rng)
    text = _noise(text, hasty, priority, extras, rng)
    if not hasty:
        text = values.fill(_enclosed(text, len(parts), extras, rng), rng)
    found = ORDER.search(text)
    return Ticket(text, category, priority, found[0] if found else None)


def _order(core: str, priority: str, hasty: bool, extras: ModuleType, rng: random.Random) -> tuple[str, str]:
    """Places the order number in the core or in a line of its own, or leaves it out."""
    asked = "{o}" in core or "{o2}" in core
    chance = 0.9 if asked else 0.13 if priority == "low" else 0.4
    inside = outside = line = ""
    if rng.random() < (0.5 if hasty else chance):
        if asked and rng.random() < 0.6:
            inside = " {order}" if hasty else f" {rng.choice(extras.ORDER_INLINE)}"
            outside = " for {order}"
        else:
            line = rng.choice(texts(extras.ORDER_LINES if asked or hasty else extras.ORDER_PAST))
    return core.replace("{o}", inside).replace("{o2}", outside), line


def _surround(parts: list[str], category: str, priority: str, extras: ModuleType, rng: random.Random) -> None:
    """Adds context around the core, and now and then a second matter that is not the question."""
    context = texts(extras.CONTEXT["any"])
    if priority != "low":
        context += texts(extras.CONTEXT["trouble"]) + texts(extras.CONTEXT[category])
    many = (44, 33, 12, 6, 3, 2) if priority != "low" else (60, 32, 8, 0, 0, 0)
    for sentence in rng.sample(context, rng.choices((0, 1, 2, 4, 6, 8), many)[0]):
        parts.insert(rng.choice((0, len(parts))), sentence)
    if rng.random() < 0.08:
        aside = rng.choice([other for other in CATEGORIES if other != category])
        parts.append(rng.choice(texts(extras.ASIDES[aside])))


def _greeted(text: str, priority: str, extras: ModuleType, rng: random.Random) -> str:
    """Adds a greeting and a closing."""
    if rng.random() < 0.55:
        text = rng.choice(texts(extras.OPENINGS)) + rng.choice(("\n", "\n\n", " ")) + text
    closings = extras.DEMANDS if priority == "high" and rng.random() < 0.7 else extras.THANKS
    if rng.random() < 0.5:
        text += rng.choice(("\n", "\n\n", " ")) + rng.choice(texts(extras.FOREIGN if rng.random() < 0.06 else closings))
    return text


def _enclosed(text: str, parts: int, extras: ModuleType, rng: random.Random) -> str:
    """Adds what mail programs add: signature, quoted and forwarded mail."""
    if rng.random() < 0.04:
        text = rng.choice(texts(extras.FORWARDS)) + text
    if rng.random() < 0.35:
        text += rng.choice(("\n", "\n\n")) + rng.choice(texts(extras.SIGNATURES))
    if rng.random() < (0.6 if parts > 5 else 0.06):
        text += "\n\n" + rng.choice(texts(extras.QUOTES))
    return text


def _stopped(line: str) -> str:
    return line if line[-1] in ".!?:" else f"{line}."


def _noise(text: str, hasty: bool, priority: str, extras: ModuleType, rng: random.Random) -> str:
    """What phones, haste and anger do to a text; the order number stays as it is."""
    draw = rng.random()
    if hasty or draw < 0.14:
        text = _lowered(text)
        text = text.replace("I'm", "im").replace("don't", "dont").replace("can't", "cant")
    elif draw < 0.20 and priority == "high":
        text = text.upper().replace("@EXAMPLE.COM", "@example.com")
        text = re.sub(r"([.!?])(?=\s|$)", lambda match: rng.choice(("!", "!!", "!!!")), text, count=2)
    if rng.random() < (0.3 if hasty else 0.2):
        text = _typos(text, rng)
    if rng.random() < 0.09:
        mark = rng.choice(extras.EMOJI[priority])
        first, _, rest = text.partition("\n\n") if rng.random() < 0.5 else (text, "", "")
        text = f"{first} {mark}" + (f"\n\n{rest}" if rest else "")
    return text


def _lowered(text: str) -> str:
    """Lower case, except for words that hold a hyphen or a digit, such as codes."""
    return re.sub(r"\S+", lambda match: match[0] if re.search(r"-|\d", match[0]) else match[0].lower(), text)


def _typos(text: str, rng: random.Random) -> str:
    """One to three slips of the finger, in words of at least five letters."""
    words = list(re.finditer(r"(?<![\w@.#-])[a-zA-Z]{5,}(?![\w@-])", text))
    for word in sorted(rng.sample(words, min(len(words), rng.randint(1, 3))), key=lambda match: -match.start()):
        at = word.start() + rng.randint(1, len(word[0]) - 3)
        slip = rng.choice((text[at + 1] + text[at], text[at], text[at] * 2 + text[at + 1]))
        text = text[:at] + slip + text[at + 2 :]
    return text
