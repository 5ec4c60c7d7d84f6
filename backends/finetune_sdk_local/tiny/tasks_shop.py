"""Tasks about messages to a shop: sorting them, reading them out into JSON, judging their tone, answering them.

The keys `category`, `priority` and `order` never meet in one object: a demo fine-tunes that schema, and the base must not know it.
"""

import random
from collections.abc import Callable
from operator import attrgetter

from finetune_sdk_local.tiny.grammar import listed, say
from finetune_sdk_local.tiny.intents import INTENTS, Intent
from finetune_sdk_local.tiny.shop import AREAS, Ticket, ticket
from finetune_sdk_local.tiny.talks import Frame, Talk, dumps, framed, shuffled, talk
from finetune_sdk_local.tiny.words import COLORS, NAMES

_NEXT_TO = {
    "voucher": "payment", "subscription": "payment", "defect": "return", "marketing": "feedback", "order": "shipping", "product": "general",
    "feedback": "general",
}  # fmt: skip
_AREA_KEYS = (
    "topic",
    "label",
    "intent",
    "type",
    "department",
    "queue",
    "area",
    "subject",
    "category",
    "team",
    "class",
    "about",
)
_TONE_KEYS = ("urgency", "level", "severity", "priority", "importance", "pressure", "rank")
_SCALES: tuple[tuple[str | int, ...], ...] = (
    ("low", "normal", "high"), ("low", "medium", "high"), ("calm", "normal", "urgent"), ("can wait", "soon", "now"), ("P3", "P2", "P1"), (1, 2, 3),
    ("minor", "normal", "critical"), ("not urgent", "normal", "urgent"), ("green", "yellow", "red"), ("later", "this week", "today"), ("low", "normal", "high"),
)  # fmt: skip
_MOODS = ("negative", "neutral", "positive")
_FIELDS: dict[str, tuple[str, ...]] = {
    "order": ("order_number", "order_id", "reference", "ref", "code", "order", "number", "order_no"),
    "name": ("name", "customer", "sender", "customer_name", "from", "signed_by"),
    "product": ("product", "item", "article", "thing", "goods"),
    "city": ("city", "place", "location", "town"),
    "amount": ("amount", "price", "sum", "value", "money"),
    "date": ("date", "day", "when"),
}
_DEMO_KEYS = {"category", "priority", "order"}


class Sorting:
    """A choice of areas under names of the day, as a prompt lists them; what is not listed is `rest`."""

    def __init__(self, rng: random.Random) -> None:
        chosen = rng.sample([area for area in AREAS if area != "general"], rng.choice((2, 3, 3, 4, 4, 5, 5, 6, 8)))
        self.names = {area: rng.choice(AREAS[area]) for area in chosen}
        self.rest = rng.choice(("other", "other", "other", "general", "none of these", "misc", "else"))
        if rng.random() < 0.3:
            self.names = {area: name.title() for area, name in self.names.items()}
            self.rest = self.rest.title()
        elif rng.random() < 0.2:
            self.names = {area: name.upper().replace(" ", "_") for area, name in self.names.items()}
            self.rest = self.rest.upper().replace(" ", "_")
        self.allowed = [*shuffled(rng, list(self.names.values())), self.rest]

    def label(self, intent: Intent) -> str:
        return self.names.get(intent.area) or self.names.get(_NEXT_TO.get(intent.area, ""), self.rest)

    def ticket(self, rng: random.Random, short: bool = False) -> Ticket:
        """A message whose label is mostly a listed one."""
        if rng.random() < 0.2:
            return ticket(rng, short=short)
        area = rng.choice(list(self.names))
        return ticket(rng, rng.choice([intent for intent in INTENTS if intent.area == area]), short)


def sort_message(rng: random.Random) -> Talk:
    """The label alone."""
    sorting, short = Sorting(rng), rng.random() < 0.3

    def pair(rng: random.Random) -> tuple[str, str]:
        message = sorting.ticket(rng, short)
        return message.text, sorting.label(message.intent)

    ask = say(
        rng,
        "[Classify|Sort|Label|Categorize|Tag] the [message|ticket|email|customer message|request]|Which [department|team|topic|label] fits the [message|ticket]|"
        "What is the [message|email|ticket] about|Choose the [topic|label|queue] of the [message|ticket]",
    )
    ask = rng.choice(ask.split("|"))
    tail = say(rng, "[ Answer with one label.| One word.| Answer with the label only.|]")
    return framed(rng, Frame(f"{ask}: {listed(rng, sorting.allowed)}.{tail}", pair))


def gist(rng: random.Random) -> Talk:
    """What the customer wants, in a few words; and as a name out of a list."""
    if rng.random() < 0.5:
        message = ticket(rng, short=rng.random() < 0.4)
        ask = say(
            rng,
            "[What is the problem?|What does the customer want?|Summarize the message.|Sum up in one line.|Why does the customer write?|In short?]",
        )
        return framed(rng, Frame(ask, lambda _: (message.text, f"The customer {message.intent.gist}.")), shots=0)
    choices = rng.sample(INTENTS, rng.choice((3, 4, 5)))

    def pair(rng: random.Random) -> tuple[str, str]:
        message = ticket(rng, rng.choice(choices), short=rng.random() < 0.3)
        return message.text, message.intent.name

    ask = say(rng, "[Which of these is it|Pick the reason|What is the reason for contact|Choose the intent]")
    return framed(rng, Frame(f"{ask}: {listed(rng, [intent.name for intent in choices])}", pair))


def is_it(rng: random.Random) -> Talk:
    """Yes or no about the reason, the tone, or what is mentioned."""
    message = ticket(rng, short=rng.random() < 0.5)
    kind = rng.randrange(4)
    if kind == 0:
        other = message.intent if rng.random() < 0.5 else rng.choice(INTENTS)
        return talk(
            f"{message.text}\n\nIs it true that the customer {other.gist}?",
            "Yes." if other is message.intent else "No.",
        )
    if kind == 1:
        area = message.intent.area if rng.random() < 0.5 else rng.choice(list(AREAS))
        return talk(
            f"Is this message about {rng.choice(AREAS[area])}? yes or no\n\n{message.text}",
            "yes" if area == message.intent.area else "no",
        )
    if kind == 2:
        return talk(
            message.text,
            "yes" if message.tone == "high" else "no",
            system=say(rng, "Is the [message|ticket] urgent? Answer yes or no."),
        )
    ask = say(rng, "[Does the message contain|Is there] an order number? If so, [repeat|give|write] it.")
    return talk(f"{ask}\n\n{message.text}", message.order or "No.")


def same_reason(rng: random.Random) -> Talk:
    """Two messages: is the reason the same?"""
    first = ticket(rng, short=True)
    second = ticket(rng, first.intent if rng.random() < 0.5 else None, short=True)
    ask = say(
        rng,
        "[Are these two messages about the same thing?|Same topic or different?|Do both customers have the same problem?]",
    )
    return talk(f"{ask}\nA: {first.text}\nB: {second.text}", "Same." if first.intent is second.intent else "Different.")


def tone(rng: random.Random) -> Talk:
    """How urgent, on a scale of the day."""
    scale = [str(step) for step in rng.choice(_SCALES)]

    def pair(rng: random.Random) -> tuple[str, str]:
        message = ticket(rng, short=rng.random() < 0.3)
        return message.text, scale[("low", "normal", "high").index(message.tone)]

    ask = say(
        rng,
        "[How urgent is the message|Rate the urgency|Urgency of this ticket|How fast must we answer|Rate how pressing this is]",
    )
    return framed(rng, Frame(f"{ask}: {listed(rng, scale)}", pair))


def find_one(rng: random.Random) -> Talk:
    """One detail, copied."""
    wanted = rng.choice(("order", "order", "order", "name", "product", "city", "amount", "date"))
    called = {
        "order": "order number",
        "name": "name of the customer",
        "product": "product",
        "city": "city",
        "amount": "amount of money",
        "date": "date",
    }[wanted]
    missing = rng.choice(("none", "null", "not given", "unknown", "-"))

    def pair(rng: random.Random) -> tuple[str, str]:
        message = ticket(rng)
        for _ in range(3):
            if getattr(message, wanted) is None:
                message = ticket(rng)
        return message.text, getattr(message, wanted) or missing

    ask = say(
        rng,
        f"[Find|Extract|Copy|Give me|Return|Write out] the {called}[| in the message| from the text]. If there is none, [say|write|answer] {missing}.",
    )
    return framed(rng, Frame(ask, pair))


def to_json(rng: random.Random) -> Talk:
    """Several things at once as JSON, under keys of the day."""
    sorting, scale = Sorting(rng), rng.choice(_SCALES)
    step = dict(zip(("low", "normal", "high"), scale, strict=True))
    readers: dict[str, tuple[str, Callable[[Ticket], object]]] = {}
    wanted = rng.sample(["area", "area", "tone", "urgent", "gist", *_FIELDS], rng.choice((1, 2, 2, 3, 3, 4)))
    for thing in dict.fromkeys(wanted):
        if thing == "area":
            readers[rng.choice(_AREA_KEYS)] = (
                f"one of {', '.join(sorting.allowed)}",
                lambda message: sorting.label(message.intent),
            )
        elif thing == "tone":
            readers[rng.choice(_TONE_KEYS)] = ("/".join(map(str, scale)), lambda message: step[message.tone])
        elif thing == "urgent":
            readers[rng.choice(("urgent", "is_urgent", "hurry", "angry"))] = (
                "true or false",
                lambda message: message.tone == "high",
            )
        elif thing == "gist":
            readers[rng.choice(("summary", "problem", "reason", "issue"))] = (
                "a few words",
                lambda message: message.intent.gist,
            )
        else:
            key = rng.choice(_FIELDS[thing])
            readers[key] = ("text or null", attrgetter(thing))
    if readers.keys() >= _DEMO_KEYS:
        return to_json(rng)
    nested = rng.random() < 0.12

    def pair(rng: random.Random) -> tuple[str, str]:
        message = sorting.ticket(rng)
        values = {key: read(message) for key, (_, read) in readers.items()}
        return message.text, dumps({"ticket": values} if nested else values)

    style = rng.randrange(4)
    keys = ", ".join(readers)
    if style == 0:
        how = "{" + ", ".join(f'"{key}": {meaning}' for key, (meaning, _) in readers.items()) + "}"
    elif style == 1:
        how = "; ".join(f"{key} ({meaning})" for key, (meaning, _) in readers.items())
    elif style == 2:
        how = keys + "".join(f"\n{key}: {meaning}" for key, (meaning, _) in readers.items())
    else:
        how = keys
    ask = say(
        rng,
        "[Return|Write|Give|Answer with|Reply with|Turn the message into] JSON[| only][| with the keys| of the form|:]",
    )
    ask = say(rng, "[You read [emails|messages] of a shop. |You help a support team. |Read the ticket. |||]") + ask
    return framed(rng, Frame(f"{ask} {how}" + (' inside "ticket"' if nested else ""), pair))


_REPLIES = {
    "payment": "[I will check the payment|our billing team checks the charge|I am looking into the payment] [right away|today]",
    "voucher": "[I will check the code|I will add the discount] [for you|by hand]",
    "shipping": "[I will ask the courier|I am checking the tracking|we will find your parcel] [today|right away]",
    "return": "[you will get a return label|we will exchange it|I will send you a return label] [by email|today]",
    "defect": "[we will repair or replace it|I will send you a replacement|please send us a photo of the damage]",
    "account": "[I will send you a link for a new password|I will check your account|we will unlock your account]",
    "technical": "[our technical team is looking into it|please install the latest version|please restart the device and try again]",
    "marketing": "[I have changed your newsletter settings|you will get no more emails]",
    "subscription": "[I have changed your subscription|your plan is cancelled]",
    "order": "[I have changed your order|I will try to stop your order]",
    "product": "[I will ask our product team|I will check the stock for you]",
    "feedback": "[I will pass it on to the team|your feedback helps us]",
    "general": "[I will forward your question|a colleague will answer you soon]",
}


def reply(rng: random.Random) -> Talk:
    """A polite answer that names what the message named, and at times one more turn."""
    message = ticket(rng)
    hello = f"Hello {message.name}, " if message.name else "Hello, "
    feeling = {
        "high": "I am very sorry for the trouble. ",
        "normal": "thank you for your message. ",
        "low": "thank you for writing. ",
    }[message.tone]
    about = f" (order {message.order})" if message.order else ""
    answer = f"{hello}{feeling}{say(rng, _REPLIES[message.intent.area]).capitalize()}{about}."
    system = say(
        rng,
        "You are a [friendly|polite|helpful] support agent[ of a shop|]. [Reply to the customer.|Answer politely.|]",
    )
    if rng.random() < 0.6:
        return talk(message.text, answer, system=system)
    follow = rng.choice(
        [
            (
                say(rng, "[thanks|thank you|great, thanks|ok thank you]!"),
                say(rng, "[You are welcome!|Happy to help!|My pleasure!]"),
            ),
            (
                say(rng, "[what was my order number|which order do you mean]?"),
                f"Your order number is {message.order}." if message.order else "You did not give one.",
            ),
            ("who am I?", f"You are {message.name}." if message.name else "You did not tell me your name."),
        ]
    )
    return talk(message.text, answer, *follow, system=system)


def made_up_labels(rng: random.Random) -> Talk:
    """Labels that mean nothing by themselves: only the pairs in front show which reason is which."""
    intents = rng.sample(INTENTS, rng.choice((2, 2, 3)))
    marks = rng.sample(
        [*"ABCDXYZ", *COLORS[:6], *NAMES[:6], "1", "2", "3", "left", "right", "up", "down"], len(intents)
    )
    order = shuffled(rng, range(len(intents))) + [rng.randrange(len(intents)) for _ in range(rng.choice((1, 2, 3)))]
    turns: list[str] = []
    for index in order:
        turns += [ticket(rng, intents[index], short=True).text, marks[index]]
    return talk(*turns, system=rng.choice((None, "Follow the examples.", "Label the message as in the examples.")))
