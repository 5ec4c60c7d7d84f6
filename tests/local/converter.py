"""Stands for llama.cpp's convert_hf_to_gguf.py: the same command line, and a GGUF file of the folder's weights and tokenizer."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

KINDS = {"F32": 0, "F16": 1, "BF16": 30}
OUTTYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16"}


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(given: Any) -> bytes:
    if isinstance(given, bool):
        return struct.pack("<I?", 7, given)
    if isinstance(given, int):
        return struct.pack("<II", 4, given)
    if isinstance(given, str):
        return struct.pack("<I", 8) + text(given)
    return struct.pack("<IIQ", 9, 8, len(given)) + b"".join(map(text, given))


def stored(folder: Path) -> tuple[dict[str, Any], bytes]:
    """The header of the safetensors file, and its data."""
    raw = (folder / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    header.pop("__metadata__", None)
    return header, raw[8 + size :]


def metadata(folder: Path) -> dict[str, Any]:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    vocabulary = dict(tokenizer["model"]["vocab"]) | {one["content"]: one["id"] for one in tokenizer["added_tokens"]}
    return {
        "general.architecture": config["model_type"],
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": sorted(vocabulary, key=lambda token: vocabulary[token]),
        "tokenizer.ggml.eos_token_id": config["eos_token_id"],
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": (folder / "chat_template.jinja").read_text(),
    }


def write(to: Path, said: Mapping[str, Any], header: Mapping[str, Any], data: bytes, outtype: str) -> None:
    assert {one["dtype"] for one in header.values()} == {OUTTYPES[outtype]}
    out = b"GGUF" + struct.pack("<IQQ", 3, len(header), len(said))
    out += b"".join(text(key) + value(given) for key, given in said.items())
    body = b""
    for name, one in header.items():
        shape, (start, end) = list(reversed(one["shape"])), one["data_offsets"]
        out += text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        out += struct.pack("<IQ", KINDS[one["dtype"]], len(body))
        body += data[start:end] + bytes(-(end - start) % 32)
    to.write_bytes(out + bytes(-len(out) % 32) + body)


def main(arguments: list[str], **other: Any) -> None:
    folder, (_, to, _, outtype) = Path(arguments[0]), arguments[1:]
    assert arguments[1::2] == ["--outfile", "--outtype"]
    write(Path(to), metadata(folder) | other, *stored(folder), outtype)


if __name__ == "__main__":
    main(sys.argv[1:])
