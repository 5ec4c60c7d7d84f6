"""Answers: the same alone and in company, the same for the same seed, and honest about why they end."""

from __future__ import annotations

from dataclasses import replace

import pytest

import finetune_sdk as ft
from finetune_sdk.messages import Conversation
from finetune_sdk.model import Speaking
from finetune_sdk_local import models
from finetune_sdk_local.devices import Device
from finetune_sdk_local.generation import LocalModel, Speech
from finetune_sdk_local.loaded import LoadedBases

CPU = Device("cpu", "test", "float32", 1, 1)
ASKED = [
    "What is the capital of France?",
    "Sort these words: pear, apple, fig, cherry, banana, quince, plum, date, lemon, grape, melon, kiwi",
    "Hi",
]


@pytest.fixture(scope="module")
def tiny() -> LocalModel:
    return models.base("tiny", "local", CPU, LoadedBases())


def fields(answers: list[ft.Answer]) -> list[ft.Answer]:
    return [replace(answer, seconds=None) for answer in answers]


def test_answers_of_unlike_length_are_those_that_each_gets_alone(tiny: LocalModel) -> None:
    short = ft.Sampling(max_tokens=24)
    alone = [tiny.answer(asked, short) for asked in ASKED]
    assert len({answer.input_tokens for answer in alone}) == len({answer.text for answer in alone}) == len(ASKED)
    assert fields(tiny.answers(ASKED, short)) == fields(alone)


def test_a_long_prompt_does_not_cut_the_answers_beside_it(tiny: LocalModel) -> None:
    """Near the end of the context a long prompt leaves few tokens for its own answer, and only for that."""
    asked = [ASKED[1], "Say after me: one two three four five six seven"]
    lengths = [tiny.answer(one, ft.Sampling(max_tokens=1)).input_tokens for one in asked]
    assert lengths[0] > lengths[1] + 8
    cramped = LocalModel("tiny", tiny.origin, lambda: tiny.voice, context=lengths[0] + 2)
    long, short = cramped.answers(asked)
    assert (long.output_tokens, long.finish) == (2, "length")
    assert short.output_tokens > 2
    assert fields([long, short]) == fields([cramped.answer(one) for one in asked])


def test_a_temperature_gives_the_same_answers_for_the_same_seed_and_others_for_another(tiny: LocalModel) -> None:
    def drawn(seed: int) -> list[str]:
        return [answer.text for answer in tiny.answers(ASKED, ft.Sampling(max_tokens=12, temperature=1.5, seed=seed))]

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)
    assert drawn(7) != [answer.text for answer in tiny.answers(ASKED, ft.Sampling(max_tokens=12))]


def test_an_answer_says_whether_it_ended_or_was_cut(tiny: LocalModel) -> None:
    whole = tiny.answer(ASKED[0], ft.Sampling(max_tokens=200))
    assert whole.finish == "stop"
    assert whole.output_tokens is not None
    assert 2 < whole.output_tokens < 200
    cut = tiny.answer(ASKED[0], ft.Sampling(max_tokens=whole.output_tokens - 1))
    assert (cut.finish, cut.output_tokens) == ("length", whole.output_tokens - 1)
    assert cut.text == whole.text  # all but the end of turn is there
    cut = tiny.answer(ASKED[0], ft.Sampling(max_tokens=1))
    assert (cut.finish, cut.output_tokens) == ("length", 1)
    assert whole.text.startswith(cut.text)


def test_a_prompt_longer_than_the_context_is_an_error_that_says_how_long_it_is(tiny: LocalModel) -> None:
    cramped = LocalModel("tiny", tiny.origin, lambda: tiny.voice, context=20)
    with pytest.raises(
        ft.BackendError, match=r"tiny: a prompt has \d\d tokens, and the base sees 20 at once"
    ) as caught:
        cramped.answers(["Hi", ASKED[1]])
    assert "shorten the prompt" in str(caught.value.cure)
    assert cramped.answer("Hi", ft.Sampling(max_tokens=2)).output_tokens == 2


def test_an_answer_is_heard_while_it_is_made_and_the_pieces_are_its_text(tiny: LocalModel) -> None:
    short = ft.Sampling(max_tokens=24)
    heard: dict[int, list[str]] = {0: [], 2: []}
    ears = {row: lambda piece, row=row: bool(heard[row].append(piece)) or True for row in heard}
    answers = tiny.speak(ASKED, ears, short)
    assert fields(answers) == fields(tiny.answers(ASKED, short))
    for row, pieces in heard.items():
        assert "".join(pieces) == answers[row].text
        assert len(pieces) > 1
    assert isinstance(tiny, Speaking)


def test_an_answer_that_nobody_wants_to_the_end_is_ended_and_those_beside_it_go_on(tiny: LocalModel) -> None:
    short = ft.Sampling(max_tokens=24)
    whole = tiny.answers(ASKED, short)
    said: list[str] = []
    first, second, third = tiny.speak(ASKED, {1: lambda piece: bool(said.append(piece)) or len(said) < 3}, short)
    assert fields([first, third]) == fields([whole[0], whole[2]])
    assert second.text == "".join(said)
    assert whole[1].text.startswith(second.text)
    assert second.output_tokens == 3


def test_how_likely_each_token_was_is_told_where_it_is_asked_for(tiny: LocalModel) -> None:
    torch = pytest.importorskip("torch")
    greedy = ft.Sampling(max_tokens=12)
    plain = tiny.answers(ASKED, greedy)
    assert all(answer.said is None for answer in plain)
    told = tiny.answers(ASKED, replace(greedy, logprobs=3))
    assert [answer.text for answer in told] == [answer.text for answer in plain]
    renderer = tiny.voice.renderer
    for asked, answer in zip(ASKED, told, strict=True):
        assert "".join(token.text for token in answer.said) == answer.text
        prompt = renderer.tokenizer(renderer.prompt(Conversation.of(asked)), add_special_tokens=False)["input_ids"]
        said = renderer.tokenizer(answer.text, add_special_tokens=False)["input_ids"]
        with torch.inference_mode(), tiny.voice.speaking() as model:
            logits = model(torch.tensor([prompt + said])).logits[0].float().log_softmax(-1)
        for at, token in enumerate(answer.said):
            assert token.logprob == pytest.approx(float(logits[len(prompt) + at - 1].max()), abs=1e-3)
            assert token.likely[0] == (token.text, token.logprob)
            assert [value for _, value in token.likely] == sorted((value for _, value in token.likely), reverse=True)
    drawn = tiny.answers(ASKED, ft.Sampling(max_tokens=4, temperature=1.5, seed=3, logprobs=1))
    assert any(token.logprob < token.likely[0][1] for answer in drawn for token in answer.said)


def test_letters_that_take_several_tokens_are_heard_whole(tiny: LocalModel) -> None:
    """Each piece is text; the halves of a letter are held back until the other half is there."""
    tokenizer = tiny.voice.renderer.tokenizer
    text = "naïve 😀 \u4f60\u597d end"
    ids, pieces = tokenizer.encode(text, add_special_tokens=False), list[str]()
    speech = Speech(tokenizer, lambda piece: bool(pieces.append(piece)) or True, [])
    for count in range(1, len(ids) + 1):
        speech.listen(ids[:count])
    assert "".join(pieces) == text
    assert "\N{REPLACEMENT CHARACTER}" not in text
