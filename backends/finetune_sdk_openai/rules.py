"""What the protocol's places reject or cut in training data, found here before anything is uploaded.

The rules are those of OpenAI's guides as of 2026-11-22; other places that speak the protocol may allow more, so what is
only OpenAI's is an error there and a warning elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

from finetune_sdk.backend import Resolved
from finetune_sdk.data.checks import Finding
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.job import RFT
from finetune_sdk.messages import ChatExample, Example, Message, PreferenceExample, TaskExample
from finetune_sdk_openai.addresses import Address
from finetune_sdk_openai.graders import templates
from finetune_sdk_openai.tokens import images
from finetune_sdk_openai.volumes import Volume

LEAST_ROWS = 10
MOST_IMAGE_ROWS = 50_000
MOST_IMAGES = {"openai": 10, "azure": 64}
LARGEST_IMAGE = 10 * 10**6
SHOWN = 20
_PICTURES = ("jpeg", "jpg", "png", "webp")
Rule = Callable[[Example], str | None]


def check(
    resolved: Resolved, address: Address, counted: Sequence[tuple[Dataset, Volume]], limit: int | None
) -> list[Finding]:
    job = resolved.job
    strict: Literal["error", "warning"] = "error" if address.official or address.kind == "azure" else "warning"
    found = list(_rows(job.train, strict))
    for data, volume in counted:
        found += _broken(data, address)
        found += _cut(data, volume, limit)
        found += _pictures(data, address, strict)
    if isinstance(job.method, RFT):
        found += _graded(job.train, resolved.own["grader"])
    return found


def _rows(train: Dataset, severity: Literal["error", "warning"]) -> Iterator[Finding]:
    if len(train) < LEAST_ROWS:
        yield Finding(
            "rows",
            severity,
            f"{train.name} has {len(train)} rows, and OpenAI takes {LEAST_ROWS} or more (as of 2026-11-22).",
            f"add {LEAST_ROWS - len(train)} rows",
        )


def _broken(data: Dataset, address: Address) -> Iterator[Finding]:
    """Rows of a shape that is refused after the upload, each fault once with its lines."""
    faults: dict[tuple[str, str], list[int]] = {}
    for index, example in enumerate(data):
        for fault in _faults(example):
            faults.setdefault(fault, []).append(index)
    for (what, cure), rows in faults.items():
        yield Finding(
            "protocol",
            "error",
            f"{data.where(rows[0])}: {what}" + (f" (and {len(rows) - 1} more such rows)." if len(rows) > 1 else "."),
            cure,
            tuple(data.line(row) for row in rows[:SHOWN]),
            len(rows),
        )


def _faults(example: Example) -> Iterator[tuple[str, str]]:
    if isinstance(example, ChatExample):
        yield from _chat_faults(example)
    elif isinstance(example, PreferenceExample):
        yield from _pair_faults(example)
    elif isinstance(example, TaskExample):
        roles = sorted({message.role for message in example.prompt.messages} - {"developer", "user"})
        if roles:
            yield (
                f"a message from {roles[0]!r}, and reinforcement takes developer and user alone",
                "call system messages developer, and leave answers out",
            )


def _chat_faults(example: ChatExample) -> Iterator[tuple[str, str]]:
    learnt = [m for m in example.messages if m.role == "assistant" and m.weight != 0]
    if not learnt:
        yield "no assistant message is trained, so nothing would be learnt", "give one, or a weight of 1"
    if all(_empty(message) for message in learnt) and learnt:
        yield "every answer is empty, so nothing would be learnt", "fill the answer in, or remove the row"
    for message in example.messages:
        if message.weight not in (None, 0, 1):
            yield f"a weight of {message.weight}, and the protocol knows 0 and 1", "make it 0 or 1"
        if message.role == "assistant" and images(message):
            yield "a picture in an answer, and only questions can hold one", "take the picture out of the answer"


def _empty(message: Message) -> bool:
    return not message.text.strip() and not message.tool_calls and not message.refusal


def _pair_faults(example: PreferenceExample) -> Iterator[tuple[str, str]]:
    for side, answer in (("chosen", example.chosen), ("rejected", example.rejected)):
        if len(answer) != 1 or answer[0].role != "assistant":
            yield f"the {side} answer is not one assistant message", "give one turn of the assistant on each side"
        elif not answer[0].text.strip():
            yield f"the {side} answer has no text, and a preference is about text", "give it as text"
    if any(
        images(message) or _not_text(message)
        for message in (*example.prompt.messages, *example.chosen, *example.rejected)
    ):
        yield "something else than text, and a preference is about text", "remove the row, or describe it in words"
    if not example.prompt.messages or example.prompt.messages[-1].role == "assistant":
        yield "the prompt ends with an answer", "let it end with the user's message"


def _not_text(message: Message) -> bool:
    content = message.content
    return not isinstance(content, str | None) and any(part.get("type") not in ("text", "refusal") for part in content)


def _cut(data: Dataset, volume: Volume, limit: int | None) -> Iterator[Finding]:
    if not volume.cuts:
        return
    rows, one = volume.cuts, volume.cuts == 1
    yield Finding(
        "cut",
        "warning",
        f"{rows} {'row' if one else 'rows'} of {data.name} {'is' if one else 'are'} longer than "
        f"{limit:,} tokens (the longest has {volume.longest:,}) and will be cut at the end without a word.",
        "shorten them, or split them into several rows",
        tuple(data.line(row) for row in volume.cut[:SHOWN]),
        rows,
    )


def _pictures(data: Dataset, address: Address, severity: Literal["error", "warning"]) -> Iterator[Finding]:
    most = MOST_IMAGES["azure" if address.kind == "azure" else "openai"]
    with_images, many, odd = [], list[int](), dict[str, list[int]]()
    for index, example in enumerate(data):
        parts = list(_images(example))
        if not parts:
            continue
        with_images.append(index)
        if len(parts) > most:
            many.append(index)
        for fault in filter(None, map(_odd, parts)):
            odd.setdefault(fault, []).append(index)
    if len(with_images) > MOST_IMAGE_ROWS:
        yield Finding(
            "pictures", severity, f"{data.name} has {len(with_images):,} rows with pictures, and {MOST_IMAGE_ROWS:,} are taken.",
            "leave some out",
        )  # fmt: skip
    if many:
        yield Finding(
            "pictures", severity, f"{data.where(many[0])}: more than {most} pictures in one row ({len(many)} such rows).",
            "leave some out", tuple(data.line(row) for row in many[:SHOWN]), len(many),
        )  # fmt: skip
    for fault, rows in odd.items():
        yield Finding(
            "pictures", severity, f"{data.where(rows[0])}: {fault} ({len(rows)} in all).",
            "give JPEG, PNG or WEBP of at most 10 MB, as a data or an https address",
            tuple(data.line(row) for row in rows[:SHOWN]), len(rows),
        )  # fmt: skip


def _images(example: Example) -> Iterator[Any]:
    if isinstance(example, ChatExample):
        for message in example.messages:
            if message.content is not None and not isinstance(message.content, str):
                yield from (part["image_url"] for part in message.content if part.get("type") == "image_url")


def _odd(image: Any) -> str | None:
    url = str(image.get("url", "")) if isinstance(image, dict) else str(image)
    if url.startswith("data:"):
        kind, _, data = url[5:].partition(";base64,")
        if kind.removeprefix("image/").lower() not in _PICTURES:
            return f"a picture of the kind {kind[:40]!r}"
        return "a picture of more than 10 MB" if len(data) * 3 // 4 > LARGEST_IMAGE else None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return f"a picture at {url[:40]!r}, which is no address"
    ending = parts.path.rpartition(".")[2].lower()
    known_other = {"gif", "bmp", "tif", "tiff", "svg", "heic", "avif", "pdf"}
    return f"a picture of the kind {ending!r}" if ending in known_other else None


def _graded(train: Dataset, grader: dict[str, Any]) -> Iterator[Finding]:
    wanted = templates(grader)
    lacking = {
        index: sorted(wanted - example.reference.keys())
        for index, example in enumerate(train)
        if isinstance(example, TaskExample) and not wanted <= example.reference.keys()
    }
    if lacking:
        rows = list(lacking)
        yield Finding(
            "grader",
            "error",
            f"{train.where(rows[0])}: the grader reads item.{lacking[rows[0]][0]}, which the row does not have ({len(rows)} such rows).",
            "give every row that key, or mend the grader",
            tuple(train.line(row) for row in rows[:SHOWN]),
            len(rows),
        )
