"""What a place can do is data: complete, and refused by with the reason."""

from __future__ import annotations

import pytest

from finetune_sdk.backend import OPTIONAL, Capabilities, Optional
from finetune_sdk.errors import SettingsError, UnsupportedError

ABLE = frozenset({"list", "resume"})
GAPS = {verb: f"there is no room for {verb} here" for verb in OPTIONAL - ABLE}
FEW = Capabilities(frozenset({"sft"}), frozenset({"lora"}), frozenset(), verbs=ABLE, gaps=GAPS)


@pytest.mark.parametrize("verb", sorted(OPTIONAL - ABLE))
def test_a_verb_that_is_not_declared_is_refused_with_its_reason(verb: Optional) -> None:
    with pytest.raises(
        UnsupportedError, match=f"^nowhere has no '{verb}': there is no room for {verb} here."
    ) as caught:
        FEW.require(verb, "nowhere")
    assert caught.value.cure


@pytest.mark.parametrize("verb", sorted(ABLE))
def test_a_verb_that_is_declared_is_not_refused(verb: Optional) -> None:
    FEW.require(verb, "nowhere")


def test_a_gap_without_a_reason_and_an_unknown_verb_are_refused() -> None:
    with pytest.raises(SettingsError, match="neither has 'checkpoints' nor says why not"):
        Capabilities(frozenset(), frozenset(), frozenset(), verbs=OPTIONAL - {"checkpoints"})
    with pytest.raises(SettingsError, match="'fly' is not an optional verb"):
        Capabilities(frozenset(), frozenset(), frozenset(), verbs=OPTIONAL | {"fly"})


def test_export_and_its_kinds_are_declared_together() -> None:
    gaps = {verb: reason for verb, reason in GAPS.items() if verb != "export"}
    for verbs, kinds in ((ABLE | {"export"}, frozenset[str]()), (ABLE, frozenset({"adapter"}))):
        with pytest.raises(SettingsError, match="declared together"):
            Capabilities(
                frozenset(),
                frozenset(),
                frozenset(),
                verbs=verbs,
                gaps=gaps if "export" in verbs else GAPS,
                exports=kinds,
            )
