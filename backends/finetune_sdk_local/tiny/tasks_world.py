"""Tasks about the world at large: small facts, copying, sorting, counting, rewriting, reading short texts, following a pattern."""

import random
import string

from finetune_sdk_local.tiny.grammar import article, code, listed, say, sentence
from finetune_sdk_local.tiny.talks import Frame, Talk, dumps, framed, shuffled, talk
from finetune_sdk_local.tiny.words import (
    CAPITALS,
    CITIES,
    COLORS,
    DAYS,
    JOBS,
    KINDS,
    MONTHS,
    NAMES,
    NUMBERS,
    OPPOSITES,
    PAST,
    PRODUCTS,
    SURNAMES,
    SYNONYMS,
)  # fmt: skip

_ALL_WORDS = sorted(
    {word for words in KINDS.values() for word in words} | set(PAST) | {word for group in SYNONYMS for word in group}
)


def _fact(rng: random.Random) -> tuple[str, str, str]:
    """A question, its short answer, and the answer in a sentence."""
    kind = rng.randrange(9)
    if kind == 0:
        country, capital = rng.choice(list(CAPITALS.items()))
        ask = say(
            rng,
            "[What is the capital of {c}?|capital of {c}?|Which city is the capital of {c}?|Tell me the capital of {c}.]",
            c=country,
        )
        return ask, capital, f"The capital of {country} is {capital}."
    if kind == 1:
        country, capital = rng.choice(list(CAPITALS.items()))
        return (
            f"{rng.choice(('Which country has the capital', 'In which country is'))} {capital}?",
            country,
            f"{capital} is the capital of {country}.",
        )
    if kind == 2:
        pair = shuffled(rng, rng.choice(OPPOSITES))
        return (
            say(rng, "[What is the opposite of {w}?|opposite of {w}|Give me the opposite of the word {w}.]", w=pair[0]),
            pair[1],
            f"The opposite of {pair[0]} is {pair[1]}.",
        )
    if kind == 3:
        group = rng.choice(SYNONYMS)
        word = rng.choice(group)
        other = next(entry for entry in group if entry != word)
        return (
            say(rng, "[What is another word for {w}?|A synonym of {w}?|Say {w} with another word.]", w=word),
            other,
            f"Another word for {word} is {other}.",
        )
    if kind == 4:
        name, words = rng.choice(list(KINDS.items()))
        word = rng.choice(words)
        return (
            say(rng, "[What kind of thing is {w}?|What is {w}?|{w} is a kind of what?]", w=word),
            name,
            f"{word.capitalize()} is {article(name)}.",
        )
    if kind == 5:
        verb, past = rng.choice(list(PAST.items()))
        return (
            say(rng, "[What is the past tense of {w}?|past of {w}|Put {w} into the past.]", w=verb),
            past,
            f"The past tense of {verb} is {past}.",
        )
    if kind == 6:
        days = rng.choice((DAYS, MONTHS))
        at, step = rng.randrange(len(days)), rng.choice((1, -1))
        answer = days[(at + step) % len(days)]
        return (
            f"What comes {'after' if step > 0 else 'before'} {days[at]}?",
            answer,
            f"{answer} comes {'after' if step > 0 else 'before'} {days[at]}.",
        )
    if kind == 7:
        name, words = rng.choice(list(KINDS.items()))
        word = rng.choice(words)
        return (
            say(rng, "[Name|Give me|Tell me] {k}.", k=article(name)),
            word,
            f"{word.capitalize()} is {article(name)}.",
        )
    number = rng.randrange(len(NUMBERS))
    return (f"Write {number} as a word.", NUMBERS[number], f"{number} is {NUMBERS[number]}.") if rng.random() < 0.5 else (
        f"Write {NUMBERS[number]} in digits.", str(number), f"{NUMBERS[number].capitalize()} is {number}.")  # fmt: skip


def short_fact(rng: random.Random) -> tuple[str, str]:
    """A question about a small fact, and its answer in a word or two."""
    question, answer, _ = _fact(rng)
    return question, answer


def fact(rng: random.Random) -> Talk:
    """A small fact; short or in a sentence as asked; at times several in one chat."""
    style = rng.randrange(3)
    turns: list[str] = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        ask, short, long = _fact(rng)
        turns += [ask, short if style == 0 else long]
    return talk(
        *turns,
        system={0: rng.choice(("Answer in one word.", "Short answers only.")), 1: "Answer in a sentence.", 2: None}[
            style
        ],
    )


def _sum(rng: random.Random) -> tuple[str, str]:
    a, b = rng.randrange(30), rng.randrange(30)
    kind = rng.randrange(4)
    if kind == 0:
        return say(rng, f"[What is {a} + {b}?|{a} plus {b}|{a}+{b}=|Add {a} and {b}.]"), str(a + b)
    if kind == 1:
        a, b = max(a, b), min(a, b)
        return say(rng, f"[What is {a} - {b}?|{a} minus {b}|Take {b} from {a}.]"), str(a - b)
    if kind == 2:
        a, b = a % 11, b % 11
        return say(rng, f"[What is {a} times {b}?|{a} * {b}|{a} x {b} =]"), str(a * b)
    return say(rng, f"[Which is larger, {a} or {b}?|The bigger number: {a}, {b}]"), str(max(a, b))


def arithmetic(rng: random.Random) -> Talk:
    """Small numbers."""
    return framed(
        rng, Frame(rng.choice(("Calculate.", "Solve it.", "Answer with the number.", "You are a calculator.")), _sum)
    )


def _things(rng: random.Random) -> list[str]:
    kind = rng.randrange(5)
    count = rng.randrange(2, 7)
    if kind == 0:
        return [str(rng.randrange(100)) for _ in range(count)]
    if kind == 1:
        return rng.sample(NAMES, count)
    if kind == 2:
        return rng.sample(rng.choice([words for words in KINDS.values() if len(words) >= 7]), count)
    if kind == 3:
        return [code(rng) for _ in range(min(count, 4))]
    return rng.sample(_ALL_WORDS, count)


def lists(rng: random.Random) -> Talk:
    """Sorting, reversing, counting, picking, joining."""
    kind = rng.randrange(9)
    joint = rng.choice((", ", ", ", " ", "; "))

    def pair(rng: random.Random) -> tuple[str, str]:
        items = _things(rng)
        text = joint.join(items)
        if kind == 0:
            return text, joint.join(
                sorted(items, key=lambda item: (int(item), "") if item.isdigit() else (0, item.lower()))
            )
        if kind == 1:
            return text, joint.join(reversed(items))
        if kind == 2:
            return text, str(len(items))
        if kind == 3:
            return text, items[0]
        if kind == 4:
            return text, items[-1]
        if kind == 5:
            return text, dumps(items)
        if kind == 6:
            return text, "\n".join(f"{at}. {item}" for at, item in enumerate(items, 1))
        if kind == 7:
            return text, "\n".join(f"- {item}" for item in items)
        return text, text

    ask = (
        "[Sort the list.|Put these in order.|Sort them.]", "[Reverse the list.|Write the list backwards.]", "[How many items are there?|Count the items.]",
        "[What is the first item?|Give me the first one.]", "[What is the last item?|Give me the last one.]", "[Write it as a JSON list.|As a JSON array.]",
        "[Number the items.|Make a numbered list.]", "[Make a list with dashes.|As bullet points.]", "[Repeat this.|Copy the text.|Say it again.|Echo the input.]",
    )[kind]  # fmt: skip
    return framed(rng, Frame(say(rng, ask), pair))


def copying(rng: random.Random) -> Talk:
    """Codes, names and words, word for word, out of a line that holds others."""
    items = {
        rng.choice(("order", "ticket", "code", "key", "serial", "parcel", "invoice", "flight", "room", "badge")): code(rng),
        rng.choice(("name", "owner", "person", "guest")): f"{rng.choice(NAMES)} {rng.choice(SURNAMES)}",
        rng.choice(("city", "place", "from")): rng.choice(CITIES),
        rng.choice(("colour", "paint")): rng.choice(COLORS),
        rng.choice(("password", "word", "secret")): "".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randrange(3, 8))),
        rng.choice(("mail", "contact")): f"{rng.choice(NAMES).lower()}.{rng.choice(SURNAMES).lower()}@{rng.choice(('mail', 'post', 'shop', 'web'))}.{rng.choice(('com', 'org', 'net'))}",
        "second code": code(rng),
    }  # fmt: skip
    chosen = dict(rng.sample(list(items.items()), rng.choice((2, 3, 4))))
    text = rng.choice((", ", "; ", "\n", ". ")).join(
        f"{key}{rng.choice((': ', ' is ', ' '))}{value}" for key, value in chosen.items()
    )
    key, value = rng.choice(list(chosen.items()))
    if rng.random() < 0.3:
        keys = shuffled(rng, list(chosen))[: rng.choice((2, 3))]
        return talk(f"{text}\n\nAs JSON with the keys {', '.join(keys)}.", dumps({key: chosen[key] for key in keys}))
    ask = say(rng, "[What is the {k}?|Give me the {k}.|{k}?|Tell me the {k} only.]", k=key)
    return talk(f"{text}\n\n{ask}", value)


def rewrite(rng: random.Random) -> Talk:
    """A line in another form."""
    kind = rng.randrange(7)
    who, verb, thing = (
        rng.choice(NAMES),
        rng.choice(("buys", "sells", "likes", "wants", "needs", "sees", "finds", "paints", "carries")),
        rng.choice(PRODUCTS),
    )
    line = rng.choice(
        (
            f"{who} {verb} the {thing}.",
            f"The {thing} is {rng.choice(COLORS)}.",
            f"{who} is {article(rng.choice(JOBS))} from {rng.choice(CITIES)}.",
        )
    )

    def pair(rng: random.Random) -> tuple[str, str]:
        words = rng.sample(_ALL_WORDS, rng.randrange(1, 5))
        text = " ".join(words)
        return {
            0: (text, text.upper()), 1: (text.upper(), text), 2: (text, text.title()), 3: (text, "-".join(words)), 4: (text, sentence(text)),
            5: (text, " ".join(reversed(words))), 6: (text, f'"{text}"'),
        }[kind]  # fmt: skip

    if rng.random() < 0.4:
        want, answer = rng.choice(
            [
                ("politely", f"Please {rng.choice(('bring', 'send', 'show', 'give'))} me the {thing}."),
                (
                    "as a question",
                    f"Is it true that {line[0].lower() + line[1:-1] if line.startswith('The') else line[:-1]}?",
                ),
                ("as what somebody said", f'Somebody said: "{line}"'),
            ]
        )
        if want == "politely":
            return talk(f"Say it politely: {answer[7:-1].lower()}!", answer)
        return talk(f"Write this {want}: {line}", answer)
    ask = ("Write in upper case.", "Write in lower case.", "Start each word with a capital.", "Join the words with a dash.", "Make it a sentence.", "Reverse the order of the words.", "Put it in quotes.")  # fmt: skip
    return framed(rng, Frame(ask[kind], pair))


def odd_one(rng: random.Random) -> Talk:
    """Kinds of things: which one does not belong, what kind is it, which of these is one."""
    kind = rng.randrange(3)
    names = rng.sample(list(KINDS), rng.choice((2, 3, 4)))
    if kind == 0:
        words = [*rng.sample(KINDS[names[0]], 3), rng.choice(KINDS[names[1]])]
        return talk(f"Which one does not belong: {', '.join(shuffled(rng, words))}?", words[-1])
    if kind == 1:

        def pair(rng: random.Random) -> tuple[str, str]:
            name = rng.choice(names)
            return rng.choice(KINDS[name]), name

        return framed(
            rng,
            Frame(
                f"{rng.choice(('Classify the word', 'Which kind is it', 'Label the word'))}: {listed(rng, names)}", pair
            ),
        )
    words = [rng.choice(KINDS[name]) for name in names]
    return talk(f"Which of these is {article(names[0])}: {', '.join(shuffled(rng, words))}?", words[0])


_OPINIONS = {
    "positive": (
        "I [love|really like|enjoy|adore] [this|the|my new] {p}", "the {p} is [great|wonderful|excellent|perfect|amazing|beautiful|fantastic]", "[best|finest] {p} I ever had",
        "[very|so|really] [happy|pleased|satisfied] with the {p}", "the {p} [works perfectly|exceeded my hopes|is worth every cent]", "I [would|can] recommend the {p} to everyone",
    ),
    "negative": (
        "I [hate|regret buying|am sick of] [this|the] {p}", "the {p} is [terrible|awful|useless|ugly|bad|horrible|a waste of money]", "[worst|poorest] {p} I ever had",
        "[very|so|really] [unhappy|disappointed|angry] about the {p}", "the {p} [broke after a day|is cheap junk|does not work]", "do not buy the {p}",
    ),
    "neutral": (
        "the {p} [is|was] [okay|average|as described|nothing special]", "I [bought|received|use] the {p} [on {d}|since {d}]", "the {p} [has|comes in] [two colours|a box|three sizes]",
        "the {p} does [its job|what it should]",
    ),
}  # fmt: skip


def sentiment(rng: random.Random) -> Talk:
    """Does the writer like it? Names of the classes vary."""
    moods = rng.choice(
        (
            ("positive", "negative", "neutral"),
            ("good", "bad", "mixed"),
            ("happy", "unhappy", "neutral"),
            ("+", "-", "0"),
            (":)", ":(", ":|"),
            ("like", "dislike", "unclear"),
        )
    )
    names = dict(zip(("positive", "negative", "neutral"), moods, strict=True))
    key = rng.choice((None, None, "sentiment", "mood", "opinion", "tone"))

    def pair(rng: random.Random) -> tuple[str, str]:
        mood = rng.choice(list(names))
        text = ". ".join(
            say(rng, rng.choice(_OPINIONS[mood]), p=rng.choice(PRODUCTS), d=rng.choice(DAYS))
            for _ in range(rng.choice((1, 1, 2)))
        )
        return sentence(text), names[mood] if key is None else dumps({key: names[mood]})

    ask = (
        say(rng, "[Sentiment|Is the review good or bad|Rate the opinion|What does the writer think]")
        + f": {', '.join(moods)}"
    )
    return framed(rng, Frame(ask + (f". JSON with the key {key}" if key else ""), pair))


def pattern(rng: random.Random) -> Talk:
    """What to do is shown, never said: the answer follows the form of the pairs before it."""
    left, right = rng.choice(
        (
            ("", ""),
            ("<", ">"),
            ("[", "]"),
            ("The answer is ", "."),
            ("=> ", ""),
            ("# ", ""),
            ("", "!"),
            ("**", "**"),
            ("(", ")"),
        )
    )
    name, words = rng.choice(list(KINDS.items()))
    key, key2 = rng.sample(
        ("a", "b", "x", "y", "word", "text", "value", "kind", "result", "out", "in", "size", "tag", "id"), 2
    )
    what = rng.randrange(9)
    number = rng.randrange(2, 6)

    def answer(rng: random.Random, word: str) -> str:
        return (
            word, word.upper(), dumps({key: word}), dumps({key: word, key2: len(word)}), dumps({key: name, key2: word}), f"{word} {name}", dumps([word]),
            f"{word}-{number}", f"{key}={word}",
        )[what]  # fmt: skip

    turns: list[str] = []
    for word in rng.sample(words, min(len(words), rng.choice((3, 4, 5)))):
        turns += [word, left + answer(rng, word) + right]
    return talk(*turns, system=rng.choice((None, None, "Follow the pattern.", "Continue like the examples.")))


def small_talk(rng: random.Random) -> Talk:
    """Hello, thanks, who are you, and a name remembered over some turns."""
    name = rng.choice(NAMES)
    city = rng.choice(CITIES)
    turns = [
        say(rng, f"[hi|hello|hey|good morning], [I am|my name is|this is] {name}[ from {city}|].[ How are you?|]"),
        say(rng, f"[Hello|Hi|Good day], {name}! [How can I help you?|What can I do for you?]"),
    ]
    extra = [
        ("What is my name?", f"Your name is {name}."), ("Who are you?", "I am tiny, a small language model."), ("Can you help me?", "Of course. What do you need?"),
        ("Thank you!", "You are welcome!"), (f"Say hello to {city}.", f"Hello, {city}!"), ("Goodbye.", f"Goodbye, {name}!"), ("Tell me something nice.", "You are doing great today."),
        ("Are you a person?", "No, I am a language model."), ("Repeat your last answer.", turns[-1]),
    ]  # fmt: skip
    for ask, answer in rng.sample(extra[:-1], rng.choice((1, 2))):
        turns += [ask, answer]
    return talk(*(turns if rng.random() < 0.8 else [*turns[:2], *extra[-1]]))
