"""Tasks on short texts about people: questions in one or several turns, and the text as JSON."""

import random

from finetune_sdk_local.tiny.grammar import article, say, sentence
from finetune_sdk_local.tiny.talks import Frame, Talk, dumps, framed, shuffled, talk
from finetune_sdk_local.tiny.words import CITIES, COLORS, DAYS, JOBS, KINDS, NAMES


def _person(rng: random.Random) -> tuple[str, dict[str, object]]:
    facts: dict[str, object] = {
        "name": rng.choice(NAMES), "age": rng.randrange(8, 90), "city": rng.choice(CITIES), "job": rng.choice(JOBS), "color": rng.choice(COLORS),
        "pet": rng.choice(KINDS["animal"]), "sport": rng.choice(KINDS["sport"]), "day": rng.choice(DAYS),
    }  # fmt: skip
    name = str(facts["name"])
    lines = {
        "age": f"{name} is {facts['age']} years old", "city": f"{name} [lives|has a flat|was born] in {facts['city']}", "job": f"[he|she|{name}] [works as|is] {article(str(facts['job']))}",
        "color": f"[the favourite colour of {name} is|{name} [loves|likes] the colour] {facts['color']}", "pet": f"{name} has {article(str(facts['pet']))}",
        "sport": f"{name} [plays|likes|is good at] {facts['sport']}", "day": f"{name} [has a day off|goes to the market|visits a friend] on {facts['day']}",
    }  # fmt: skip
    chosen = rng.sample(list(lines), rng.choice((2, 3, 4)))
    return " ".join(sentence(say(rng, lines[key])) for key in chosen), {"name": name} | {
        key: facts[key] for key in chosen
    }


_QUESTIONS = {
    "age": "How old is {n}?", "city": "Where does {n} live?", "job": "What is the job of {n}?", "color": "Which colour does {n} like?",
    "pet": "Which animal does {n} have?", "sport": "Which sport does {n} like?", "day": "Which day is about {n}?",
}  # fmt: skip


def reading(rng: random.Random) -> Talk:
    """Questions about a short text on one or two people, in one or several turns, or the text as JSON."""
    first, facts = _person(rng)
    second, others = _person(rng)
    if facts["name"] == others["name"]:
        return reading(rng)
    kind = rng.randrange(3)
    if kind == 0:
        keys = shuffled(rng, list(facts))
        nested = rng.random() < 0.3
        how = f"JSON with {', '.join(keys)}" + (' inside "person"' if nested else "")
        values = {key: facts[key] for key in keys}
        return framed(
            rng, Frame(f"Write as {how}.", lambda _: (first, dumps({"person": values} if nested else values))), shots=0
        )
    if kind == 1:
        return talk(f"{first} {second}\n\nAs a JSON list of people.", dumps([facts, others]))
    about, known = (first, facts) if rng.random() < 0.5 else (f"{first} {second}", rng.choice((facts, others)))
    turns: list[str] = []
    for key in rng.sample([key for key in known if key != "name"], min(len(known) - 1, rng.choice((1, 1, 2, 3)))):
        turns += [_QUESTIONS[key].format(n=known["name"]), str(known[key])]
    turns[0] = f"{about}\n\n{turns[0]}" if rng.random() < 0.7 else f"{turns[0]}\n{about}"
    return talk(*turns)
