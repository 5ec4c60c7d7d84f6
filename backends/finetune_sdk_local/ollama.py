"""A Modelfile: Ollama reads no chat template of transformers, so what that writes is put into Ollama's own language.

Only a template that writes turns one after another can be put so: for each role what stands before and after the content. It
is taken from what the template makes of marked contents, and compared with it on conversations of several shapes; a
template that does anything else gets no Modelfile.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from finetune_sdk_local.rendering import Renderer, TemplateError

_MARKS = {"system": "\ue000S\ue001", "user": "\ue000U\ue001", "assistant": "\ue000A\ue001"}
_SHAPES = ("u", "uau", "uauau", "su", "suau", "suauau")
_ROLES = {"s": "system", "u": "user", "a": "assistant"}
_WORDS = ("Où est-ce?", 'say "{{x}}" <b>\n\n\ttwice', "1, 2\\n 3", "no\u2028end 😀", "5.", "last one.")


@dataclass(frozen=True, slots=True)
class Turns:
    """What a template writes around contents. `opening` stands first where there is no system message, `asks` last."""

    opening: str
    system: tuple[str, str] | None
    user: tuple[str, str]
    assistant: tuple[str, str]
    asks: str

    def written(self, messages: Sequence[dict[str, Any]]) -> str:
        """What Ollama makes of the messages with `template`."""
        text = "" if messages[0]["role"] == "system" else self.opening
        for message in messages:
            before, after = getattr(self, message["role"])
            text += before + message["content"] + after
        return text + self.asks

    @property
    def template(self) -> str:
        """In the language of Go's text/template."""
        branches = [("system", self.system), ("user", self.user), ("assistant", self.assistant)]
        written = [
            f'if eq .Role "{role}" }}}}{around[0]}{{{{ .Content }}}}{around[1]}{{{{ '
            for role, around in branches
            if around is not None
        ]
        opening = f"{{{{ if not .System }}}}{self.opening}{{{{ end }}}}" if self.opening else ""
        return f"{opening}{{{{ range .Messages }}}}{{{{ {'else '.join(written)}end }}}}{{{{ end }}}}{self.asks}"


def modelfile(renderer: Renderer, ends: Sequence[int], gguf: str, *, adds_bos: bool) -> str | None:
    """A Modelfile for a GGUF file, which puts a BOS before each prompt or does not; None where Ollama cannot write as trained."""
    tokenizer = renderer.tokenizer
    turns = _turns(renderer, tokenizer.bos_token if adds_bos else None)
    if turns is None or "{{" in "".join(_literals(turns)) or '"""' in turns.template:
        return None
    stops = [f"PARAMETER stop {json.dumps(tokenizer.decode([end]), ensure_ascii=False)}" for end in ends]
    lines = [
        f"FROM ./{gguf}",
        f'TEMPLATE """{turns.template}"""',
        *stops,
        "PARAMETER temperature 0",
        "PARAMETER repeat_penalty 1",
    ]
    return "\n".join(lines) + "\n"


def _literals(turns: Turns) -> list[str]:
    return [turns.opening, *(turns.system or ()), *turns.user, *turns.assistant, turns.asks]


def _turns(renderer: Renderer, bos: str | None) -> Turns | None:
    """What stands around the contents, without a BOS that the server writes; None where that is not all that there is."""
    try:
        turns = _around(renderer, bos)
        if turns is None:
            return None
        for shape in _SHAPES:
            if turns.system is None and "s" in shape:
                continue
            messages = [{"role": _ROLES[letter], "content": _WORDS[at]} for at, letter in enumerate(shape)]
            if (bos or "") + turns.written(messages) != renderer.text(messages, (), ask=True):
                return None
    except TemplateError:
        return None
    return turns


def _around(renderer: Renderer, bos: str | None) -> Turns | None:
    plain = _parts(renderer, "uau")
    try:
        system = _parts(renderer, "suau")
    except TemplateError:
        system = None  # it refuses system messages
    if plain is None or not all(parts[0].startswith(bos or "") for parts in (plain, system) if parts):
        return None
    opening, answered, asked_again, asks = plain[0].removeprefix(bos or ""), *plain[1:]
    after_system = [system[1]] if system else []
    user_before = _common([opening, asked_again, *after_system], from_end=True)
    user_after = _common([answered, asks])
    return Turns(
        opening.removesuffix(user_before),
        (system[0].removeprefix(bos or ""), system[1].removesuffix(user_before)) if system else None,
        (user_before, user_after),
        (answered.removeprefix(user_after), asked_again.removesuffix(user_before)),
        asks.removeprefix(user_after),
    )


def _parts(renderer: Renderer, shape: str) -> list[str] | None:
    """What the template writes before, between and after the contents of a conversation of that shape."""
    messages = [{"role": _ROLES[letter], "content": _MARKS[_ROLES[letter]]} for letter in shape]
    rest, parts = renderer.text(messages, (), ask=True), list[str]()
    for message in messages:
        before, mark, rest = rest.partition(message["content"])
        if not mark:
            return None
        parts.append(before)
    return [*parts, rest]


def _common(texts: Sequence[str], *, from_end: bool = False) -> str:
    """What all begin with, or end with."""
    turned = [text[::-1] for text in texts] if from_end else list(texts)
    columns = takewhile(lambda letters: len(set(letters)) == 1, zip(*turned, strict=False))
    common = "".join(letters[0] for letters in columns)
    return common[::-1] if from_end else common
