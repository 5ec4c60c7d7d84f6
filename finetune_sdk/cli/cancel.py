"""finetune cancel: end a run; what is finished is kept."""

from __future__ import annotations

import time

from finetune_sdk.cli.options import AsJson, ConfigPath, RunId
from finetune_sdk.cli.screen import screen

_PATIENCE = 15.0


def cancel(run: RunId, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """End a run. Its finished checkpoints are kept, and `finetune resume` goes on from the last of them."""
    with screen(as_json) as out:
        from finetune_sdk.cli.attach import described
        from finetune_sdk.client import Client

        ending = Client(config=config).get_run(run)
        if ending.status.terminal:
            out.show(f"{ending.id} had ended already: {ending.status}")
        else:
            ending.cancel()
            until = time.monotonic() + _PATIENCE
            while not ending.status.terminal and time.monotonic() < until:
                time.sleep(0.1)
            word = ending.status
            out.show(f"{ending.id} {word if word.terminal else f'was told to end, and is still {word}'}")
        out.answer(described(ending))
