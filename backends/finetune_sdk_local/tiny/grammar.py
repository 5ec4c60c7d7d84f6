"""How the corpus writes a sentence: alternatives in brackets, words in braces, and a person's typing noise.

`say(rng, "I [want|need] {thing}", thing="help")` picks one alternative and fills the words. Only text goes through here, never JSON.
"""

import random
import re
from collections.abc import Sequence

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")
_NEIGHBOURS = {
    "a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo", "j": "hk", "k": "jl", "l": "ko", "m": "n",
    "n": "bm", "o": "ip", "p": "ol", "q": "wa", "r": "et", "s": "ad", "t": "ry", "u": "yi", "v": "cb", "w": "qe", "x": "zc", "y": "tu", "z": "xs",
}  # fmt: skip


def say(rng: random.Random, template: str, **words: str) -> str:
    """One sentence out of `template`: `[a|b|]` is one of its alternatives, innermost first; `{word}` comes from `words`."""
    text = template
    while "[" in text:
        text = _CHOICE.sub(lambda match: rng.choice(match[1].split("|")), text)
    if "{" in text:
        text = _SLOT.sub(lambda match: words[match[1]], text)
    return " ".join(text.split(" ")) if "  " not in text else re.sub(r" +", " ", text)


def sentence(text: str) -> str:
    """`text` with its first letter in upper case and a full stop where no mark ends it."""
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", ":", ")")) else text + "."


def article(noun: str) -> str:
    """The noun with a or an."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def typos(rng: random.Random, text: str, rate: float) -> str:
    """`text` as hasty fingers type it: about `rate` of the words have a slip; words with digits or capitals are left alone."""

    def slip(word: str) -> str:
        if len(word) < 4 or not word.isalpha() or not word.islower() or rng.random() >= rate:
            return word
        at = rng.randrange(1, len(word) - 1)
        kind = rng.randrange(4)
        if kind == 0:
            return word[:at] + word[at + 1 :]
        if kind == 1:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        if kind == 2:
            return word[:at] + word[at] + word[at:]
        return word[:at] + rng.choice(_NEIGHBOURS[word[at]]) + word[at + 1 :]

    return " ".join(slip(word) for word in text.split(" "))


def listed(rng: random.Random, items: Sequence[str]) -> str:
    """The items as a person lists them in a prompt."""
    style = rng.randrange(5)
    if style == 0:
        return ", ".join(items)
    if style == 1 and len(items) > 1:
        return ", ".join(items[:-1]) + " or " + items[-1]
    if style == 2:
        return " | ".join(items)
    if style == 3:
        return "/".join(items)
    return "\n" + "\n".join(f"- {item}" for item in items)


def code(rng: random.Random) -> str:
    """An order number, ticket number or serial number as shops write them."""
    letters = "".join(rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(rng.choice((1, 2, 2, 2, 2, 2, 3, 3))))
    digits = "".join(rng.choice("0123456789") for _ in range(rng.choice((3, 4, 4, 5, 5, 5, 5, 6))))
    shape = rng.randrange(20)
    if shape < 14:
        return f"{letters}-{digits}"
    if shape < 16:
        return f"{letters}{digits}"
    if shape < 17:
        return digits
    if shape < 18:
        return f"{digits[:4]}-{digits[::-1][:3]}"
    return f"{letters}-{digits[:3]}-{letters[::-1]}"


_CODE = re.compile(r"\b[A-Z]{1,3}-?\d[\w-]*")


def strip_codes(text: str) -> str:
    """`text` without what `code` writes."""
    return _CODE.sub("", text)
