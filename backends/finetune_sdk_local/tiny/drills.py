"""Many small questions of one kind in one conversation: what words and sentences mean, learnt from few tokens each."""

import random
from collections.abc import Callable

from finetune_sdk_local.tiny import lexicon
from finetune_sdk_local.tiny.grammar import code, listed, say, sentence
from finetune_sdk_local.tiny.intents import Intent
from finetune_sdk_local.tiny.shop import AREAS, TONES, Ticket, ticket
from finetune_sdk_local.tiny.talks import Talk, dumps, talk
from finetune_sdk_local.tiny.tasks_shop import Sorting
from finetune_sdk_local.tiny.tasks_world import short_fact
from finetune_sdk_local.tiny.words import KINDS, OPPOSITES, PAST, SYNONYMS

Pair = Callable[[random.Random], tuple[str, str]]

_STEPS = ("low", "normal", "high")


def _message(rng: random.Random, intent: Intent | None = None) -> Ticket:
    return ticket(rng, intent, short=True)


def _drill(rng: random.Random, ask: str, pair: Pair, most: int = 10) -> Talk:
    """The question in the system turn, or in front of the first input, then one input after the other."""
    turns = [text for _ in range(rng.randrange(3, most + 1)) for text in pair(rng)]
    if rng.random() < 0.7:
        return talk(*turns, system=ask)
    turns[0] = f"{ask}\n{turns[0]}"
    return talk(*turns)


def reasons(rng: random.Random) -> Talk:
    """Why somebody writes, under the corpus' own name of it."""
    if rng.random() < 0.5:
        ask = rng.choice(("Name the reason.", "Why does the customer write?", "Reason?"))
        return _drill(rng, ask, lambda rng: ((message := _message(rng)).text, message.intent.name))
    ask = rng.choice(("What is the problem?", "Summarize the message.", "In short?"))
    return _drill(rng, ask, lambda rng: ((message := _message(rng)).text, f"The customer {message.intent.gist}."))


def areas(rng: random.Random) -> Talk:
    """Which area, of a sentence or of single words; under the area's first name, or under listed names of the day."""

    def words(rng: random.Random) -> tuple[str, str]:
        area = rng.choice(list(lexicon.WORDS))
        return ", ".join(rng.sample(lexicon.WORDS[area], rng.choice((1, 1, 2)))), AREAS[area][0]

    kind = rng.randrange(3)
    if kind == 0:
        return _drill(rng, rng.choice(("Which area?", "Area:", "Name the area.")), words)
    if kind == 1:
        ask = rng.choice(("Which area?", "Area:", "Name the area."))
        return _drill(rng, ask, lambda rng: ((message := _message(rng)).text, AREAS[message.intent.area][0]))
    sorting = Sorting(rng)
    ask = rng.choice(("Classify the message", "Sort the ticket", "Which topic fits", "Choose the label"))
    ask = f"{ask}: {listed(rng, sorting.allowed)}"
    return _drill(
        rng, ask, lambda rng: ((message := sorting.ticket(rng, short=True)).text, sorting.label(message.intent))
    )


def urgency(rng: random.Random) -> Talk:
    """How pressing: a matter with words of a tone around it."""
    names = rng.choice((_STEPS, _STEPS, ("low", "medium", "high"), ("calm", "normal", "urgent")))

    def pair(rng: random.Random) -> tuple[str, str]:
        step = rng.randrange(3)
        if rng.random() < 0.4:
            scraps = rng.choice((lexicon.CALM, lexicon.PLAIN, lexicon.URGENT)[step : step + 1])
            return ", ".join(rng.sample(scraps, 2)), names[step]
        if rng.random() < 0.5:
            message = ticket(rng)
            return message.text, names[_STEPS.index(message.tone)]
        phrases = [phrase for phrase in TONES[_STEPS[step]] if phrase]
        return sentence(say(rng, rng.choice(phrases), day="Monday")), names[step]

    return _drill(
        rng, f"{rng.choice(('How urgent', 'Urgency', 'Rate the urgency', 'Priority'))}: {listed(rng, names)}", pair, 7
    )


def codes(rng: random.Random) -> Talk:
    """The order number of a message, or a word for none."""
    missing = rng.choice(("none", "null", "-"))
    ask = f"{rng.choice(('Order number', 'Find the order number', 'Copy the order number'))}, or {missing}."
    return _drill(rng, ask, lambda rng: ((message := _message(rng)).text, message.order or missing), 6)


def records(rng: random.Random) -> Talk:
    """Messages as small JSON objects, always of the same keys within a talk."""
    area_key = rng.choice(("topic", "area", "type", "subject", "department", "class"))
    code_key = rng.choice(("order_number", "ref", "code", "number", "order_id"))
    tone_key = rng.choice(("urgency", "level", "pressure", ""))
    sorting = Sorting(rng)

    def pair(rng: random.Random) -> tuple[str, str]:
        message = sorting.ticket(rng, short=rng.random() < 0.7)
        record = {area_key: sorting.label(message.intent), code_key: message.order}
        return message.text, dumps(record | {tone_key: message.tone} if tone_key else record)

    keys = f"{area_key} ({', '.join(sorting.allowed)}), {code_key} or null" + (
        f", {tone_key} (low, normal, high)" if tone_key else ""
    )
    return _drill(rng, f"JSON: {keys}", pair, 5)


def vocabulary(rng: random.Random) -> Talk:
    """Words one by one: kind, opposite, synonym, past tense; and small facts."""
    kind = rng.randrange(5)
    if kind == 0:

        def kinds(rng: random.Random) -> tuple[str, str]:
            name = rng.choice(list(KINDS))
            return rng.choice(KINDS[name]), name

        return _drill(rng, "What kind of thing is it?", kinds, 16)
    if kind == 1:
        return _drill(
            rng,
            "Give the opposite.",
            lambda rng: (lambda both: (both[0], both[1]))(rng.sample(rng.choice(OPPOSITES), 2)),
            14,
        )
    if kind == 2:

        def synonyms(rng: random.Random) -> tuple[str, str]:
            group = rng.choice(SYNONYMS)
            word = rng.choice(group)
            return word, next(other for other in group if other != word)

        return _drill(rng, "Give another word.", synonyms, 14)
    if kind == 3:
        return _drill(rng, "Past tense.", lambda rng: rng.choice(list(PAST.items())), 14)
    return _drill(rng, "Short answers only.", short_fact, 8)


def copies(rng: random.Random) -> Talk:
    """One value out of a line of named values."""

    def pair(rng: random.Random) -> tuple[str, str]:
        names = rng.sample(
            ("order", "invoice", "voucher", "parcel", "customer", "phone", "model", "ticket"), rng.choice((2, 3))
        )
        values = [code(rng) for _ in names]
        at = rng.randrange(len(names))
        return ", ".join(
            f"{name} {value}" for name, value in zip(names, values, strict=True)
        ) + f": {names[at]}?", values[at]

    return _drill(rng, "Give the number that is asked for.", pair, 5)


ALL: tuple[tuple[Callable[[random.Random], Talk], float], ...] = (
    (reasons, 14), (areas, 18), (urgency, 7), (codes, 5), (records, 8), (vocabulary, 8), (copies, 4),
)  # fmt: skip
