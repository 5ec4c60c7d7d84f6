"""What a figure was measured on: the heading of every table."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "trl", "peft", "orjson")


def machine() -> dict[str, Any]:
    """Processor, cores, memory, card, date and versions."""
    return {
        "cores": os.cpu_count(),
        "shared": "hypervisor" in _cpu("flags").split(),
        "processor": _cpu("model name") or platform.processor() or platform.machine(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpu": Path("/dev/nvidia0").exists(),
        "system": platform.system(),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {"python": platform.python_version(), **_versions()},
    }


def heading(found: dict[str, Any]) -> str:
    """One line: `2 shared cores (AMD EPYC), 25 GB, no GPU, Linux; 2026-11-22; python 3.11.7, torch 2.13.0, …`."""
    cores = f"{found['cores']} {'shared ' if found['shared'] else ''}cores"
    gpu = "a GPU that was not used" if found["gpu"] else "no GPU"
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    memory = f"{found['memory_bytes'] / 1e9:.0f} GB"
    return f"{cores}, {gpu} ({found['processor']}, {memory}, {found['system']}); {found['date']}; {versions}"


def _cpu(field: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found
