"""What this process may use of the machine."""

from __future__ import annotations

import os


def cores() -> int:
    """Processor cores: those that this process is bound to, where the system can say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
