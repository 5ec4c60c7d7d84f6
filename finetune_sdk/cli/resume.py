"""finetune resume: go on with a run from its last good checkpoint."""

from __future__ import annotations

from finetune_sdk.cli.options import AsJson, ConfigPath, Detach, MoreCost, RunId
from finetune_sdk.cli.screen import screen


def resume(
    run: RunId,
    max_cost: MoreCost = None,
    config: ConfigPath = None,
    detach: Detach = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that failed, was cancelled, killed or stopped at its cap, and follow it to its end."""
    with screen(as_json) as out:
        from finetune_sdk.cli.attach import described, follow
        from finetune_sdk.client import Client

        going = Client(config=config).get_run(run).resume(max_cost=max_cost)
        if not detach:
            follow(going, out)
            return
        out.show(f"{going.id} goes on by itself; come back with: finetune attach {going.id}")
        out.answer(described(going))
