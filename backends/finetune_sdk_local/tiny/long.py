"""Conversations with much text in front: many examples, a long handbook, a long list of tools; the answer hangs on the last user turn."""

import random

from finetune_sdk_local.tiny import tasks_shop as shop
from finetune_sdk_local.tiny import tasks_tools as tools
from finetune_sdk_local.tiny import tasks_world as world
from finetune_sdk_local.tiny.shop import ticket
from finetune_sdk_local.tiny.talks import Message, Talk
from finetune_sdk_local.tiny.tasks_reading import reading

_RULES = (
    "Be polite and short.", "Never promise a date.", "Our shop sells things for the house, clothes and electronics.", "Parcels leave the warehouse within two days.",
    "Returns are free for thirty days.", "The warranty lasts two years.", "We ship to all countries of Europe.", "Refunds take five days to reach the bank.",
    "Passwords can be reset on the login page.", "The store opens at nine and closes at six.", "Vouchers cannot be paid out in cash.", "Do not share personal data.",
    "If the customer is angry, say sorry first.", "Orders can be cancelled until they are shipped.", "The app runs on phones and tablets.", "Invoices are sent by email.",
)  # fmt: skip


def long_talk(rng: random.Random) -> Talk:
    """One of the short tasks with 1,000 to 4,000 tokens in front of its last question."""
    size = rng.randrange(3_000, 11_000)
    task = rng.choice(
        (
            shop.sort_message,
            shop.to_json,
            shop.find_one,
            shop.tone,
            shop.gist,
            world.fact,
            world.copying,
            reading,
            tools.tool_call,
        )
    )
    last = task(rng)
    kind = rng.randrange(3)
    if kind == 0 and not last.tools:
        return _behind_turns(rng, last, size)
    if last.tools and kind < 2:
        return _behind_tools(rng, last)
    return _behind_handbook(rng, last, size)


def _behind_turns(rng: random.Random, last: Talk, size: int) -> Talk:
    """Earlier turns of the same task where it can be had, else of others."""
    system = [message for message in last.messages if message["role"] == "system"]
    turns = [message for message in last.messages if message["role"] != "system"]
    earlier: list[Message] = []
    while sum(len(str(message["content"])) for message in earlier) < size:
        earlier += [
            message
            for message in rng.choice((shop.sort_message, shop.find_one, world.fact, world.copying))(rng).messages
            if message["role"] != "system"
        ]
    return Talk([*system, *earlier, *turns])


def _behind_tools(rng: random.Random, last: Talk) -> Talk:
    known = {spec["function"]["name"] for spec in last.tools}
    every = [*last.tools, *(spec for spec in tools.all_specs() if spec["function"]["name"] not in known)]
    return Talk(last.messages, rng.sample(every, len(every)))


def _behind_handbook(rng: random.Random, last: Talk, size: int) -> Talk:
    lines: list[str] = []
    while sum(map(len, lines)) < size:
        message = ticket(rng)
        lines.append(
            rng.choice(
                (
                    rng.choice(_RULES),
                    f"A customer wrote: {message.text}",
                    f"The customer {message.intent.gist}: {message.intent.area}.",
                )
            )
        )
    system = next((message["content"] for message in last.messages if message["role"] == "system"), None)
    text = "\n".join(lines)
    joined = rng.choice((f"{text}\n\n{system}", f"{system}\n\n{text}")) if system else text
    return Talk(
        [{"role": "system", "content": joined}, *(message for message in last.messages if message["role"] != "system")],
        last.tools,
    )
