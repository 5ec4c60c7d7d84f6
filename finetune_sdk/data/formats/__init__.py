"""The file formats people have, read into the canonical form and written from it; one file a family.

A format looks at one parsed row at a time: whether a row is its own, the canonical row, and the way back.
"""

from finetune_sdk.data.formats.format import DEFAULTS, FORMATS, Format, detect, named

__all__ = ["DEFAULTS", "FORMATS", "Format", "detect", "named"]
