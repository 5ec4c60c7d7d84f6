"""finetune doctor: what this machine can do, and what is missing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from finetune_sdk.cli.options import AsJson, BackendName, ConfigPath
from finetune_sdk.cli.screen import Screen, screen, table

if TYPE_CHECKING:
    from finetune_sdk.settings import Settings

_DISTRIBUTION = "finetune-anywhere"


def doctor(backend: BackendName = None, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Say what this machine can do and what is missing, with the line that installs it.

    The exit status is 1 only where nothing can run.
    """
    with screen(as_json) as out:
        from finetune_sdk.settings import Settings

        settings = Settings.load(backend, file=config)
        extras = _extras()
        found: dict[str, Any] = {
            "machine": _machine(settings.home),
            "settings": _settings(settings, config),
            "ledger": _ledger(settings),
            "extras": extras,
            "backends": _backends(settings, extras),
        }
        able = [name for name, said in found["backends"].items() if said["loads"] and name != "fake"]
        chosen = found["backends"].get(settings.backend, {"loads": False})
        found["can_run"] = found["ledger"]["writable"] and bool(able or chosen["loads"])
        _show(found, out)
        out.answer(found)
    if not found["can_run"]:
        raise typer.Exit(1)


def _machine(home: Path) -> dict[str, Any]:
    from finetune_sdk import __version__
    from finetune_sdk.machine import cores

    standing = next(folder for folder in (home, *home.parents) if folder.exists())
    total, free = _memory()
    return {
        "finetune-anywhere": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "system": platform.platform(),
        "cores": cores(),
        "memory_bytes": total,
        "memory_free_bytes": free,
        "disk_free_bytes": shutil.disk_usage(standing).free,
        "gpus": _gpus(),
    }


def _memory() -> tuple[int | None, int | None]:
    """Total and free, in bytes; a container's limit counts where it is lower."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None, None
    free = _read_kib("/proc/meminfo", r"MemAvailable:\s+(\d+) kB")
    limit, used = (_read_bytes(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if limit is not None and limit < total:
        return limit, limit - (used or 0)
    return total, free


def _read_kib(path: str, pattern: str) -> int | None:
    try:
        found = re.search(pattern, Path(path).read_text("ascii"))
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _read_bytes(path: str) -> int | None:
    try:
        return int(Path(path).read_text("ascii"))
    except (OSError, ValueError):
        return None


def _gpus() -> list[str]:
    """As the driver's own tool tells; whether they can be used is the backend's to say."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in said.splitlines() if line.strip()]


def _settings(settings: Settings, config: Path | None) -> dict[str, Any]:
    """What is set and where it comes from. Of a place's table only the keys: a value may be a secret."""

    return {
        "file": str(settings.file) if settings.file else None,
        "backend": settings.backend,
        "backend_from": settings.backend_from,
        "home": str(settings.home),
        "home_from": settings.home_from,
        "places": {name: sorted(options) for name, options in settings.places.items()},
    }


def _ledger(settings: Settings) -> dict[str, Any]:
    from finetune_sdk.errors import SettingsError
    from finetune_sdk.ledger import Ledger

    path = settings.home / "ledger.sqlite"
    try:
        known = len(Ledger(settings.home).entries())
    except SettingsError as fault:
        return {"path": str(path), "writable": False, "problem": fault.message, "cure": fault.cure}
    return {"path": str(path), "writable": True, "submissions": known}


def _extras() -> dict[str, Any]:
    """Each extra's packages with their versions, None for one that is not installed, and the line that installs it."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        required = requires(_DISTRIBUTION) or []
    except PackageNotFoundError:
        required = []
    extras: dict[str, dict[str, str | None]] = {}
    for line in required:
        named = re.match(r"([A-Za-z0-9._-]+).*;\s*extra\s*==\s*['\"]([\w-]+)['\"]", line)
        if named and named[2] not in ("all", "dev"):
            extras.setdefault(named[2], {})[named[1]] = _version(named[1])
    return {
        name: {
            "packages": packages,
            "installed": None not in packages.values(),
            "install": f"pip install '{_DISTRIBUTION}[{name}]'",
        }
        for name, packages in extras.items()
    }


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _backends(settings: Settings, extras: dict[str, Any]) -> dict[str, Any]:
    from importlib.metadata import entry_points

    from finetune_sdk.backend import GROUP

    installed = {point.name for point in entry_points(group=GROUP)}
    names = sorted(installed | settings.places.keys() | {settings.backend})
    return {name: _backend(name, settings, extras.get(name, {})) for name in names}


def _backend(name: str, settings: Settings, extra: dict[str, Any]) -> dict[str, Any]:
    """Whether a backend loads, and what it says of itself where it has a `doctor`."""
    from finetune_sdk.backend import Place, open_backend
    from finetune_sdk.errors import FinetuneError, SettingsError

    missing = [package for package, version in extra.get("packages", {}).items() if version is None]
    if missing:
        return {"loads": False, "problem": f"{', '.join(missing)} missing", "cure": extra["install"]}
    try:
        opened = open_backend(Place(name, settings.place(name), settings.home))
        says = getattr(opened, "doctor", None)
        said = dict(says()) if says is not None else {}
        can = opened.capabilities
    except FinetuneError as fault:
        asked_for = name in settings.places or name == settings.backend
        unset = isinstance(fault, SettingsError) and not asked_for
        return {"loads": False, "problem": fault.message, "cure": fault.cure, **({"unset": True} if unset else {})}
    except Exception as fault:  # a stranger's plugin may fail in any way
        return {"loads": False, "problem": f"{type(fault).__name__}: {fault}", "cure": "report this to its author"}
    return {"loads": True, "methods": sorted(can.methods), "adapters": sorted(can.adapters), "says": said}


def _show(found: dict[str, Any], out: Screen) -> None:
    from finetune_sdk.estimate import quantity

    machine, settings, ledger = found["machine"], found["settings"], found["ledger"]
    memory, free = machine["memory_bytes"], machine["memory_free_bytes"]
    told = f"{quantity(memory, 'bytes')}" if memory else "unknown"
    rows = [
        ("finetune", f"{machine['finetune-anywhere']} on Python {machine['python']} ({machine['executable']})"),
        ("machine", f"{machine['cores']} cores, {machine['system']}"),
        ("memory", f"{told}, {quantity(free, 'bytes')} free" if free else told),
        ("disk", f"{quantity(machine['disk_free_bytes'], 'bytes')} free"),
        ("gpu", "; ".join(machine["gpus"]) or "none seen by nvidia-smi"),
        ("settings", settings["file"] or "no finetune.toml here or above"),
        ("backend", f"{settings['backend']} (from {settings['backend_from']})"),
        ("home", f"{settings['home']} (from {settings['home_from']})"),
        ("ledger", f"writable, {ledger['submissions']} submissions" if ledger["writable"] else ledger["problem"]),
    ]
    out.show(table(("", ""), rows))
    for name, said in found["backends"].items():
        if said["loads"]:
            facts = "; ".join(f"{key}: {_word(value)}" for key, value in said["says"].items())
            able = f"{', '.join(said['methods'])} with {', '.join(said['adapters']) or 'weights of its own choice'}"
            out.show(f"✓ {name} can do {able}{f' ({facts})' if facts else ''}")
        elif said.get("unset"):
            out.show(f"– {name} is not set up here; it needs a table [backends.{name}]")
        else:
            out.show(f"✗ {name}: {said['problem']}", f"  cure: {said['cure']}")
    for name, extra in found["extras"].items():
        missing = [package for package, version in extra["packages"].items() if version is None]
        if missing:
            out.show(f"✗ extra {name}: {', '.join(missing)} missing", f"  cure: {extra['install']}")
        else:
            out.show(f"✓ extra {name}: {', '.join(f'{p} {v}' for p, v in extra['packages'].items())}")
    out.show("ready" if found["can_run"] else "nothing can run here yet")


def _word(value: str | bool) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
