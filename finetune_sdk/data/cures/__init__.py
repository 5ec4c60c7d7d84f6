"""What can be mended without a person: mechanical cures, each of which says what it did to which row."""

from finetune_sdk.data.cures.fixed import Change, Fixed

__all__ = ["Change", "Fixed"]
