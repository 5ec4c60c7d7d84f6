"""`python -m finetune_sdk.data.part FILE FORMAT START END`: the index of one part of a file, to the process that asked."""

from __future__ import annotations

import sys

from finetune_sdk.data.formats import named
from finetune_sdk.data.index import index_part
from finetune_sdk.data.readers.lines import BUFFER_BYTES

if __name__ == "__main__":
    path, form, start, end = sys.argv[1:]
    with open(path, "rb", buffering=BUFFER_BYTES) as file:
        sys.stdout.buffer.write(index_part(file, named(form), int(start), int(end)).to_bytes())
