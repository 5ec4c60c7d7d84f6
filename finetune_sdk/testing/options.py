"""What a fake place is told in its settings: what it has, what it charges, and which faults it plays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from difflib import get_close_matches
from typing import Any

from finetune_sdk.backend import Place
from finetune_sdk.errors import JobError, SettingsError
from finetune_sdk.job import Adapter, Full, LoRA, QLoRA

_ADAPTERS: Mapping[str, Callable[..., Adapter]] = {"lora": LoRA, "qlora": QLoRA, "full": Full}
_OWN = ("learning_rate_multiplier",)
_FAULTS = ("", "before", "after")


@dataclass(frozen=True, slots=True)
class Options:
    """`seconds` a whole run takes; `usd_per_million` tokens, None for a price that nobody knows, `priced` on a date.

    `without` takes capabilities away ("dpo", "qlora", "epochs", "resume", …). Faults: `hang_up` "before" or "after" the
    run was made (a BackendError), `dies` likewise (SIGKILL to the asking process), `visible_after` seconds until `find`
    shows a run, `fails_at` this share of the steps (once; a resumed run goes through), `running_as` a status of its
    own, `careless`: a place that makes a second run for a token it has seen. `sft` and `dpo` hold the place's own words.
    `overrun` is how many times the estimated time and tokens a run takes, and `slow` how many times the time. `api_key` is a key that opens nothing, and that nothing may show.
    """

    base: str = "echo"
    adapter: Adapter = field(default_factory=LoRA)
    seconds: float = 0.3
    usd_per_million: float | None = 0.0
    priced: date = date(2026, 8, 1)
    minimum_rows: int = 10
    without: frozenset[str] = frozenset()
    hang_up: str = ""
    dies: str = ""
    visible_after: float = 0.0
    fails_at: float | None = None
    running_as: str = "running"
    careless: bool = False
    overrun: float = 1.0
    slow: float = 1.0
    api_key: str = field(default="", repr=False)
    sft: Mapping[str, Any] = field(default_factory=dict)
    dpo: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, place: Place) -> Options:
        """The options of a place. Raises SettingsError for a name that nothing reads, and for nonsense."""
        known = [option.name for option in fields(cls)]
        given = {name: value for name, value in place.options.items() if name != "kind"}
        for name in given:
            if name not in known:
                raise _unread(place, name, known)
        for name, read in _READERS.items():
            if name in given:
                given[name] = read(place, name, given[name])
        return cls(**given)


def _unread(place: Place, name: str, known: list[str]) -> SettingsError:
    near = get_close_matches(name, known, 1)
    return SettingsError(
        f"[backends.{place.name}]: the key {name!r} is read by nothing.",
        cure=f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(known)}",
    )


def _nonsense(place: Place, name: str, value: object, wanted: str) -> SettingsError:
    return SettingsError(f"[backends.{place.name}]: {name} = {value!r} makes no sense.", cure=f"give {wanted}")


def _number(place: Place, name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise _nonsense(place, name, value, "a number of 0 or more")
    return float(value)


def _price(place: Place, name: str, value: object) -> float | None:
    return None if value == "unknown" else _number(place, name, value)


def _whole(place: Place, name: str, value: object) -> int:
    if not _number(place, name, value) < 2**31:
        raise _nonsense(place, name, value, "a whole number")
    return int(_number(place, name, value))


def _text(place: Place, name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _nonsense(place, name, value, "a text")
    return value


def _key(place: Place, name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _nonsense(place, name, "…", "a text")
    return value


def _flag(place: Place, name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _nonsense(place, name, value, "true or false")
    return value


def _fault(place: Place, name: str, value: object) -> str:
    if value not in _FAULTS:
        raise _nonsense(place, name, value, '"before" or "after"')
    return str(value)


def _date(place: Place, name: str, value: object) -> date:
    try:
        return value if isinstance(value, date) else date.fromisoformat(str(value))
    except ValueError:
        raise _nonsense(place, name, value, "a date, as in 2026-08-01") from None


def _names(place: Place, name: str, value: object) -> frozenset[str]:
    if isinstance(value, str) or not isinstance(value, list | tuple | frozenset):
        raise _nonsense(place, name, value, "a list of names")
    return frozenset(map(str, value))


def _adapter(place: Place, name: str, value: object) -> Adapter:
    kinds = ", ".join(_ADAPTERS)
    if not isinstance(value, Mapping) or str(value.get("kind")) not in _ADAPTERS:
        raise _nonsense(place, name, value, f'{{ kind = "lora", rank = 16 }}; kinds are {kinds}')
    table = {key: tuple(item) if isinstance(item, list) else item for key, item in value.items() if key != "kind"}
    try:
        return _ADAPTERS[value["kind"]](**table)
    except (TypeError, JobError) as fault:
        raise _nonsense(place, name, dict(value), f"an adapter as a job would have it ({fault})") from None


def _own(place: Place, name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _nonsense(place, name, value, "a table")
    for word in value:
        if word not in _OWN:
            raise _unread(place, word, list(_OWN))
    return {word: _number(place, word, figure) for word, figure in value.items()}


_READERS = {
    "base": _text,
    "adapter": _adapter,
    "seconds": _number,
    "usd_per_million": _price,
    "priced": _date,
    "minimum_rows": _whole,
    "without": _names,
    "hang_up": _fault,
    "dies": _fault,
    "visible_after": _number,
    "fails_at": _number,
    "running_as": _text,
    "careless": _flag,
    "overrun": _number,
    "slow": _number,
    "api_key": _key,
    "sft": _own,
    "dpo": _own,
}
