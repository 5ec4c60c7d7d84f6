"""What is trained of a row: decided on token ids, for any template."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import GenerationConfig

import finetune_sdk as ft
from finetune_sdk_local import bases
from finetune_sdk_local.generation import LocalModel
from finetune_sdk_local.loaded import LoadedBase, Voice
from finetune_sdk_local.rendering import Renderer
from finetune_sdk_local.tokenising import tokenise

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
STRIPS_HISTORY = (
    "{% for m in messages %}[{{ m.role }}]"
    "{% if m.role == 'assistant' and not loop.last %}{{ m.content.split('</think>')[-1] }}{% else %}{{ m.content }}{% endif %}"
    "<|end|>{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture
def renderer(small: str) -> Renderer:
    return Renderer(small, bases.tokenizer(small))


def trained_text(renderer: Renderer, example: ft.ChatExample, max_length: int = 10_000) -> str:
    made = tokenise(renderer, [example], max_length)
    ids, marks = made.row(0)
    return str(renderer.tokenizer.decode(ids[marks]))


def talk(*turns: tuple[str, str], **options: Any) -> ft.ChatExample:
    return ft.ChatExample(tuple(ft.Message(role, text) for role, text in turns), **options)  # type: ignore[arg-type]


def test_the_answer_and_its_end_of_turn_are_trained_and_nothing_else(renderer: Renderer) -> None:
    example = talk(("system", "Be brief."), ("user", "Hi there"), ("assistant", "Hello!"))
    assert trained_text(renderer, example) == "Hello!<|end|>"


def test_every_assistant_turn_is_trained(renderer: Renderer) -> None:
    example = talk(("user", "a"), ("assistant", "one"), ("user", "b"), ("assistant", "two"))
    assert trained_text(renderer, example) == "one<|end|>two<|end|>"


def test_a_turn_of_weight_0_is_seen_but_not_trained(renderer: Renderer) -> None:
    turns = (
        ft.Message("user", "a"),
        ft.Message("assistant", "one", weight=0),
        ft.Message("user", "b"),
        ft.Message("assistant", "two"),
    )
    assert trained_text(renderer, ft.ChatExample(turns)) == "two<|end|>"


def test_a_tool_call_without_content_is_trained(renderer: Renderer) -> None:
    call = ft.ToolCall("land", {"where": "home"})
    turns = (ft.Message("user", "land it"), ft.Message("assistant", None, (call,)))
    assert trained_text(renderer, ft.ChatExample(turns)) == (
        '<tool_call>{"name": "land", "arguments": {"where": "home"}}</tool_call><|end|>'
    )


def test_the_prompt_of_an_answer_is_the_beginning_of_the_trained_text(renderer: Renderer) -> None:
    example = talk(("system", "Be brief."), ("user", "Hi there"), ("assistant", "Hello!"))
    asked = renderer.tokenizer(renderer.prompt(example.prompt), add_special_tokens=False)["input_ids"]
    made = tokenise(renderer, [example], 10_000)
    assert made.ids[: len(asked)].tolist() == asked
    assert made.trained[: len(asked)].sum() == 0


def test_a_cut_row_says_what_it_lost(renderer: Renderer) -> None:
    example = talk(("user", "Hi"), ("assistant", "one two three four five six seven"))
    whole = tokenise(renderer, [example], 10_000)
    made = tokenise(renderer, [example], len(whole.ids) - 3)
    assert made.cut.tolist() == [3]
    assert made.lost.tolist() == [3]
    assert made.trained_counts[0] == whole.trained_counts[0] - 3


def test_a_template_with_a_line_break_after_the_end_of_turn_trains_the_end(small: str) -> None:
    tokenizer = bases.tokenizer.__wrapped__(small)
    tokenizer.chat_template = CHATML
    text = trained_text(Renderer(small, tokenizer), talk(("user", "Hi"), ("assistant", "Hello")))
    assert text.rstrip() == "Hello<|im_end|>"


def test_where_a_template_rewrites_history_each_answer_is_learnt_as_it_is_given(small: str) -> None:
    tokenizer = bases.tokenizer.__wrapped__(small)
    tokenizer.chat_template = STRIPS_HISTORY
    renderer = Renderer(small, tokenizer)
    turns = (("user", "a"), ("assistant", "<think>x</think>one"), ("user", "b"), ("assistant", "two"))
    first, last, plain = talk(*turns[:2]), talk(*turns), talk(("user", "c"), ("assistant", "three"))
    made = tokenise(renderer, [plain, last, plain, last], 10_000)
    assert made.sources.tolist() == [0, 1, 1, 2, 3, 3]
    weightless = ft.ChatExample((last.messages[0], replace(last.messages[1], weight=0), *last.messages[2:]))
    alone = tokenise(renderer, [plain, first, weightless], 10_000)
    for at, same in enumerate([0, 1, 2, 0, 1, 2]):
        for one, other in zip(made.row(at), alone.row(same), strict=True):
            assert one.tolist() == other.tolist()


def test_a_pair_whose_history_is_rewritten_is_refused_with_the_row_and_the_cure(small: str) -> None:
    tokenizer = bases.tokenizer.__wrapped__(small)
    tokenizer.chat_template = STRIPS_HISTORY
    answers = talk(("user", "a"), ("assistant", "<think>x</think>one"), ("user", "b"), ("assistant", "two")).messages[
        1:
    ]
    pair = ft.PreferenceExample(ft.Conversation((ft.Message("user", "a"),)), answers, answers[:1])
    with pytest.raises(ft.DatasetError, match=r"row 1.*message 2") as caught:
        tokenise(Renderer(small, tokenizer), [pair], 10_000)
    assert "weight 0" in str(caught.value.cure)


@pytest.mark.parametrize(("opening", "times"), [("{{ bos_token }}", 1), ("", 0)], ids=["written", "not written"])
def test_a_bos_is_there_as_often_as_the_template_writes_it(small: str, opening: str, times: int) -> None:
    """The tokenizer would put one in front of any text, as Llama's does; the template has the last word."""
    tokenizer = bases.tokenizer.__wrapped__(small)
    tokenizer.add_special_tokens({"bos_token": "<|begin|>"})
    bos = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", bos)]
    )
    tokenizer.chat_template = opening + CHATML
    assert tokenizer("Hi")["input_ids"].count(bos) == 1
    renderer, example = Renderer(small, tokenizer), talk(("user", "Hi"), ("assistant", "Hello"))
    made = tokenise(renderer, [example], 10_000)
    model = Asked()
    LocalModel("a", ft.Origin("local", "a"), lambda: Voice(LoadedBase(lambda: model), renderer), context=512).answer(
        example.prompt
    )
    for ids in (made.ids.tolist(), model.ids):
        assert ids.count(bos) == times
        assert (ids[0] == bos) is (times == 1)
    assert made.ids[: len(model.ids)].tolist() == model.ids
    assert not made.trained[: len(model.ids)].any()


class Asked:
    """Stands where a model would, and keeps the tokens that it is asked."""

    device = "cpu"
    generation_config = GenerationConfig(eos_token_id=[1])
    ids: list[int]

    def generate(self, *, input_ids: torch.Tensor, **options: Any) -> torch.Tensor:
        self.ids = input_ids[0].tolist()
        return torch.cat([input_ids, torch.ones((1, 1), dtype=torch.long)], 1)


def test_a_base_without_a_template_is_refused(small: str) -> None:
    tokenizer = bases.tokenizer.__wrapped__(small)
    tokenizer.chat_template = None
    with pytest.raises(ft.UnsupportedError, match="no chat template"):
        Renderer(small, tokenizer)


def test_images_are_refused_by_name(renderer: Renderer) -> None:
    parts = ({"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": "data:,"}})
    example = ft.ChatExample((ft.Message("user", parts), ft.Message("assistant", "a cat")))
    with pytest.raises(ft.DatasetError, match="image_url"):
        tokenise(renderer, [example], 10_000)


def test_conversations_in_parts_are_said_counted_and_trained(client: ft.Client, small: str, tmp_path: Path) -> None:
    folder = copytree(small, tmp_path / "rewrites")
    (folder / "chat_template.jinja").write_text(STRIPS_HISTORY)
    turns = (("user", "a"), ("assistant", "<think>x</think>one"), ("user", "b"), ("assistant", "two"))
    rows = ft.Dataset.of([talk(*turns), talk(("user", "c"), ("assistant", "three"))] * 2)
    method = ft.SFT(epochs=1, batch_size=2, learning_rate=1e-3)
    job = ft.Job(name="a", train=rows, base=str(folder), method=method, adapter=ft.LoRA(rank=2))
    (found,) = [finding for finding in client.check(job) if finding.check == "turns"]
    assert (found.severity, found.rows) == ("note", (1, 3))
    estimate, run = client.estimate(job), client.submit(job)
    assert "4 rows are 6 sequences; a step takes sequences" in estimate.notes
    run.wait(progress=False)
    actual = run.result().actual
    assert (estimate.tokens.expected, estimate.trained_tokens.expected) == (actual["tokens"], actual["trained_tokens"])
    assert len(run.curves()["loss"]) == 3
