"""Data for jobs that take seconds."""

from __future__ import annotations

import finetune_sdk as ft

LABELS = ("red", "green", "blue")


def chats(count: int, first: int = 0) -> ft.Dataset:
    """Questions of varied length whose answer is a colour."""
    rows = [
        {
            "messages": [
                {"role": "system", "content": "Name the colour."},
                {"role": "user", "content": f"case {i} " + "word " * (i % 7)},
                {"role": "assistant", "content": LABELS[i % 3]},
            ]
        }
        for i in range(first, first + count)
    ]
    return ft.Dataset.of(rows, name="colours")


def texts(count: int, first: int = 0) -> ft.Dataset:
    """Sentences of varied length."""
    rows = [
        {"text": f"Case {i} is {LABELS[i % 3]}. " + "More words follow. " * (i % 4)}
        for i in range(first, first + count)
    ]
    return ft.Dataset.of(rows, name="texts")


def rated(count: int, first: int = 0) -> ft.Dataset:
    """Answers of varied length, two of three of them good."""
    rows = [
        {
            "prompt": [{"role": "user", "content": f"case {i} " + "word " * (i % 5)}],
            "completion": [
                {"role": "assistant", "content": f"thank you, {LABELS[i % 3]}" if i % 3 else "no " * (i % 4 + 1)}
            ],
            "label": bool(i % 3),
        }
        for i in range(first, first + count)
    ]
    return ft.Dataset.of(rows, name="ratings")


def pairs(count: int, first: int = 0) -> ft.Dataset:
    rows = [
        {
            "input": {"messages": [{"role": "user", "content": f"case {i} " + "word " * (i % 5)}]},
            "preferred_output": [{"role": "assistant", "content": f"thank you, {LABELS[i % 3]}"}],
            "non_preferred_output": [{"role": "assistant", "content": "no"}],
        }
        for i in range(first, first + count)
    ]
    return ft.Dataset.of(rows, name="pairs")


def tasks(count: int, first: int = 0) -> ft.Dataset:
    """Questions whose expected answer is a colour."""
    rows = [
        {
            "messages": [
                {"role": "system", "content": "Name the colour."},
                {"role": "user", "content": f"case {i} " + "word " * (i % 7)},
            ],
            "expected": LABELS[i % 3],
        }
        for i in range(first, first + count)
    ]
    return ft.Dataset.of(rows, name="tasks")
