"""How the tests in this folder see the fake place."""

from __future__ import annotations

from collections.abc import Callable

from finetune_sdk.client import Client

Open = Callable[..., Client]
Made = Callable[[], list[str]]
