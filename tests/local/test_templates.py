"""Chat templates of bases that people train: what is learnt is the answer and its end, and the rest is refused in words."""

from __future__ import annotations

from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk.messages import ChatExample, Message

pytest.importorskip("transformers")

from finetune_sdk_local import bases
from finetune_sdk_local.rendering import Renderer, TemplateError

ONE = ChatExample((Message("user", "Hi"), Message("assistant", '{"a": 1}')))
TWO = ChatExample((*ONE.messages, Message("user", "and?"), Message("assistant", '{"b": 2}')))
ENDS = {
    "cohere": "<|END_OF_TURN_TOKEN|>",
    "gemma": "<end_of_turn>\n",
    "gemma3": "<end_of_turn>\n",
    "llama3_1": "<|eot_id|>",
    "llama3_2": "<|eot_id|>",
    "phi3": "<|end|>\n",
    "qwen2_5": "<|im_end|>\n",
    "qwen3": "<|im_end|>\n",
    "qwen3_5_nothink": "<|im_end|>\n",
    "qwen3_instruct_2507": "<|im_end|>\n",
}
OF_ONE_TURN = {"qwen3", "qwen3_5_nothink"}


def renderer(name: str) -> Renderer:
    """`tiny`'s tokenizer with a template that trl keeps a copy of."""
    found = find_spec("trl")
    folder = Path(str(found.origin)).parent / "chat_templates" if found else Path()
    if not (folder / f"{name}.jinja").is_file():
        pytest.skip(f"this trl has no {name}.jinja")
    tokenizer: Any = deepcopy(bases.tokenizer("tiny"))
    tokenizer.chat_template = (folder / f"{name}.jinja").read_text()
    tokenizer.eos_token = "<|user|>"  # some templates end a whole conversation with it
    return Renderer(name, tokenizer)


@pytest.mark.parametrize("name", ENDS)
def test_the_answer_and_its_end_are_trained_and_nothing_else(name: str) -> None:
    whole, spans = renderer(name).texts(ONE.canonical())[0]
    assert [whole[start:end].removesuffix("<|user|>") for start, end in spans] == ['{"a": 1}' + ENDS[name]]


@pytest.mark.parametrize("name", ENDS)
def test_what_is_trained_follows_the_very_text_that_is_asked(name: str) -> None:
    renders = renderer(name)
    whole, ((start, _),) = renders.texts(ONE.canonical())[0]
    assert whole[:start] == renders.prompt(ONE.prompt)


@pytest.mark.parametrize("name", sorted(ENDS.keys() - OF_ONE_TURN))
def test_each_turn_of_several_is_trained(name: str) -> None:
    whole, spans = renderer(name).texts(TWO.canonical())[0]
    said = [whole[start:end].removesuffix("<|user|>") for start, end in spans]
    assert said == ['{"a": 1}' + ENDS[name], '{"b": 2}' + ENDS[name]]


@pytest.mark.parametrize("name", sorted(OF_ONE_TURN))
def test_where_a_template_rewrites_earlier_turns_each_answer_is_a_sequence_of_its_own(name: str) -> None:
    renders = renderer(name)
    apart = renders.texts(TWO.canonical())
    asked = [ft.Conversation(TWO.messages[:turn]) for turn in (1, 3)]
    for (whole, ((start, end),)), before, said in zip(apart, asked, ('{"a": 1}', '{"b": 2}'), strict=True):
        assert whole[:start] == renders.prompt(before)
        assert whole[start:end] == said + ENDS[name]


@pytest.mark.parametrize("name", sorted(OF_ONE_TURN))
def test_of_turns_that_are_rewritten_those_with_weight_are_learnt(name: str) -> None:
    whole, ((start, end),) = renderer(name).texts(
        ChatExample((TWO.messages[0], Message("assistant", '{"a": 1}', weight=0), *TWO.messages[2:])).canonical()
    )[0]
    assert whole[start:end] == '{"b": 2}' + ENDS[name]


def test_a_template_that_opens_every_answer_with_thinking_is_refused() -> None:
    with pytest.raises(TemplateError, match=r"opens an answer that is asked for with '.*<think>"):
        renderer("deepseek_r1_distill").texts(ONE.canonical())[0]
