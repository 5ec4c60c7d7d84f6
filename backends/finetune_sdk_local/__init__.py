"""Local training on this machine: torch, transformers, peft, bitsandbytes; on CUDA, MPS or a CPU.

`LocalBackend` is all that the core sees. Heavy packages are imported when a verb needs them.
"""

from finetune_sdk_local.backend import LocalBackend

__all__ = ["LocalBackend"]
