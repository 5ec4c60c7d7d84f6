"""Blind review: people choose between two models' answers on a page of this machine. `finetune review` and docs/review.md.

`box` keeps the votes, `review` says who is shown what, `page` serves it, `guard` says who may ask. Nothing in here fetches anything.
"""

from finetune_sdk.review.review import Review

__all__ = ["Review"]
