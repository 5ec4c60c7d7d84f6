"""Read by every Python that starts with this folder on its path: what a test wants of a worker that it cannot reach.

`DIE_AFTER_STEP` is a step whose report is the last thing that the process says before it is killed. `NETWORK_LOG` is a
file: whoever asks for an address or a connection is written there and refused. `LARGEST_FILE` is the number of bytes after which
the disk is full.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import Any

ASKS = {
    "socket.connect",
    "socket.sendto",
    "socket.sendmsg",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.bind",
}


def die_after(step: int) -> None:
    from finetune_sdk_local.runs import RunFolder

    append = RunFolder.append

    def last_words(self: RunFolder, kind: str, message: str = "", data: Any = None) -> None:
        append(self, kind, message, data)
        if kind == "metrics" and "loss" in data and data["step"] == step:
            os.kill(os.getpid(), signal.SIGKILL)

    RunFolder.append = last_words  # type: ignore[method-assign]


def limit_files(size: int) -> None:
    """As a disk that is full: a larger file cannot be written."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def refuse_the_network(log: str) -> None:
    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ASKS or getattr(arguments[0], "family", None) == socket.AF_UNIX:
            return
        with open(log, "a") as file:
            file.write(f"{' '.join(sys.orig_argv[:4])}: {event} {arguments[1:] or arguments}\n")
        raise OSError(f"{event}: this test allows no network")

    sys.addaudithook(look)


if "DIE_AFTER_STEP" in os.environ:
    die_after(int(os.environ["DIE_AFTER_STEP"]))
if "LARGEST_FILE" in os.environ:
    limit_files(int(os.environ["LARGEST_FILE"]))
if "NETWORK_LOG" in os.environ:
    refuse_the_network(os.environ["NETWORK_LOG"])
