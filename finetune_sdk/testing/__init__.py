"""For tests: the kit that every backend passes, and a fake backend. Nothing outside tests imports this room.

`FakeBackend` needs no pytest; `BackendConformance` brings it in on first use.
"""

from typing import TYPE_CHECKING, Any

from finetune_sdk.errors import MissingDependencyError
from finetune_sdk.testing.fake import FakeBackend

if TYPE_CHECKING:
    from finetune_sdk.testing.conformance import BackendConformance

__all__ = ["BackendConformance", "FakeBackend"]


def __getattr__(name: str) -> Any:
    if name != "BackendConformance":
        raise AttributeError(f"module 'finetune_sdk.testing' has no attribute {name!r}")
    try:
        import pytest
    except ModuleNotFoundError:
        raise MissingDependencyError("pytest, which runs the conformance kit,", extra="dev") from None
    pytest.register_assert_rewrite(
        *(f"{__name__}.{room}" for room in ("conformance", "promises_before", "promises_runs", "promises_verbs"))
    )
    from finetune_sdk.testing.conformance import BackendConformance

    return BackendConformance
