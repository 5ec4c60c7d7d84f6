"""Rows and files of many kinds, good ones: what the tests of bad ones begin with."""

from __future__ import annotations

import io
import json
from typing import Any

from rows import chat

USER, ANSWER = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}
GOOD = json.dumps(chat("a", "b"))
TASK = {"messages": [USER], "answer": 4}
SHARED = {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}
PAIR = {"prompt": "a", "chosen": "b", "rejected": "c"}
RATED = {"prompt": "a", "completion": "b", "label": True}
FILLED = {"prompt": "a", "completion": "b"}


def turns(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


def called(arguments: Any, **more: Any) -> str:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return json.dumps(turns(USER, {"role": "assistant", "tool_calls": [call]}, **more))


OFFERED = {"type": "function", "function": {"name": "f"}}
CSV = b"prompt,completion\na,b\n"


def parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), out)
    return out.getvalue()
