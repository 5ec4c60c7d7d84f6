"""What `tiny` reads: conversations written by this program alone, the same ones for the same seed.

Nothing from outside enters: no file, no network, no other model's text. `python -m finetune_sdk_local.tiny.corpus` shows some.
"""

import random
from collections.abc import Callable, Iterator

from finetune_sdk_local.tiny import drills, lexicon
from finetune_sdk_local.tiny import tasks_shop as shop
from finetune_sdk_local.tiny import tasks_tools as tools
from finetune_sdk_local.tiny import tasks_world as world
from finetune_sdk_local.tiny.long import long_talk
from finetune_sdk_local.tiny.talks import Talk
from finetune_sdk_local.tiny.tasks_reading import reading

Task = Callable[[random.Random], Talk]
Mixture = tuple[tuple[Task, float], ...]

MIXTURE: Mixture = (
    (shop.sort_message, 13), (shop.gist, 7), (shop.is_it, 4), (shop.same_reason, 2), (shop.tone, 6), (shop.find_one, 9), (shop.to_json, 14), (shop.reply, 3),
    (shop.made_up_labels, 3), (lexicon.sort_words, 12), (lexicon.urgency_words, 3), (lexicon.neighbours, 2), (world.fact, 4), (world.arithmetic, 2), (world.lists, 4), (world.copying, 8), (world.rewrite, 2), (world.odd_one, 2), (reading, 5),
    (world.sentiment, 3), (world.pattern, 4), (world.small_talk, 1), (tools.tool_call, 3), (tools.tool_by_name, 2), (tools.device, 2), (tools.route, 1),
)  # fmt: skip


# The second half of the training adds the drills: many labelled sentences for few tokens, once copying and formats are known.
WITH_DRILLS: Mixture = (*drills.ALL, *((task, weight / 2) for task, weight in MIXTURE))


def talks(seed: int, mixture: Mixture = MIXTURE) -> Iterator[Talk]:
    """Conversations without end, drawn from the mixture."""
    rng = random.Random(seed)
    tasks, weights = zip(*mixture, strict=True)
    while True:
        yield rng.choices(tasks, weights)[0](rng)


def long_talks(seed: int) -> Iterator[Talk]:
    """Conversations without end whose question stands behind some 1,000 to 4,000 tokens of other text."""
    rng = random.Random(seed)
    while True:
        yield long_talk(rng)


if __name__ == "__main__":
    from itertools import islice

    for shown in islice(talks(0), 40):
        print(
            *(
                f"{message['role']}: {message.get('content')} {message.get('tool_calls', '')}"
                for message in shown.messages
            ),
            sep="\n",
            end="\n\n",
        )
