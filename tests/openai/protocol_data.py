"""Small data of each kind, and what the published document of the protocol says, where it is at hand."""

from __future__ import annotations

from typing import Any

from finetune_sdk.data.dataset import Dataset


def chat(asked: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}], **more}


def chats(count: int, start: int = 0) -> Dataset:
    return Dataset.of([chat(f"What is {n} and {n}?", f"It is {2 * n}.") for n in range(start, start + count)])


def pairs(count: int) -> Dataset:
    rows = (
        {
            "input": {"messages": [{"role": "user", "content": f"What is {n}?"}]},
            "preferred_output": [{"role": "assistant", "content": f"It is {n}, surely."}],
            "non_preferred_output": [{"role": "assistant", "content": "No idea."}],
        }
        for n in range(count)
    )
    return Dataset.of(list(rows))


def tasks(count: int) -> Dataset:
    return Dataset.of(
        [{"messages": [{"role": "user", "content": f"{n} + 1?"}], "answer": str(n + 1)} for n in range(count)]
    )
