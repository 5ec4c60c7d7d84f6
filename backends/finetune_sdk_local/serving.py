"""The command lines that serve an exported folder elsewhere: vLLM and TGI read it as it is, llama.cpp and Ollama as GGUF."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from finetune_sdk_local import bases

# The ranks that vLLM makes room for.
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


def lines(folder: Path, manifest: Mapping[str, Any]) -> dict[str, str]:
    """By the name of a server, what to run."""
    where, name = quote(str(folder)), quote(folder.name)
    if manifest["kind"] == "gguf":
        file = quote(str(folder / "model.gguf"))
        found = {"llama.cpp": f"llama-server --model {file} --alias {name} --jinja"}
        if "Modelfile" in manifest["files"]:
            made = quote(str(folder / "Modelfile"))
            found["ollama"] = f"ollama create {name} -f {made} && ollama run {name}"
        return found
    if manifest["kind"] != "adapter":
        return {
            "vllm": f"vllm serve {where} --served-model-name {name}",
            "tgi": f"text-generation-launcher --model-id {where}",
            "ollama": "finetune export RUN --to FOLDER --kind gguf  # then as that says",
        }
    if manifest["adapter"]["kind"] in ("prompt_tuning", "prefix_tuning"):
        return dict.fromkeys(
            ("vllm", "tgi", "ollama"), "finetune serve  # it has no virtual tokens to put before a prompt"
        )
    if manifest["adapter"].get("dora"):
        merge = "finetune export RUN --to FOLDER --kind merged  # then as that says: it loads no adapter with DoRA"
        return dict.fromkeys(("vllm", "tgi", "ollama"), merge)
    base = _base(manifest)
    rank = int(manifest["adapter"]["rank"])
    room = next((size for size in _RANKS if size >= rank), rank)
    return {
        "vllm": f"vllm serve {base} --enable-lora --max-lora-rank {room} --lora-modules {name}={where}",
        "tgi": f"LORA_ADAPTERS={name}={where} text-generation-launcher --model-id {base}",
        "ollama": "finetune export RUN --to FOLDER --kind gguf  # then as that says: Ollama's own base would be another one",
    }


def _base(manifest: Mapping[str, Any]) -> str:
    """The base, of a hub's model with its commit."""
    where, commit = bases.locate(str(manifest["base"])), manifest["weights"]
    return quote(where) if Path(where).is_dir() else f"{quote(where)} --revision {quote(str(commit))}"
