"""`python -m finetune_sdk` is the command `finetune`."""

from finetune_sdk.cli import main

main()
