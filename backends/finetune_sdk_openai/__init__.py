"""Any place that speaks the OpenAI fine-tuning protocol: OpenAI, Azure, Bedrock, a server of one's own.

`OpenAIBackend` is all that the core sees. The client's packages are imported when a verb needs them.
"""

from finetune_sdk_openai.backend import OpenAIBackend

__all__ = ["OpenAIBackend"]
