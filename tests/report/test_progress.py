"""The bar of a run shows names and messages as they stand, whatever is in them."""

from __future__ import annotations

import pytest

from finetune_sdk.report.progress import Progress

MESSAGES = {
    "what looks like markup": ("expected [/INST] here", "expected [/INST] here"),
    "a path in brackets": ("loading /models/[llama]/x", "/models/[llama]/x"),
    "an escape sequence": ("\x1b]0;owned\x07 fine", "␛]0;owned"),
}


@pytest.mark.parametrize(("message", "shown"), MESSAGES.values(), ids=MESSAGES)
def test_a_message_is_shown_and_never_acted_on(message: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("fix [/INST]", always=True) as bar:
        bar.show("message", message, {})
        bar.show("metrics", "", {"step": 3, "steps": 7, "loss": 0.5})
    said = capsys.readouterr()
    assert shown in said.err
    assert "fix [/INST]" in said.err
    assert "loss 0.5000" in said.err
    assert said.out == ""
