"""How these tests open the provider: its settings, and the variable that holds its key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import finetune_sdk as ft
from provider import BASE

VARIABLE = "TEST_PROVIDER_KEY"
Opened = Callable[..., ft.Client]


def table(url: str, **options: Any) -> dict[str, Any]:
    """The settings of the provider, with little patience, for it is near."""
    near = {"visible_within": 0.4, "timeout": 5.0, "patience": 5.0, "usd_per_million": 0.0}
    return {"kind": "openai", "base_url": url, "api_key_env": VARIABLE, "base": BASE, **near, **options}
