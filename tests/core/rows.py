"""Rows as files hold them, for the tests in this folder."""

from __future__ import annotations

from typing import Any


def chat(asked: str, answer: str) -> dict[str, Any]:
    """One row in OpenAI's chat format."""
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]}


def pair(asked: str, chosen: str, rejected: str) -> dict[str, Any]:
    """One row in OpenAI's preference format."""
    return {
        "input": {"messages": [{"role": "user", "content": asked}]},
        "preferred_output": [{"role": "assistant", "content": chosen}],
        "non_preferred_output": [{"role": "assistant", "content": rejected}],
    }
