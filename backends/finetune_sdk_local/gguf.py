"""GGUF, which llama.cpp and Ollama read: made by llama.cpp's own converter, and read again before it is published.

The format is that of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from finetune_sdk.errors import BackendError, RunError, SettingsError

NAMES = ("convert_hf_to_gguf.py", "convert-hf-to-gguf")
OUTTYPES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_BYTES = {0: 4, 1: 2, 30: 2}  # of a number of the tensor types F32, F16, BF16
_MOST = 1 << 28  # items, or bytes of a text: a count beyond that is no count


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says of itself. `tensors` has their shapes, the fastest dimension first."""

    metadata: Mapping[str, Any]
    tensors: Mapping[str, tuple[int, ...]]

    @property
    def parameters(self) -> int:
        return sum(prod(shape) for shape in self.tensors.values())


def converter(setting: str | None) -> list[str]:
    """The command that converts. Raises SettingsError where there is none."""
    found = setting or next((path for name in NAMES if (path := shutil.which(name))), None)
    file = Path(found).expanduser() if found else None
    if file is None or not file.is_file():
        missing = f"gguf_converter = {setting!r} is no file" if setting else f"there is no {NAMES[0]} on the PATH"
        raise SettingsError(
            f"GGUF is made by llama.cpp's converter, and {missing}.",
            cure="get llama.cpp (git clone https://github.com/ggml-org/llama.cpp), `pip install gguf sentencepiece protobuf`, and set "
            "gguf_converter under [backends.local] to its convert_hf_to_gguf.py",
        )
    return [sys.executable, str(file.resolve())] if file.suffix == ".py" else [str(file.resolve())]


def convert(command: Sequence[str], folder: Path, to: Path, dtype: str) -> Header:
    """The model of a folder as one GGUF file, in the dtype that it has. Raises BackendError with the converter's last word."""
    asked = [*command, str(folder), "--outfile", str(to), "--outtype", OUTTYPES.get(dtype, "auto")]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
    except OSError as fault:
        raise _failed(command, str(fault.strerror or fault)) from None
    said = (done.stderr or done.stdout).strip().splitlines()
    if done.returncode != 0:
        raise _failed(command, said[-1] if said else f"it ended with {done.returncode} and without a word")
    if not to.is_file():
        raise _failed(command, f"it wrote no {to.name}")
    return header(to)


def _failed(command: Sequence[str], why: str) -> BackendError:
    return BackendError(
        f"the converter {command[-1]} failed: {why}",
        cure='see whether a newer llama.cpp knows this base; kind="merged" and "adapter" need no converter',
    )


def header(file: Path) -> Header:
    """Raises RunError for a file that is no GGUF, or is cut."""
    try:
        with file.open("rb") as opened:
            return _header(opened, file.stat().st_size)
    except (struct.error, UnicodeDecodeError, KeyError, ValueError) as fault:
        raise RunError(f"{file.name} is not a whole GGUF file: {fault}.", cure="convert it again") from None


def _header(file: BinaryIO, size: int) -> Header:
    magic, version = file.read(4), _one(file, "I")
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError(f"it begins with {magic!r}, version {version}")
    count, pairs = _one(file, "Q"), _one(file, "Q")
    metadata = {_text(file): _value(file, _one(file, "I")) for _ in range(_sane(pairs))}
    shapes, ends = dict[str, tuple[int, ...]](), [0]
    for _ in range(_sane(count)):
        name = _text(file)
        shape = tuple(_one(file, "Q") for _ in range(_sane(_one(file, "I"))))
        kind, offset = _one(file, "I"), _one(file, "Q")
        shapes[name] = shape
        ends.append(offset + prod(shape) * _BYTES.get(kind, 0))
    align = int(metadata.get("general.alignment", 32))
    begins = -(-file.tell() // align) * align
    if begins + max(ends) > size:
        raise ValueError(f"its tensors end at byte {begins + max(ends)}, and it has {size}")
    return Header(metadata, shapes)


def _one(file: BinaryIO, form: str) -> Any:
    return struct.unpack(f"<{form}", file.read(struct.calcsize(f"<{form}")))[0]


def _text(file: BinaryIO) -> str:
    return file.read(_sane(_one(file, "Q"))).decode()


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _TEXT:
        return _text(file)
    if kind == _ARRAY:
        inner, count = _one(file, "I"), _sane(_one(file, "Q"))
        return [_value(file, inner) for _ in range(count)]
    return _one(file, _SCALARS[kind])


def _sane(count: int) -> int:
    if count > _MOST:
        raise ValueError(f"it counts {count} items")
    return count


def fault(found: Header, tokenizer: Any, ends: Sequence[int]) -> str | None:
    """Why a server that reads the file would not ask, or end, as training did; None where it would."""
    said = found.metadata
    if said.get("tokenizer.chat_template") != tokenizer.chat_template:
        return "its chat template is another one"
    tokens = said.get("tokenizer.ggml.tokens", ())
    if len(tokens) < len(tokenizer):
        return f"it has {len(tokens)} tokens where the tokenizer has {len(tokenizer)}"
    end = said.get("tokenizer.ggml.eos_token_id")
    if end not in ends:
        return f"it ends answers at token {end}, and the model at {', '.join(map(str, ends))}"
    if not found.tensors:
        return "it holds no tensors"
    return None


def adds_bos(found: Header) -> bool:
    """Whether a server that reads the file puts a BOS before each prompt."""
    spm = found.metadata.get("tokenizer.ggml.model") == "llama"
    return bool(found.metadata.get("tokenizer.ggml.add_bos_token", spm))
