"""A report of two models on a few cases, ready to be reviewed; and hostile answers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.evaluation.evaluation import Evaluation, Report
from finetune_sdk.evaluation.evaluators import ExactMatch
from finetune_sdk.messages import ChatExample, Message
from finetune_sdk.model import Answer, Recorded

OWN = "document.title='owned'"
HOSTILE = (
    f"<script>{OWN}</script>",
    f"</script></style></textarea></title><img src=x onerror=\"{OWN}\">",
    f"<svg onload={OWN}></svg>--><!--",
    f"<iframe srcdoc=\"<script>parent.{OWN}</script>\"></iframe><form action=//evil.example><input autofocus onfocus={OWN}>",
    f"javascript:{OWN}",
    "<link rel=stylesheet href=//evil.example/x.css><base href=//evil.example><meta http-equiv=refresh content='0;url=//evil.example'>",
    "{{constructor.constructor('alert(1)')()}} ${7*7} <%= 7*7 %>",
    "\x1b[31mred\x1b]8;;http://evil.example\x07link\x00\x07\x9b31m\x7f",
    "user\u202egnp.exe\u2066\u2069\u200e\u2028\ufeff\u200b",
    "half \ud83d of a pair \udc00\ufffe\uffff",
    "<style>*{display:none}</style>",
    "a\u0301" * 400,
    "",
    "\u05e9\u05dc\u05d5\u05dd 1 2 \u0645\u0631\u062d\u0628\u0627",
)  # fmt: skip
Says = Callable[[int], str]


def report(
    cases: int = 12, tuned: Says = lambda n: f"tuned says {n}", base: Says = lambda n: f"base says {n}"
) -> Report:
    rows = [
        ChatExample(
            (
                Message("system", "Be kind."),
                Message("user", f"question {n}?"),
                Message("assistant", f"expected {n}"),
            )
        )
        for n in range(cases)
    ]
    models: dict[str, Any] = {
        key: Recorded(key, [(row.prompt, Answer(says(n))) for n, row in enumerate(rows)])
        for key, says in (("base", base), ("tuned", tuned))
    }
    return Evaluation(Dataset.of(rows, name="questions.jsonl"), [ExactMatch()]).run(**models)


def ask(url: str, body: Any = None, raw: bytes | None = None, **headers: str) -> tuple[int, Any]:
    """The status and what was said. `body` makes it a POST of JSON."""
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    named = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    request = urllib.request.Request(url, data, named)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            text, status = reply.read(), reply.status
    except urllib.error.HTTPError as fault:
        with fault:
            text, status = fault.read(), fault.code
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text.decode()
