"""Chat completions: as asked, or refused by name; what is promised of an answer is kept or an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import openai
import pytest

from finetune_sdk.model import Sampling
from serving import Served, lines
from speakers import Scripted, asked, said


def test_several_answers_are_drawn_and_a_greedy_one_is_drawn_once(scripted: tuple[Served, Scripted]) -> None:
    served, model = scripted
    for temperature, rows in ((0.7, 3), (0.0, 1)):
        found = served.ask("POST", "/chat/completions", asked("say hi there", n=3, temperature=temperature)).value
        assert [choice["message"]["content"] for choice in found["choices"]] == ["hi there"] * 3
        assert len(model.batches[-1][0]) == rows
        assert found["usage"] == {"prompt_tokens": 3, "completion_tokens": 2 * rows, "total_tokens": 3 + 2 * rows}


def test_sampling_is_the_protocols_unless_it_is_said(scripted: tuple[Served, Scripted]) -> None:
    served, model = scripted
    said(served, "say a")
    said(served, "say a", temperature=0.3, top_p=0.9, seed=-1, max_completion_tokens=7)
    said(served, "say a", temperature=0, top_p=0.9, seed=5, max_tokens=7)
    assert [sampling for _, sampling in model.batches] == [
        Sampling(1024, 1.0, 1.0, None),
        Sampling(7, 0.3, 0.9, 2**63 - 1),
        Sampling(7),
    ]


def test_an_answer_says_how_long_the_model_took(scripted: tuple[Served, Scripted]) -> None:
    answer = scripted[0].ask("POST", "/chat/completions", asked("slow 0.1"))
    kind, _, milliseconds = answer.headers["server-timing"].partition(";dur=")
    assert kind == "model"
    assert 100 <= float(milliseconds) < 5000


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"presence_penalty": 1}, "presence_penalty"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"functions": []}, "functions"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"store": True}, "store"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"top_k": 5}, "top_k"),
        ({"n": 0}, "n"),
        ({"n": "2"}, "n"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [{"type": "custom"}]}, "tools.0"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": 5}}}}, "response_format.json_schema.schema"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "messages.0.content"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_not_done_as_asked_is_refused_by_its_name(served: Served, more: dict[str, Any], param: str) -> None:
    answer = served.ask("POST", "/chat/completions", asked("hi") | more)
    assert (answer.status, answer.error["param"]) == (400, param)


def test_what_asks_for_nothing_is_taken(served: Served) -> None:
    nothing = {
        "logprobs": False, "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "store": False,
        "metadata": None, "user": "u", "service_tier": "auto", "modalities": ["text"], "response_format": {"type": "text"},
        "tools": None, "stream": False, "n": None,
    }  # fmt: skip
    assert said(served, "hi", **nothing) == "hi"
    assert (
        said(served, "hi", messages=[{"role": "user", "content": [{"type": "text", "text": "in parts"}]}]) == "in parts"
    )


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def strict(schema: Mapping[str, Any], *, strictly: bool = True) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": strictly}}


def test_an_answer_that_must_follow_a_schema_does_or_is_an_error(served: Served) -> None:
    assert said(served, '{"a": 1}', response_format=strict(SCHEMA)) == '{"a": 1}'
    for text in ('{"a": "1"}', "no json", '```json\n{"a": 1}\n```', ""):
        for stream in (False, True):
            answer = served.ask("POST", "/chat/completions", asked(text, response_format=strict(SCHEMA), stream=stream))
            assert (answer.status, answer.error["code"]) == (422, "answer_not_as_asked")
            assert answer.error["param"] == "response_format"
    with pytest.raises(openai.UnprocessableEntityError, match="does not follow the schema"):
        served.client().chat.completions.create(**asked('{"b": 1}', response_format=strict(SCHEMA)))


def test_a_pattern_that_goes_back_without_end_is_given_up_and_named(served: Served) -> None:
    schema = {"properties": {"id": {"pattern": r"^(?=a)(a|aa)+\1x$"}}}
    answer = served.ask("POST", "/chat/completions", asked(f'{{"id": "{"a" * 60}"}}', response_format=strict(schema)))
    assert answer.status == 422
    assert "steps back and was given up" in answer.error["message"]


def test_a_schema_that_is_not_strict_is_a_wish_as_the_protocol_has_it(served: Served) -> None:
    assert said(served, "no json", response_format=strict(SCHEMA, strictly=False)) == "no json"


def test_json_mode_is_kept_or_an_error(served: Served) -> None:
    assert said(served, "[1]", response_format={"type": "json_object"}) == "[1]"
    answer = served.ask("POST", "/chat/completions", asked("no json", response_format={"type": "json_object"}))
    assert answer.status == 422


def test_an_answer_that_was_cut_says_so_whatever_was_asked_of_it(served: Served) -> None:
    answer = served.ask("POST", "/chat/completions", asked('{"a": 1}', response_format=strict(SCHEMA), max_tokens=1))
    assert answer.value["choices"][0]["finish_reason"] == "length"


TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("sun", "rain")]


@pytest.fixture
def caller(served: Served) -> tuple[Served, str]:
    """A model that calls `sun` when it is asked for sun, and says "dry" else."""
    call = {"id": "c", "type": "function", "function": {"name": "sun", "arguments": "{}"}}
    rows = [
        {"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": "dry"}], "tools": TOOLS}
        for n in range(12)
    ]
    rows.append(
        {
            "messages": [{"role": "user", "content": "sun?"}, {"role": "assistant", "tool_calls": [call]}],
            "tools": TOOLS,
        }
    )
    return served, str(served.ended(served.tune(lines(rows))).fine_tuned_model)


def test_a_choice_of_tools_is_kept_or_an_error(caller: tuple[Served, str]) -> None:
    served, model = caller
    named = {"type": "function", "function": {"name": "sun"}}
    for choice in ("auto", "required", named):
        answer = served.ask("POST", "/chat/completions", asked("sun?", model=model, tools=TOOLS, tool_choice=choice))
        assert answer.value["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "sun"
    for choice in ("required", named):
        answer = served.ask("POST", "/chat/completions", asked("1?", model=model, tools=TOOLS, tool_choice=choice))
        assert (answer.status, answer.error["param"]) == (422, "tool_choice")
    assert said(served, "1?", model=model, tools=TOOLS, tool_choice="none") == "dry"
    for mode, allowed in (("required", "rain"), ("sometimes", "sun"), ("auto", "snow")):
        some = {"mode": mode, "tools": [{"type": "function", "function": {"name": allowed}}]}
        choice = {"type": "allowed_tools", "allowed_tools": some}
        answer = served.ask("POST", "/chat/completions", asked("1?", model=model, tools=TOOLS, tool_choice=choice))
        assert (answer.status, answer.error["param"]) == (422 if mode == "required" else 400, "tool_choice")
    unknown = {"type": "function", "function": {"name": "snow"}}
    answer = served.ask("POST", "/chat/completions", asked("1?", model=model, tools=TOOLS, tool_choice=unknown))
    assert (answer.status, answer.error["param"]) == (400, "tool_choice")


def test_tools_reach_the_model_and_a_named_one_alone(scripted: tuple[Served, Scripted]) -> None:
    served, model = scripted
    said(served, "hi", tools=TOOLS, parallel_tool_calls=False)
    said(served, "hi", tools=TOOLS, tool_choice="none")
    sun = {"mode": "auto", "tools": [{"type": "function", "function": {"name": "sun"}}]}
    said(served, "hi", tools=TOOLS, tool_choice={"type": "allowed_tools", "allowed_tools": sun})
    offered = [(one.tools, one.parallel_tool_calls) for one in model.read]
    assert offered == [(tuple(TOOLS), False), ((), None), ((TOOLS[0],), None)]
