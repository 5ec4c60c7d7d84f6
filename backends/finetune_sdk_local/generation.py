"""Answering with a local model: batches of like length, greedy unless told otherwise."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Any

from finetune_sdk.errors import BackendError
from finetune_sdk.estimate import Price
from finetune_sdk.messages import Asked, Conversation, ToolCall
from finetune_sdk.model import Answer, Identity, Origin, Sampling, Token
from finetune_sdk_local import prompts as prompting
from finetune_sdk_local.loaded import Voice
from finetune_sdk_local.rendering import Renderer, TemplateError

BATCH_ROWS = 32
BATCH_TOKENS = 32_768
Hear = Callable[[str], bool]
_CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)


class LocalModel:
    """A base or a tuned model on this machine. Its weights are loaded when it is first asked, its base but once for all.

    It may be asked from several threads: who asks for models on one base takes turns. `frozen`: its weights never move again.
    """

    def __init__(
        self,
        name: str,
        origin: Origin,
        find: Callable[[], Voice],
        *,
        context: int,
        frozen: bool = True,
        identity: Identity | None = None,
    ) -> None:
        self.name = name
        self.identity = identity
        self.origin = origin
        self._find = find
        self._context = context
        self._frozen = frozen
        self._found: Voice | None = None
        self._finding = threading.Lock()

    def __repr__(self) -> str:
        return f"LocalModel({self.name!r})"

    @property
    def prices(self) -> tuple[Price, ...]:
        """Nothing is charged: it is this machine's own time."""
        return tuple(
            Price(self.name, kind, 0.0, "1M tokens", date.today(), "this machine") for kind in ("input", "output")
        )

    def answer(self, asked: Asked, sampling: Sampling | None = None) -> Answer:
        return self.answers([asked], sampling)[0]

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        """One answer to each conversation, in their order. Raises BackendError for one that the base cannot hold."""
        return self.speak(asked, {}, sampling)

    def speak(self, asked: Iterable[Asked], hear: Mapping[int, Hear], sampling: Sampling | None = None) -> list[Answer]:
        """As `answers`, heard while they are made: `hear[i]` gets answer i piece by piece, and returns False to end it."""
        conversations = [Conversation.of(one) for one in asked]
        if not conversations:
            return []
        voice = self.voice
        with voice.speaking() as model:
            return self._answers(model, voice.renderer, conversations, sampling or Sampling(), hear)

    @property
    def voice(self) -> Voice:
        """What it answers with, found when it is first asked."""
        with self._finding:
            if self._found is None:
                self._found = self._find()
            return self._found

    def _answers(
        self,
        model: Any,
        renderer: Renderer,
        conversations: list[Conversation],
        sampling: Sampling,
        hear: Mapping[int, Hear],
    ) -> list[Answer]:
        try:
            texts = [renderer.prompt(conversation) for conversation in conversations]
        except TemplateError as fault:
            raise BackendError(f"{self.name}: {fault.message}", cure=fault.cure) from None
        prompts = renderer.tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)[
            "input_ids"
        ]
        longest = max(map(len, prompts))
        if longest >= self._context:
            raise BackendError(
                f"{self.name}: a prompt has {longest} tokens, and the base sees {self._context} at once.",
                cure="shorten the prompt, show fewer examples, or use a base with a longer context",
            )
        found: dict[int, Answer] = {}
        for rows in batches([len(prompt) for prompt in prompts], sampling.max_tokens, self._context):
            heard = {at: hear[row] for at, row in enumerate(rows) if row in hear}
            answers = self._batch(model, renderer, [prompts[row] for row in rows], sampling, heard)
            for row, answer in zip(rows, answers, strict=True):
                found[row] = with_calls(answer) if conversations[row].tools else answer
        return [found[row] for row in range(len(conversations))]

    def _batch(
        self,
        model: Any,
        renderer: Renderer,
        prompts: list[list[int]],
        sampling: Sampling,
        hear: Mapping[int, Hear],
    ) -> list[Answer]:
        import torch

        tokenizer, width = renderer.tokenizer, max(map(len, prompts))
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts], device=model.device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=model.device)
        options: dict[str, Any] = {"do_sample": sampling.temperature > 0}
        if sampling.temperature > 0:
            options |= {"temperature": float(sampling.temperature), "top_p": sampling.top_p, "top_k": 0}
        ends = model.generation_config.eos_token_id
        asked, given = prompting.asked(model, ids, mask)
        speeches = {row: Speech(tokenizer, one, ends) for row, one in hear.items()}
        if speeches:
            options["stopping_criteria"] = _listening(speeches, len(ids[0]) if "input_ids" in given else 0)
        scribe = None if sampling.logprobs is None else Scribe(tokenizer, sampling.logprobs)
        if scribe is not None:
            from transformers import LogitsProcessorList

            options["logits_processor"] = LogitsProcessorList([scribe])
        started = time.perf_counter()
        with torch.no_grad(), torch.inference_mode(self._frozen):
            if sampling.seed is not None:
                torch.manual_seed(sampling.seed)
            out = asked.generate(
                **given,
                max_new_tokens=min(sampling.max_tokens, self._context - width),
                use_cache=True,
                **options,
            )
        seconds = time.perf_counter() - started
        out = out if "input_ids" in given else torch.cat((ids, out), dim=1)
        answers = [
            answer_of(tokenizer, new[: speeches[row].wanted] if row in speeches else new, ends, len(prompt), seconds)
            for row, (new, prompt) in enumerate(zip(out[:, width:].tolist(), prompts, strict=True))
        ]
        for row, speech in speeches.items():
            speech.end(answers[row].text)
        return answers if scribe is None else scribe.beside(answers, out)


class Scribe:
    """A logits processor of transformers that writes down how likely each token was, before any temperature.

    It holds the probabilities of one step, until it sees which token was taken.
    """

    def __init__(self, tokenizer: Any, likely: int) -> None:
        self._tokenizer = tokenizer
        self._likely = likely
        self._last: Any = None
        self._taken: list[list[float]] = []
        self._others: list[list[list[tuple[int, float]]]] = []

    def __call__(self, ids: Any, scores: Any) -> Any:
        self._write(ids)
        self._last = scores.float().log_softmax(-1)
        return scores

    def _write(self, ids: Any) -> None:
        if self._last is None:
            return
        self._taken.append(self._last.gather(1, ids[:, -1:]).squeeze(1).tolist())
        values, tokens = self._last.topk(min(self._likely, self._last.shape[-1]), dim=-1)
        pairs = zip(tokens.tolist(), values.tolist(), strict=True)
        self._others.append([list(zip(row, figures, strict=True)) for row, figures in pairs])

    def beside(self, answers: list[Answer], ids: Any) -> list[Answer]:
        """The answers with their tokens; what ends a turn is no part of its text, and is left out."""
        self._write(ids)
        new = ids[:, ids.shape[1] - len(self._taken) :].tolist()
        found = []
        for row, answer in enumerate(answers):
            count = (answer.output_tokens or 0) - (answer.finish == "stop")
            said = tuple(
                Token(
                    self._text(new[row][at]),
                    self._taken[at][row],
                    tuple((self._text(token), value) for token, value in self._others[at][row]),
                )
                for at in range(count)
            )
            found.append(replace(answer, said=said))
        return found

    def _text(self, token: int) -> str:
        return str(self._tokenizer.decode([token]))


class Speech:
    """The text of one row while it is generated, in pieces that are whole letters. `wanted` tokens of it were heard."""

    def __init__(self, tokenizer: Any, hear: Hear, ends: list[int]) -> None:
        self._tokenizer = tokenizer
        self._hear = hear
        self._ends = ends
        self._from, self._read, self._text = 0, 0, ""
        self._heard = 0
        self._over = False
        self.wanted: int | None = None

    def listen(self, ids: list[int]) -> bool:
        """Whether the row has ended, now that its tokens are `ids`.

        A token's text hangs on those before it, so a piece is what a window of tokens says more than it did.
        """
        self._over = self._over or ids[-1] in self._ends
        if self._over:
            return True
        text = self._tokenizer.decode(ids[self._from :], skip_special_tokens=True)
        if text.endswith("\N{REPLACEMENT CHARACTER}") or len(text) <= len(self._text):
            return False
        piece = text[len(self._text) :]
        self._from, self._read = self._read, len(ids)
        self._text = self._tokenizer.decode(ids[self._from :], skip_special_tokens=True)
        self._heard += len(piece)
        if not self._hear(piece):
            self._over, self.wanted = True, len(ids)
        return self._over

    def end(self, text: str) -> None:
        """Says what was held back of the whole text: a letter at its end that never became whole."""
        if self.wanted is None and len(text) > self._heard:
            self._hear(text[self._heard :])


def _listening(speeches: Mapping[int, Speech], width: int) -> Any:
    """A stopping criterion of transformers that hears each row's newest token."""
    import torch
    from transformers import StoppingCriteriaList

    def done(ids: Any, scores: Any, **_: Any) -> Any:
        ended = torch.zeros(len(ids), dtype=torch.bool)
        for row, speech in speeches.items():
            ended[row] = speech.listen(ids[row, width:].tolist())
        return ended.to(ids.device)

    return StoppingCriteriaList([done])


@contextmanager
def answering(model: Any) -> Iterator[Any]:
    """The generation config of a model in training. It is put back after, however the model was asked: it is published with that."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    kept = inner.generation_config
    try:
        yield kept
    finally:
        if model is not inner:
            vars(model).pop("generation_config", None)
        inner.generation_config = kept


def batches(lengths: list[int], new: int, context: int) -> Iterable[list[int]]:
    """Row numbers in batches of like length, in each of which all have room for as many new tokens."""
    batch, room = list[int](), new
    for row in sorted(range(len(lengths)), key=lambda row: lengths[row]):
        before, room = room, min(new, context - lengths[row])
        full = len(batch) == BATCH_ROWS or (len(batch) + 1) * (lengths[row] + new) > BATCH_TOKENS
        if batch and (full or room < before):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def answer_of(tokenizer: Any, ids: list[int], ends: list[int], asked: int, seconds: float) -> Answer:
    end = next((at for at, token in enumerate(ids) if token in ends), None)
    text = tokenizer.decode(ids[:end], skip_special_tokens=True)
    return Answer(
        text=text,
        input_tokens=asked,
        output_tokens=len(ids) if end is None else end + 1,
        seconds=seconds,
        finish="length" if end is None else "stop",
    )


def with_calls(answer: Answer) -> Answer:
    """The answer with its tool calls as data, where the text holds calls in a form that is known."""
    calls, rest = list[ToolCall](), answer.text
    for found in _CALL.finditer(answer.text):
        call = _call(found.group(1), len(calls))
        if call is None:
            return answer
        calls.append(call)
        rest = rest.replace(found.group(0), "")
    if not calls and (call := _call(answer.text.strip(), 0)) is not None:
        calls, rest = [call], ""
    return replace(answer, text=rest.strip(), tool_calls=tuple(calls), finish="tool_calls") if calls else answer


def _call(text: str, number: int) -> ToolCall | None:
    try:
        table = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        return None
    arguments = table.get("arguments", table.get("parameters"))
    return ToolCall(table["name"], arguments, f"call_{number}") if isinstance(arguments, dict) else None
