"""Tasks with tools and devices: choosing a tool and its arguments, reading its result, commands to machines as JSON."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from finetune_sdk_local.tiny.grammar import code, say
from finetune_sdk_local.tiny.shop import date
from finetune_sdk_local.tiny.talks import Frame, Message, Talk, dumps, framed, shuffled, talk
from finetune_sdk_local.tiny.words import CAPITALS, CITIES, COLORS, DAYS, NAMES, PRODUCTS

Draw = Callable[[random.Random], Any]


@dataclass(frozen=True, slots=True)
class _Tool:
    """A function as a prompt shows it, how people ask for it, and what it gives back with the sentence made of that."""

    name: str
    about: str
    arguments: dict[str, Draw]
    asks: str
    result: Callable[[random.Random, dict[str, Any]], tuple[object, str]]

    def spec(self) -> Message:
        kinds = {
            key: "integer" if isinstance(draw(random.Random(0)), int) else "string"
            for key, draw in self.arguments.items()
        }
        parameters = {
            "type": "object",
            "properties": {key: {"type": kind} for key, kind in kinds.items()},
            "required": list(kinds),
        }
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.about, "parameters": parameters},
        }


def _pick(*words: str) -> Draw:
    return lambda rng: rng.choice(words)


def _number(low: int, high: int) -> Draw:
    return lambda rng: rng.randrange(low, high)


def _order_result(rng: random.Random, given: dict[str, Any]) -> tuple[object, str]:
    state = rng.choice(("shipped", "delivered", "cancelled", "in the warehouse", "delayed"))
    day = rng.choice(DAYS)
    return {"status": state, "day": day}, f"Order {given['order_id']} is {state} ({day})."


def _weather_result(rng: random.Random, given: dict[str, Any]) -> tuple[object, str]:
    degrees, sky = rng.randrange(-5, 35), rng.choice(("sunny", "rainy", "cloudy", "windy", "foggy"))
    return {"temperature": degrees, "sky": sky}, f"In {given['city']} it is {sky} with {degrees} degrees."


def _done(text: str) -> Callable[[random.Random, dict[str, Any]], tuple[object, str]]:
    return lambda rng, given: ({"ok": True}, text.format(**given))


_TOOLS = (
    _Tool("get_order", "Look up an order", {"order_id": code}, "[where is|what about|check|look up|status of] [my order|order|the order] {order_id}?", _order_result),
    _Tool("refund", "Refund an order", {"order_id": code, "amount": _number(3, 300)}, "[refund|pay back|reimburse] {amount} [euros|dollars|] [for|on] order {order_id}", _done("I have refunded {amount} for order {order_id}.")),
    _Tool("cancel_order", "Cancel an order", {"order_id": code}, "[please|] [cancel|stop] [my order|order] {order_id}", _done("Order {order_id} is cancelled.")),
    _Tool("send_label", "Send a return label", {"order_id": code, "name": _pick(*NAMES)}, "[I am|this is] {name}, [send me a return label|I want to send back] [order|] {order_id}", _done("The return label for {order_id} is on its way, {name}.")),
    _Tool("get_weather", "Current weather of a city", {"city": _pick(*CITIES)}, "[how is the weather|what is the weather like|is it raining|do I need an umbrella] in {city}?", _weather_result),
    _Tool("set_timer", "Start a timer", {"minutes": _number(1, 90)}, "[set a timer for|wake me in|start a timer of|remind me in] {minutes} minutes", _done("The timer runs for {minutes} minutes.")),
    _Tool("light", "Switch a light", {"room": _pick("kitchen", "bedroom", "garage", "hall", "office", "garden"), "state": _pick("on", "off")}, "[turn|switch] {state} the [light|lamp] in the {room}", _done("The light in the {room} is {state}.")),
    _Tool("play_music", "Play music", {"style": _pick("jazz", "rock", "pop", "opera", "blues", "folk")}, "[play|put on|I want to hear] [some|] {style}[ music|]", _done("Playing {style}.")),
    _Tool("send_message", "Send a message to a person", {"to": _pick(*NAMES), "text": _pick("I am late", "happy birthday", "call me back", "dinner is ready", "see you soon", "the meeting is moved")}, "[tell|write to|message] {to}: {text}", _done("I told {to}: {text}.")),
    _Tool("book_table", "Book a table", {"people": _number(2, 9), "day": _pick(*DAYS)}, "[book|reserve] a table for {people} [people|] on {day}", _done("A table for {people} is booked on {day}.")),
    _Tool("book_flight", "Book a flight", {"start": _pick(*CITIES), "goal": _pick(*CITIES), "day": _pick(*DAYS)}, "[book|I need] a flight from {start} to {goal} on {day}", _done("Your flight from {start} to {goal} on {day} is booked.")),
    _Tool("add", "Add two numbers", {"a": _number(1, 99), "b": _number(1, 99)}, "[what is|calculate|how much is] {a} [plus|+] {b}?", lambda rng, given: (given["a"] + given["b"], f"The sum is {given['a'] + given['b']}.")),
    _Tool("search_product", "Search the catalogue", {"product": _pick(*PRODUCTS), "color": _pick(*COLORS)}, "[do you have|find|search|show me|I am looking for] a {color} {product}", lambda rng, given: ({"found": 3}, f"I found 3 results for a {given['color']} {given['product']}.")),
    _Tool("create_ticket", "Open a ticket for a person to read", {"title": _pick("broken screen", "late parcel", "wrong size", "double charge", "login fails"), "customer": _pick(*NAMES)}, "[open|create|make] a ticket for {customer}: {title}", _done("I opened a ticket for {customer}: {title}.")),
    _Tool("capital_of", "Capital of a country", {"country": _pick(*CAPITALS)}, "[what is|tell me] the capital of {country}[?|, please]", lambda rng, given: (CAPITALS[given["country"]], f"The capital of {given['country']} is {CAPITALS[given['country']]}.")),
    _Tool("move_robot", "Move the robot", {"direction": _pick("left", "right", "forward", "back"), "steps": _number(1, 20)}, "[move|go|walk] {direction} {steps} [steps|metres|]", _done("Moved {direction} {steps} steps.")),
    _Tool("set_heating", "Set the heating", {"room": _pick("kitchen", "bedroom", "hall", "office"), "degrees": _number(15, 26)}, "[set|heat|warm] the {room} to {degrees} degrees", _done("The {room} is set to {degrees} degrees.")),
    _Tool("add_event", "Add an event to the calendar", {"title": _pick("dentist", "meeting", "lunch", "party", "training", "call"), "date": date}, "[put|add|note] {title} [on|for] {date} [in my calendar|]", _done("{title} is in your calendar on {date}.")),
)  # fmt: skip


def all_specs() -> list[Message]:
    """Every tool, as a prompt shows it."""
    return [tool.spec() for tool in _TOOLS]


def _use(rng: random.Random, tool: _Tool) -> tuple[str, dict[str, Any]]:
    given = {key: draw(rng) for key, draw in tool.arguments.items()}
    return say(rng, tool.asks, **{key: str(value) for key, value in given.items()}), given


def tool_call(rng: random.Random) -> Talk:
    """The right tool with its arguments; often the result and a sentence; at times a question that needs no tool."""
    tools = rng.sample(_TOOLS, rng.choice((1, 2, 2, 3, 3, 4)))
    tool = tools[0]
    ask, given = _use(rng, tool)
    messages: list[Message] = []
    if rng.random() < 0.3:
        messages.append(
            {
                "role": "system",
                "content": rng.choice(
                    ("You can use tools.", "You are a helpful assistant.", "Use a tool where one fits.")
                ),
            }
        )
    specs = [entry.spec() for entry in shuffled(rng, tools)]
    if rng.random() < 0.15:
        ask, answer = rng.choice(
            [
                ("hello", "Hello! How can I help you?"),
                ("thanks a lot", "You are welcome!"),
                ("who are you?", "I am tiny, a small language model."),
            ]
        )
        return Talk([*messages, {"role": "user", "content": ask}, {"role": "assistant", "content": answer}], specs)
    call = {
        "id": f"call_{rng.randrange(1000)}",
        "type": "function",
        "function": {"name": tool.name, "arguments": given},
    }
    messages += [{"role": "user", "content": ask}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    if rng.random() < 0.6:
        result, answer = tool.result(rng, given)
        messages += [
            {"role": "tool", "tool_call_id": call["id"], "name": tool.name, "content": dumps(result)},
            {"role": "assistant", "content": answer[:1].upper() + answer[1:]},
        ]
    return Talk(messages, specs)


def tool_by_name(rng: random.Random) -> Talk:
    """Which function fits, as text: the name, or a call, or JSON."""
    tools = rng.sample(_TOOLS, rng.choice((3, 4, 5)))
    style = rng.randrange(3)

    def pair(rng: random.Random) -> tuple[str, str]:
        tool = rng.choice(tools)
        ask, given = _use(rng, tool)
        shown = f"{tool.name}({', '.join(f'{key}={dumps(value)}' for key, value in given.items())})"
        return ask, (tool.name, shown, dumps({"action": tool.name, **given}))[style]

    menu = ", ".join(f"{tool.name}({', '.join(tool.arguments)})" for tool in tools)
    return framed(
        rng, Frame(f"{('Name the function', 'Write the call', 'Write the action as JSON')[style]}: {menu}", pair)
    )


def device(rng: random.Random) -> Talk:
    """Commands to a machine in the house or a robot, as JSON under keys of the day."""
    keys = rng.choice(
        (("device", "action"), ("target", "do"), ("machine", "command"), ("what", "state"), ("unit", "cmd"))
    )
    words = {
        "on": "[turn on|switch on|start|activate] the {d}", "off": "[turn off|switch off|stop|shut down] the {d}", "open": "[open|unlock] the {d}",
        "close": "[close|shut|lock] the {d}", "clean": "[clean|wipe|wash] the {d}",
    }  # fmt: skip
    room = rng.choice(("room", "where", "place", "")) if rng.random() < 0.5 else ""

    def pair(rng: random.Random) -> tuple[str, str]:
        action = rng.choice(list(words))
        thing = rng.choice(
            (
                "lamp",
                "door",
                "window",
                "oven",
                "heater",
                "robot",
                "fan",
                "gate",
                "television",
                "radio",
                "pump",
                "blinds",
                "camera",
            )
        )
        ask = say(rng, f"[please|hey robot,|can you|] {words[action]}", d=thing)
        command = {keys[0]: thing, keys[1]: action}
        if room:
            place = rng.choice(("kitchen", "garden", "hall", "bedroom", "office", "cellar", "garage"))
            return f"{ask} in the {place}", dumps(command | {room: place})
        return ask, dumps(command)

    ask = say(rng, "[You control a house.|You steer a robot.|Smart home.] [Answer with JSON|JSON]: ") + ", ".join(
        [*keys, room] if room else keys
    )
    return framed(rng, Frame(ask, pair))


def route(rng: random.Random) -> Talk:
    """A path of moves as a list."""
    moves = [
        (rng.choice(("left", "right", "forward", "back")), rng.randrange(1, 10))
        for _ in range(rng.choice((1, 2, 2, 3)))
    ]
    ask = ", then ".join(f"{rng.choice(('go', 'move', 'drive'))} {steps} {where}" for where, steps in moves)
    return talk(
        ask,
        dumps([{"move": where, "steps": steps} for where, steps in moves]),
        system=rng.choice(("Robot: write the moves as a JSON list.", "Moves as JSON.")),
    )
