"""Chat completions as streams: heard as they are said, and ended before their stop."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat.chat_completion import ChoiceLogprobs

from finetune_sdk.model import Answer
from finetune_sdk.serve.speech import Speech
from serving import Served
from speakers import Scripted, asked


def test_a_stream_is_heard_while_it_is_said(scripted: tuple[Served, Scripted]) -> None:
    served, _ = scripted
    words = " ".join(f"word{n}" for n in range(30))
    times = list[float]()
    with served.client().chat.completions.create(**asked(f"say {words}", stream=True)) as stream:
        pieces = [chunk.choices[0].delta.content for chunk in stream if times.append(time.monotonic()) is None]
    assert "".join(piece or "" for piece in pieces) == words
    assert times[-1] - times[0] > 0.05, "it takes 0.3 s to be said"


def test_a_stop_ends_an_answer_before_it_and_saves_the_rest(scripted: tuple[Served, Scripted]) -> None:
    served, _ = scripted
    more = asked("say one two three four five six", stop=["ee f", "six"])
    whole = served.ask("POST", "/chat/completions", more).value
    assert whole["choices"][0]["message"]["content"] == "one two thr"
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert whole["usage"]["completion_tokens"] == 4  # "five" and "six" were never generated
    with served.client().chat.completions.create(**more, stream=True) as stream:
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "one two thr"


TEXTS = st.text("ab<|>", max_size=12)


@given(st.lists(TEXTS, max_size=6), st.lists(TEXTS.filter(bool), max_size=4))
def test_what_is_heard_in_pieces_is_what_is_there_up_to_the_first_stop(pieces: list[str], stops: list[str]) -> None:
    speech, whole = Speech(stops), "".join(pieces)
    heard = "".join(speech.hear(piece) for piece in pieces)
    ends = [at for at in (whole.find(stop) for stop in stops) if at >= 0]
    expected = whole[: min(ends)] if ends else whole
    assert speech.cut(Answer(whole)).text == expected
    assert expected.startswith(heard)
    assert not any(stop in heard for stop in stops)
    assert len(expected) - len(heard) < max(map(len, stops), default=1)


def test_log_probabilities_are_those_of_the_text_up_to_its_stop(scripted: tuple[Served, Scripted]) -> None:
    served, model = scripted
    more = asked("say one two three", logprobs=True, top_logprobs=2, stop=" three")
    [choice] = served.ask("POST", "/chat/completions", more).value["choices"]
    told = ChoiceLogprobs.model_validate(choice["logprobs"], strict=True).content
    assert [one.token for one in told or ()] == ["one", " two"]
    assert told is not None
    assert bytes(told[1].bytes or ()) == b" two"
    assert [one.logprob for one in told[0].top_logprobs] == [-0.5, -1.5]
    assert model.batches[-1][1].logprobs == 2
    with served.client().chat.completions.create(**more, stream=True) as stream:
        chunks = [chunk.choices[0] for chunk in stream]
    assert [one.token for chunk in chunks if chunk.logprobs for one in chunk.logprobs.content or ()] == ["one", " two"]
