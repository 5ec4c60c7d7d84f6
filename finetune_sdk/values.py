"""What a number or a word of a job may be: each check raises JobError naming the value and the cure."""

from __future__ import annotations

from finetune_sdk.errors import JobError

_MOST = 2**31


def numbers(owner: object, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise JobError(f"{type(owner).__name__}({name}={value!r}) makes no sense.", cure=f"give {name} a number")


def positive(owner: object, *names: str) -> None:
    numbers(owner, *names)
    for name in names:
        value = getattr(owner, name)
        if value is not None and not 0 < value < _MOST:
            raise JobError(
                f"{type(owner).__name__}({name}={_short(value)}) makes no sense.",
                cure=f"give {name} more than 0{'' if value <= 0 else f', and less than {_MOST:,}'}",
            )


def _short(value: float) -> str:
    return str(value) if abs(value) < 1e15 else f"{value:.3g}" if abs(value) < 1e300 else "a huge number"


def whole(owner: object, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise JobError(
                f"{type(owner).__name__}({name}={value!r}) makes no sense.", cure=f"give {name} a whole number"
            )


def one_of(owner: object, name: str, allowed: tuple[str, ...]) -> None:
    value = getattr(owner, name)
    if value is not None and value not in allowed:
        raise JobError(f"{type(owner).__name__}({name}={value!r}) makes no sense.", cure=f"use {', '.join(allowed)}")


def share(owner: object, *names: str) -> None:
    numbers(owner, *names)
    for name in names:
        value = getattr(owner, name)
        if value is not None and not 0 <= value < 1:
            raise JobError(
                f"{type(owner).__name__}({name}={value}) makes no sense.", cure=f"give {name} from 0 up to, not with, 1"
            )
