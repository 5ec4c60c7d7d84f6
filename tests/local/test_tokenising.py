"""Tokenising in units gives the very tokens, and the very trained ones, that tokenising whole texts gives."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

import finetune_sdk as ft
from finetune_sdk_local import bases, tokenising
from finetune_sdk_local.rendering import Renderer, TemplateError, talks
from finetune_sdk_local.tokenising import Sequences, tokenise
from finetune_sdk_local.units import Cutter, Unit, longest_of

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TRIMS = CHATML.replace("m.content", "m.content | trim")
HOSTILE = (
    "", " ", "\n\n", " leading", "trailing \n", "</think>\n\nafter", "<think>\nx\n</think>\n\ny", "<|im_end|>", "<|im_start|>user\nhi",
    "<|end|>", "<|user|>", "<tool_response>\n1\n</tool_response>", "{{ messages }}", "{% raw %}", "\x02\x03", "u0002", "a\u0301",
    "\u0301begins with an accent", "日本語のテキスト", "🙂🙂", "<", "<|", "im_end|>", "/think", "/no_think", "null", "None", "a\r\nb",
)  # fmt: skip
words = st.sampled_from(["order", "the", "lamp", " ", "\n", "{", "}", '"', "é", "<", "|>"])
contents = st.one_of(st.sampled_from(HOSTILE), st.lists(words, max_size=12).map("".join), st.text(max_size=12))


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """A conversation of one to three turns, often with a system message, sometimes with an answer that is not trained."""
    system = [ft.Message("system", draw(contents))] if draw(st.booleans()) else []
    turns = [
        message
        for _ in range(draw(st.integers(1, 3)))
        for message in (
            ft.Message("user", draw(contents)),
            ft.Message("assistant", draw(contents), weight=draw(st.sampled_from([None, None, 0, 1]))),
        )
    ]
    return ft.ChatExample((*system, *turns)).canonical()


def templates() -> Iterator[tuple[str, str]]:
    yield "tiny", bases.tokenizer("tiny").chat_template
    yield "chatml", CHATML
    yield "trims", TRIMS
    found = find_spec("trl")
    for path in sorted((Path(str(found.origin)).parent / "chat_templates").glob("*.jinja")) if found else ():
        yield path.stem, path.read_text()


TEMPLATES = dict(templates())
WITH_SKELETONS = {
    "chatml", "gemma", "gemma3", "llama3", "llama3_1", "llama3_2", "phi3", "qwen2_5", "qwen3", "qwen3_5_nothink", "qwen3_6", "qwen3_instruct_2507", "qwen3_vl", "smollm3", "tiny", "trims"
} & TEMPLATES.keys()  # fmt: skip


def renderer(template: str, *added: str) -> Renderer:
    tokenizer: Any = deepcopy(bases.tokenizer("tiny"))
    tokenizer.chat_template = template
    tokenizer.add_special_tokens(
        {"bos_token": "<|begin|>", "additional_special_tokens": ["<|im_start|>", "<|im_end|>", *added]}
    )
    return Renderer("a base", tokenizer)


@cache
def skeleton(name: str) -> tuple[Renderer, Cutter]:
    renders = renderer(TEMPLATES[name])
    cutter = Cutter.of(renders)
    assert cutter is not None
    return renders, cutter


def laid(units: Sequence[Unit]) -> tuple[str, list[tuple[int, int]]]:
    """The text of units one after another, and its trained spans, those that touch as one."""
    text, spans = "", list[tuple[int, int]]()
    for unit in units:
        for start, end in unit.spans:
            if spans and spans[-1][1] == len(text) + start:
                spans[-1] = (spans[-1][0], len(text) + end)
            elif end > start:
                spans.append((len(text) + start, len(text) + end))
        text += unit.text
    return text, spans


@pytest.mark.parametrize("name", TEMPLATES)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=st.lists(rows(), min_size=1, max_size=8))
def test_a_skeleton_writes_what_the_template_writes(name: str, drawn: list[dict[str, Any]]) -> None:
    renders, cutter = skeleton(name)
    for row in drawn:
        for talk in talks(row):
            found = cutter.cut(talk)
            if found is None:
                continue
            try:
                whole, spans = renders.rendered(talk)
            except TemplateError as fault:
                pytest.fail(f"the template refuses what was cut: {fault.message}")
            assert laid(found[0]) == laid([Unit(whole, tuple(spans))])


@pytest.mark.parametrize("name", sorted(WITH_SKELETONS))
def test_bases_that_people_train_have_skeletons(name: str) -> None:
    _, cutter = skeleton(name)
    row = ft.ChatExample((ft.Message("user", "Hi"), ft.Message("assistant", "Hello"))).canonical()
    (talk,) = talks(row)
    assert cutter.cut(talk) is not None


def test_a_template_that_strips_is_followed_in_it() -> None:
    cutter = Cutter.of(renderer(TRIMS))
    assert cutter is not None
    for said in ("x", "  x\n", "\n"):
        (talk,) = talks(ft.ChatExample((ft.Message("user", said), ft.Message("assistant", "y "))).canonical())
        found = cutter.cut(talk)
        assert found is not None
        assert laid(found[0])[0] == f"<|im_start|>user\n{said.strip()}<|im_end|>\n<|im_start|>assistant\ny<|im_end|>\n"


FOLLOWED = [
    "{% set text = 'a' ~ m.content %}{{ text }}{{ 1 ~ text }}",
    "{% macro say(t) %}{{ t }}{% endmacro %}{{ say(m.content) | trim }}",
    "{% set text %}{{ m.content }}{% endset %}{% if 'x' in text %}!{% endif %}{{ text | trim }}",
    "{% filter trim %}{{ m.content }}{% endfilter %}",
    "{{ m.content if m.content else 'nothing' }}",
    "{% if m.content is string and m.content is iterable %}{{ m.content.lstrip('\\n') }}{% endif %}",
    "{% if m.content == messages[0].content %}first{% else %}{{ m.content }}{% endif %}",
    "{{ ['a', 'b'] | join(' ') + m.content }}",
]
RUN = [
    "{% set text = 'a' ~ m.content %}{% if 'x' in text %}!{% endif %}{{ text }}",
    "{{ m.content | upper }}", "{{ m.content[:3] }}", "{{ m.content.split(' ')[0] }}", "{{ m.content | tojson }}",
    "{{ m.content | replace('a', 'b') }}", "{% for letter in m.content %}{{ letter }}{% endfor %}", "{{ m.content | list }}",
    "{{ m.content * 2 }}", "{{ m.content | length }}", "{{ m.content | escape }}", "{{ m.content | safe }}",
    "{{ '%s' % m.content }}", "{{ '%s%s' % (m.content, 1) }}", "{{ '%s' | format(m.content) }}", "{{ '{}'.format(m.content) }}",
    "{{ [m.content, 'x'] | join(' ') | trim }}", "{{ messages | join(' ', attribute='content') }}", "{{ ' '.join([m.content]) }}",
    "{{ m.content | wordcount }}", "{{ m.content | pprint }}", "{{ m.content | string | title }}", "{{ {m.content: 1} }}", "{{ m.content | int }}", "{{ m.content in 'abc' }}",
    "{{ (m.content | tojson) | length }}", "{% if 'x' in (messages | tojson) %}!{% endif %}", "{% if m.content is in 'abc' %}!{% endif %}",
    "{{ messages | selectattr('content', 'in', 'abc') | list | length }}", "{% if 'abc'.startswith(m.content) %}!{% endif %}",
    "{{ 'abc' | replace(m.content, '') }}", "{{ ['abc'] | map('replace', m.content, '') | first }}", "{{ 'abc' | trim(m.content) }}",
    "{% set f = '%10s' %}{{ f % (m.content,) }}", "{% set f = '%(a)10s' %}{{ f % {'a': m.content} }}", "{{ strftime_now(m.content) }}",
    "{{ [m.content] | map('wordcount') | first }}", "{{ [m.content] | map('title') | first }}", "{{ ''['join']([m.content]) }}",
    "{{ 'x' ~ ('abc' | attr(m.content)) }}", "{% if m.content is escaped %}!{% endif %}",
]  # fmt: skip


def around(body: str) -> str:
    """A template that writes what the user says in its own way."""
    asked = (
        "{% for m in messages %}<|im_start|>{% if m.role == 'user' %}" + body + "{% else %}{{ m.content }}{% endif %}"
    )
    return asked + "<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>{% endif %}"


@pytest.mark.parametrize("body", FOLLOWED)
@pytest.mark.parametrize("said", ["ab", "  x\n", "", "\n"])
def test_a_template_is_followed_in_what_it_asks(body: str, said: str) -> None:
    renders = renderer(around(body))
    cutter = Cutter.of(renders)
    assert cutter is not None
    for text in (said, "other", said + "x", ""):
        (talk,) = talks(ft.ChatExample((ft.Message("user", text), ft.Message("assistant", "y"))).canonical())
        found = cutter.cut(talk)
        assert found is not None
        assert laid(found[0])[0] == renders.rendered(talk)[0]


@pytest.mark.parametrize("body", RUN)
def test_a_template_that_does_more_is_run_for_each_conversation(body: str) -> None:
    cutter = Cutter.of(renderer(around(body)))
    assert cutter is not None
    (talk,) = talks(ft.ChatExample((ft.Message("user", "ab"), ft.Message("assistant", "y"))).canonical())
    assert cutter.cut(talk) is None


def test_an_answer_that_a_template_does_not_write_is_refused_whatever_came_before() -> None:
    renders = renderer(CHATML.replace("m.content", "('Yes.' if m.role == 'assistant' else m.content)"))
    cutter = Cutter.of(renders)
    assert cutter is not None
    for said in (" ", "No."):
        (talk,) = talks(ft.ChatExample((ft.Message("user", "x"), ft.Message("assistant", said))).canonical())
        assert cutter.cut(talk) is None
    with pytest.raises(TemplateError, match="does not write the content"):
        renders.rendered(talk)


def test_a_tool_that_is_described_by_a_mark_is_written_as_it_stands() -> None:
    renders = renderer("{% for tool in tools or [] %}{{ tool.description }}{% endfor %}" + CHATML)
    cutter = Cutter.of(renders)
    assert cutter is not None
    row = ft.ChatExample((ft.Message("user", "x"), ft.Message("assistant", "y")), ({"description": "\x020\x03"},))
    (talk,) = talks(row.canonical())
    assert cutter.cut(talk) is None


@pytest.mark.parametrize(
    ("added", "said"),
    [
        (["im_start|>", "<im_start|>", "<|im_start|>x"], "a<"),
        (["<|im_end|>!"], "!"),
        (["<|im_end|>\n<"], ""),
        (["a<|im_end|>b"], "a"),
        (["y<|im_end|>\n"], "y"),
    ],
)
def test_added_tokens_within_others_are_read_as_in_the_whole_text(
    added: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenising, "TRIED", 10**9)
    renders = renderer(CHATML.replace("<|im_end|>", "<|im_end|>b" if "a" in said else "<|im_end|>"), *added)
    before = [ft.ChatExample((ft.Message("user", "Hi"), ft.Message("assistant", "Hello")))]
    examples = [*before, ft.ChatExample((ft.Message("user", said), ft.Message("assistant", said or "z")))]
    as_units = tokenise(renders, examples, 512)
    monkeypatch.setattr(Cutter, "of", classmethod(lambda cls, renderer: None))
    assert_same(as_units, tokenise(renders, examples, 512))


@given(st.sets(st.text("ab<\n.", min_size=1, max_size=4), min_size=1, max_size=12), st.text("ab<\n.x", max_size=12))
def test_the_longest_of_the_added_tokens_at_a_place_is_found(texts: set[str], within: str) -> None:
    plainly = "|".join(map(re.escape, sorted(texts, key=len, reverse=True)))
    assert re.findall(longest_of(texts), within) == re.findall(plainly, within)


def test_a_tokenizer_that_reads_added_tokens_as_text_is_given_whole_texts() -> None:
    renders = renderer(CHATML)
    renders.tokenizer.backend_tokenizer.encode_special_tokens = True
    assert Cutter.of(renders) is None


def byte_level() -> Any:
    return deepcopy(bases.tokenizer("tiny").backend_tokenizer)


def trained(tokenizer: Tokenizer, trainer: Any) -> Tokenizer:
    texts = [
        "the order was sent with a new lamp for my desk",
        "system user assistant hello",
        "日本語 é a\u0301 🙂",
        *HOSTILE,
    ]
    tokenizer.train_from_iterator(texts * 3, trainer)
    return tokenizer


def metaspace() -> Any:
    """As Llama 2's and T5's: a mark in front of the first word of a text only."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    made.decoder = decoders.Metaspace()
    return trained(
        made, trainers.UnigramTrainer(vocab_size=300, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False)
    )


def wordpiece() -> Any:
    """As BERT's: normalised, and white space dropped."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()])
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return trained(made, trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[UNK]"], show_progress=False))


def composed() -> Any:
    """As Qwen's: NFC before byte-level BPE."""
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return trained(made, trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False))


@pytest.mark.parametrize("kind", [byte_level, metaspace, wordpiece, composed])
@pytest.mark.parametrize("taking", [{}, {"rstrip": True}, {"lstrip": True}, {"normalized": True}], ids=str)
def test_the_tokens_are_those_of_whole_texts(
    kind: Any, taking: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = kind()
    backend.add_tokens(
        [AddedToken(text, special=True, **{"normalized": False, **taking}) for text in ("<|im_start|>", "<|im_end|>")]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=CHATML, unk_token="[UNK]")
    renders = Renderer("a base", tokenizer)
    monkeypatch.setattr(tokenising, "BATCH", 64)
    examples = list(talked(Random(7), 300))
    as_units = tokenise(renders, examples, 64)
    monkeypatch.setattr(Cutter, "of", classmethod(lambda cls, renderer: None))
    assert_same(as_units, tokenise(renders, examples, 64))


def talked(source: Random, count: int) -> Iterator[ft.Example]:
    """Conversations and pairs, some long enough to be cut, many with one system message."""
    words = ["the", "order", "was", "sent", "with", "a", "new", "lamp", "for", "my", "desk"]

    def text() -> str:
        if source.random() < 0.3:
            return source.choice(HOSTILE)
        return " ".join(source.choices(words, k=source.randint(1, 30)))

    for _ in range(count):
        prompt = (ft.Message("system", source.choice(["Be brief.", text()])), ft.Message("user", text()))
        if source.random() < 0.3:
            sides = ((ft.Message("assistant", text()),), (ft.Message("assistant", text()),))
            yield ft.PreferenceExample(ft.Conversation(prompt), *sides)
        else:
            yield ft.ChatExample((*prompt, ft.Message("assistant", text())))


def assert_same(one: Sequences, other: Sequences) -> None:
    for name in ("ids", "trained", "starts", "cut", "lost"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist(), name


def test_rows_that_are_cut_to_nothing_train_nothing() -> None:
    made = tokenise(renderer(CHATML), list(talked(Random(1), 3)), 0)
    assert made.lengths.sum() == 0
    assert made.trained_counts.tolist() == [0] * len(made)


def test_what_the_units_get_wrong_is_found_and_done_again_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base whose template or tokenizer the units would not do for, in a way that nobody thought of."""
    renders = renderer(CHATML)
    examples = list(talked(Random(1), 40))
    whole = tokenise(renders, examples, 512)
    cut = Cutter.cut

    def wrong(self: Cutter, talk: Any) -> Any:
        found = cut(self, talk)
        return found and ([unit._replace(text=unit.text.replace("the", "The")) for unit in found[0]], found[1])

    monkeypatch.setattr(Cutter, "cut", wrong)
    assert_same(tokenise(renders, examples, 512), whole)
