"""Writes the example data beside this file, the same bytes at each call: `python -m finetune_sdk.demo.write`.

Tickets to label (`compose.py` holds the rule of the labels) and pairs of replies, both for training and held out.
The held-out texts are written apart: none shares a run of six words with a training text, and no text stands twice.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from finetune_sdk.demo import (
    compose,
    heldout_cores,
    heldout_extras,
    heldout_pairs,
    train_cores_a,
    train_cores_b,
    train_extras,
    train_pairs,
)

HERE = Path(__file__).parent
SEED = 20240611
LABEL_PROMPT = (
    "Label the web shop ticket. category: billing, delivery, returns, account, technical or other. "
    "priority: low, normal or high. order: the order number, like AB-12345, or null. Answer with JSON only."
)
REPLY_PROMPT = "You answer the customers of a web shop: short, polite, with the next step."
SHARES = {"billing": 0.18, "delivery": 0.22, "returns": 0.19, "account": 0.14, "technical": 0.15, "other": 0.12}
PRIORITIES = {"low": 0.25, "normal": 0.45, "high": 0.30}
RUN = 6

Row = dict[str, object]
Cores = dict[str, dict[str, str]]


def main() -> None:
    train_cores = {
        name: getattr(train_cores_a, name.upper(), None) or getattr(train_cores_b, name.upper()) for name in SHARES
    }
    test_cores = {name: getattr(heldout_cores, name.upper()) for name in SHARES}
    rng = random.Random(SEED)
    taken: set[str] = set()
    train = tickets(680, train_cores, train_extras, taken, rng)
    train_replies = pairs(train_pairs, 4, train_extras, taken, rng)
    known = runs(ticket.text for ticket in train) | runs(texts_of(train_replies))
    test = tickets(204, test_cores, heldout_extras, taken, rng)
    test_replies = pairs(heldout_pairs, 2, heldout_extras, taken, rng)
    check([ticket.text for ticket in train + test] + [user(row) for row in train_replies + test_replies])
    shared: set[tuple[str, ...]] = set()
    for text in [ticket.text for ticket in test] + list(texts_of(test_replies)):
        shared.update(runs([text]) & known)
    assert not shared, f"held-out texts share runs of words with training: {sorted(shared)}"
    write("tickets.jsonl", map(labelled, train))
    write("tickets_heldout.jsonl", map(labelled, test))
    write("preferences.jsonl", train_replies)
    write("preferences_heldout.jsonl", test_replies)


def tickets(count: int, cores: Cores, extras: ModuleType, taken: set[str], rng: random.Random) -> list[compose.Ticket]:
    """Draws `count` tickets in the stated shares, each core about equally often, and shuffles them."""
    found: list[compose.Ticket] = []
    for category, share in SHARES.items():
        for priority, part in PRIORITIES.items():
            wanted = len(found) + round(count * share * part)
            source = turns(compose.texts(cores[category][priority]), rng)
            raisable = turns([core for core in compose.texts(cores[category]["normal"]) if core[0] not in "~°"], rng)
            while len(found) < wanted:
                raised = priority == "high" and rng.random() < 0.2
                core = next(raisable if raised else source)
                made = compose.ticket(core, category, priority, raised, extras, rng)
                if key(made.text) not in taken and len(made.text) <= 900:
                    taken.add(key(made.text))
                    found.append(made)
    return rng.sample(found, len(found))


def pairs(source: ModuleType, times: int, extras: ModuleType, taken: set[str], rng: random.Random) -> list[Row]:
    """Each matter up to `times` times, with another lesser reply each; a repeated question is left out."""
    rows: list[Row] = []
    for matter in source.PAIRS.strip().split("\n\n"):
        asked, *replies = compose.texts(matter)
        rejected = turns([reply for reply in replies if reply[0] == "-"], rng)
        for _ in range(times):
            values = compose.slots(extras, rng)
            question, good, bad = (values.fill(text[2:], rng) for text in (asked, replies[0], next(rejected)))
            if len(bad) < 60 and rng.random() < 0.8:
                bad = f"{bad} {rng.choice(compose.texts(source.ADDED))}"
            if key(question) not in taken:
                taken.add(key(question))
                rows.append(preference(question, good, bad))
    return rng.sample(rows, len(rows))


def turns(items: list[str], rng: random.Random) -> Iterator[str]:
    """The items for ever, in a new order at each round."""
    while True:
        yield from rng.sample(items, len(items))


def labelled(ticket: compose.Ticket) -> Row:
    label = {"category": ticket.category, "priority": ticket.priority, "order": ticket.order}
    system, asked = {"role": "system", "content": LABEL_PROMPT}, {"role": "user", "content": ticket.text}
    return {"messages": [system, asked, {"role": "assistant", "content": json.dumps(label)}]}


def preference(question: str, good: str, bad: str) -> Row:
    system, asked = {"role": "system", "content": REPLY_PROMPT}, {"role": "user", "content": question}
    answers = [[{"role": "assistant", "content": reply}] for reply in (good, bad)]
    return {"input": {"messages": [system, asked]}, "preferred_output": answers[0], "non_preferred_output": answers[1]}


def user(row: Row) -> str:
    return row["input"]["messages"][1]["content"]  # type: ignore[index, no-any-return]


def texts_of(rows: list[Row]) -> Iterator[str]:
    for row in rows:
        yield user(row)
        yield row["preferred_output"][0]["content"]  # type: ignore[index]
        yield row["non_preferred_output"][0]["content"]  # type: ignore[index]


def words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def key(text: str) -> str:
    return " ".join(words(text))


def runs(texts: Iterable[str]) -> set[tuple[str, ...]]:
    """Every run of `RUN` consecutive words."""
    return {tuple(found[at : at + RUN]) for found in map(words, texts) for at in range(len(found) - RUN + 1)}


def check(texts: list[str]) -> None:
    """No text twice, no slot or choice left open, no second order number."""
    assert len({key(text) for text in texts}) == len(texts), "a user text stands twice"
    for text in texts:
        assert not re.search(r"[{}|¶~]", text), f"something is left open in {text!r}"
        assert len(set(re.findall(r"[A-Z]{2}-\d{5}", text))) <= 1, f"two order numbers in {text!r}"


def write(name: str, rows: Iterable[Row]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (HERE / name).write_text("".join(lines), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
