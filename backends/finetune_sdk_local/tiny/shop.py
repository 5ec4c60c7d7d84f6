"""Messages to a shop: an intent said in one of many ways, with greetings, details, a tone, a signature, and typing noise."""

import random
from dataclasses import dataclass

from finetune_sdk_local.tiny.grammar import code, say, sentence, typos
from finetune_sdk_local.tiny.intents import INTENTS, Intent
from finetune_sdk_local.tiny.words import CAPITALS, CITIES, COLORS, DAYS, MONTHS, NAMES, PRODUCTS, SURNAMES

AREAS: dict[str, tuple[str, ...]] = {
    "payment": ("payment", "billing", "money", "finance", "payments", "invoices", "accounting", "billing and payment"),
    "voucher": ("voucher", "discount", "promotion", "coupons", "offers"),
    "shipping": ("shipping", "delivery", "logistics", "parcel", "transport", "shipment", "delivery problem"),
    "return": ("return", "returns", "exchange", "returns and exchanges", "send back"),
    "defect": ("defect", "warranty", "repair", "broken product", "quality", "damage"),
    "account": ("account", "login", "profile", "access", "user account", "sign-in"),
    "technical": ("technical", "app", "website", "IT", "bug", "tech support", "technical problem"),
    "marketing": ("marketing", "newsletter", "mailing list", "emails"),
    "subscription": ("subscription", "membership", "contract", "plan"),
    "order": ("order change", "cancellation", "order", "cancel"),
    "product": ("product question", "product", "stock", "sales", "product advice"),
    "feedback": ("feedback", "praise or complaint", "opinion", "reviews"),
    "general": ("general", "other", "company", "misc", "everything else"),
}
_DEVICES = [
    "laptop",
    "headphones",
    "coffee machine",
    "blender",
    "toaster",
    "camera",
    "printer",
    "monitor",
    "tablet",
    "speaker",
    "kettle",
    "vacuum cleaner",
    "drill",
    "router",
    "charger",
    "keyboard",
    "mouse",
    "game console",
    "television",
    "fridge",
    "oven",
    "washing machine",
    "hair dryer",
    "electric toothbrush",
    "desk lamp",
    "smart watch",
    "phone",
    "lawn mower",
]
_CLOTHES = [
    "winter jacket",
    "running shoes",
    "dress",
    "pair of jeans",
    "t-shirt",
    "sweater",
    "coat",
    "shirt",
    "skirt",
    "hat",
    "gloves",
    "boots",
    "sandals",
    "ring",
    "trousers",
    "bike helmet",
]

_GREETINGS = "[hi|hello|hey|Hi there|good morning|good evening|Hello team|dear support|Dear Sir or Madam|dear customer service|Hallo|Hey guys|To whom it may concern]"
_OPENERS = (
    "", "", "", "I hope you are well.", "I have a [problem|question|request].", "[sorry|excuse me] to bother you.", "I am writing about my [last purchase|order].",
    "[I have been|being] a customer for [years|a long time].", "[my|our] [mother|wife|husband|son|colleague] asked me to write.", "quick question:",
    "[second|third] time I write about this.", "I bought a {product} [last week|on {date}|as a gift].",
)  # fmt: skip
_DETAILS = (
    "", "", "I [already tried|called] [twice|again and again] [without success|but nobody helped].", "I [live|am] in {city}.", "It was a gift for my [daughter|father|friend].",
    "I [bought|ordered] it on {date}.", "The [price|total] was {amount}.", "I [attached|have attached] [a photo|a screenshot|the receipt].", "I use [Chrome|an iPhone|an old tablet|Windows].",
    "My neighbour [had the same problem|says it is normal].", "I [looked|searched] [in the FAQ|on your website] but found nothing.", "The {product2} is fine by the way.",
    "I paid [by card|with PayPal|by bank transfer].", "[your chat bot|the hotline] could not help.",
)  # fmt: skip
TONES: dict[str, tuple[str, ...]] = {
    "high": (
        "[this is|it is] [urgent|very urgent|an emergency]!", "[please|] [hurry|act now|fix this immediately|answer today|reply as soon as possible]!",
        "I need [it|this|a solution|an answer] [today|by tomorrow|before {day}|right now|tonight]!", "[my|our] [wedding|flight|exam|event|trip] is [tomorrow|on {day}|the day after tomorrow].",
        "[this is the third time I write|I wrote four times already], [I am furious|I have had enough|this is unacceptable]!", "[I will|or I will] [call my lawyer|go to the police|call my bank|sue you]!",
        "ASAP please!!", "I [cannot work|cannot sleep|lose money every hour] [because of this|without it].", "URGENT", "[I am extremely angry|what a disgrace|this is a scandal|unbelievable].",
        "[I will never buy here again|worst shop ever] [if this is not solved today|].", "[answer|call me] [immediately|at once|within the hour].",
    ),
    "normal": (
        "", "", "", "please [let me know|help|check|look into it].", "[what should I do|what can we do|can you help me|how do we go on]?", "I [look forward to|am waiting for] your [answer|reply].",
        "[please|kindly] get back to me [this week|when you can look into it|].", "[it is a bit annoying|I am a little disappointed|not so nice].", "thanks for your help.",
    ),
    "low": (
        "[no rush|no hurry|take your time|it is not urgent|there is no hurry at all].", "[whenever you have time|when you get a chance|any time next week is fine].",
        "[just wondering|just curious|only asking|out of interest].", "[it can wait|not important|just a small thing|nothing dramatic].", "[I am in no hurry|you can answer next month].",
    ),
}  # fmt: skip
_CLOSINGS = (
    "[thanks|thank you|many thanks|thx|best regards|kind regards|regards|cheers|best|yours sincerely|greetings|bye]",
)
_ORDERS = (
    "order {order}", "my order number is {order}", "(order {order})", "order no. {order}", "order number: {order}", "it is about order {order}", "ref {order}",
    "[re|about] {order}", "the order is {order}", "#{order}", "my order {order}", "order id {order}", "the number is {order}", "{order}",
)  # fmt: skip
_OTHER_CODES = (
    "invoice {other}", "tracking number {other}", "my customer number is {other}", "voucher {other}", "model {other}", "serial number {other}", "my phone is {other}",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ticket:
    """One message and what is known about it; None where it says nothing of the kind."""

    text: str
    intent: Intent
    tone: str
    order: str | None
    name: str | None
    product: str | None
    city: str | None
    amount: str | None
    date: str | None


def amount(rng: random.Random) -> str:
    """A price as people write it."""
    value = rng.choice(
        (f"{rng.randrange(3, 400)}", f"{rng.randrange(3, 200)}.{rng.choice(('99', '50', '95', '20', '49'))}")
    )
    return rng.choice((f"{value} euros", f"${value}", f"{value} EUR", f"{value} dollars", f"${value}"))


def date(rng: random.Random) -> str:
    """A day of the year as people write it."""
    month, day = rng.choice(MONTHS), rng.randrange(1, 29)
    return rng.choice((f"{month} {day}", f"{day} {month}", f"{day}.{MONTHS.index(month) + 1}."))


def _tone(rng: random.Random, heat: float) -> str:
    pull = rng.gauss(heat, 0.55)
    return "high" if pull > 0.55 else "low" if pull < -0.55 else "normal"


def _order_phrase(rng: random.Random, parts: list[str], order: str) -> None:
    phrase = say(rng, rng.choice(_ORDERS), order=order)
    at = rng.randrange(len(parts) + 1)
    if rng.random() < 0.4 and at < len(parts) and parts[at]:
        ending = parts[at][-1] if parts[at][-1] in ".!?" else "."
        parts[at] = (
            parts[at].rstrip(".!?") + f" ({phrase})" + ending
            if rng.random() < 0.5
            else parts[at].rstrip(".!?") + f", {phrase}" + ending
        )
    else:
        parts.insert(at, sentence(phrase))


def ticket(rng: random.Random, intent: Intent | None = None, short: bool = False) -> Ticket:
    """A message of one intent (any, if None); `short` leaves out most of what surrounds the matter itself."""
    intent = intent or rng.choice(INTENTS)
    tone = _tone(rng, intent.heat)
    words = {
        "product": rng.choice(PRODUCTS), "product2": rng.choice(PRODUCTS), "color": rng.choice(COLORS), "color2": rng.choice(COLORS), "city": rng.choice(CITIES),
        "country": rng.choice(list(CAPITALS)), "day": rng.choice(DAYS), "date": date(rng), "amount": amount(rng), "amount2": amount(rng), "name": rng.choice(NAMES),
        "device": rng.choice(_DEVICES), "clothes": rng.choice(_CLOTHES),
    }  # fmt: skip
    parts = [
        sentence(say(rng, way, **words))
        for way in rng.sample(intent.ways, min(len(intent.ways), 1 if short else rng.choice((1, 1, 2))))
    ]
    if not short:
        parts.insert(0, say(rng, rng.choice(_OPENERS), **words))
        parts.append(say(rng, rng.choice(_DETAILS), **words))
    if tone != "normal" or rng.random() < 0.5:
        urging = (
            sentence(say(rng, rng.choice(TONES[tone]), **words))
            if tone != "normal"
            else say(rng, rng.choice(TONES[tone]), **words)
        )
        parts.insert(rng.choice((0, len(parts), len(parts))), urging)
    order = code(rng) if rng.random() < (0.3 if short else 0.6) else None
    if order:
        _order_phrase(rng, parts, order)
    if not short and rng.random() < 0.15:
        parts.append(sentence(say(rng, rng.choice(_OTHER_CODES), other=code(rng))))
    text = " ".join(part for part in (part.strip() for part in parts) if part)
    name = (
        rng.choice(NAMES) + (f" {rng.choice(SURNAMES)}" if rng.random() < 0.4 else "")
        if not short and rng.random() < 0.5
        else None
    )
    text = _noise(rng, text)
    if rng.random() < 0.6:
        text = say(rng, _GREETINGS) + rng.choice((", ", "! ", ",\n", ". ", " ")) + text
    if name or rng.random() < 0.3:
        text += (
            rng.choice((" ", "\n", "\n\n"))
            + say(rng, _CLOSINGS[0])
            + (rng.choice((", ", "\n", " ")) + name if name else "")
        )
    low = text.lower()
    return Ticket(
        text, intent, tone, order, name,
        product=words["product"] if words["product"] in low else words["device"] if words["device"] in low else words["clothes"] if words["clothes"] in low else None,
        city=words["city"] if words["city"] in text else None,
        amount=words["amount"] if words["amount"] in text else None,
        date=words["date"] if words["date"] in text else None,
    )  # fmt: skip


def _noise(rng: random.Random, text: str) -> str:
    style = rng.random()
    if style < 0.25:
        text = typos(rng, text, rng.uniform(0.03, 0.15))
    style = rng.random()
    if style < 0.08:
        return "".join(
            word if any(char.isdigit() for char in word) else word.lower()
            for word in text.replace(" ", " \0").split("\0")
        )
    if style < 0.12:
        return text.replace("!", "!!!").replace("?", "???")
    return text
