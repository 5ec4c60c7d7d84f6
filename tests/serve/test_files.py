"""Files: kept as they came, within limits, each its owner's, and gone when they should be."""

from __future__ import annotations

import hashlib
import http.client
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_sdk.serve.errors import ProtocolError
from finetune_sdk.serve.files import Limits
from finetune_sdk.serve.multipart import Begin, Data, End, Multipart
from serving import Said, Served, chats

Serving = Callable[..., Served]
MARK = "xyz"
TYPE = f"multipart/form-data; boundary={MARK}"


def form(*parts: tuple[str, str | None, bytes]) -> bytes:
    """A body of (name, file name, content) parts."""
    whole = b""
    for name, filename, content in parts:
        named = "" if filename is None else f'; filename="{filename}"'
        whole += (
            f'--{MARK}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content + b"\r\n"
        )
    return whole + f"--{MARK}--\r\n".encode()


def sent(served: Served, *parts: tuple[str, str | None, bytes], body: bytes | None = None) -> Said:
    return served.ask("POST", "/files", form(*parts) if body is None else body, headers={"Content-Type": TYPE})


FILE = ("file", "rows.jsonl", chats())
PURPOSE = ("purpose", None, b"fine-tune")


def on_disk(served: Served) -> list[str]:
    return sorted(path.stem for path in (served.home / "serve" / "files").iterdir())


def test_a_file_is_the_same_whatever_order_the_form_has(served: Served) -> None:
    for parts in ((FILE, PURPOSE), (PURPOSE, FILE)):
        made = sent(served, *parts).value
        assert served.ask("GET", f"/files/{made['id']}/content").body == chats()
        assert made["filename"] == "rows.jsonl"


def test_a_file_name_is_shown_and_never_a_path(served: Served) -> None:
    made = sent(served, ("file", "..\\../../etc/évil\x1b.jsonl", chats()), PURPOSE).value
    assert made["filename"] == "évil.jsonl"
    assert on_disk(served) == [made["id"]]


@pytest.mark.parametrize(
    ("parts", "param", "code"),
    [
        ((FILE,), "purpose", "missing_required_parameter"),
        ((PURPOSE,), "file", "missing_required_parameter"),
        ((FILE, ("purpose", None, b"assistants")), "purpose", "invalid_value"),
        ((("file", "rows.csv", b"a,b"), PURPOSE), "file", "invalid_value"),
        ((("file", "rows.jsonl", b""), PURPOSE), "file", "invalid_value"),
        ((FILE, FILE, PURPOSE), "file", "invalid_value"),
        ((FILE, PURPOSE, ("format", None, b"chat")), "format", "unknown_parameter"),
        ((FILE, PURPOSE, ("expires_after[seconds]", None, b"3600")), "expires_after.anchor", "invalid_value"),
        ((FILE, PURPOSE, ("purpose", None, b"fine-tune")), "purpose", "unknown_parameter"),
        ((FILE, PURPOSE, ("expires_after[anchor]", None, b"created_at"), ("expires_after[seconds]", None, b"60")), "expires_after.seconds", "invalid_value"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_form_that_is_wrong_is_refused_and_leaves_nothing(served: Served, parts: Any, param: str, code: str) -> None:
    said = sent(served, *parts)
    assert (said.status, said.error["param"], said.error["code"]) == (400, param, code)
    assert on_disk(served) == []
    assert served.ask("GET", "/files").value["data"] == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        form(FILE, PURPOSE)[:-8],
        form(FILE, PURPOSE).replace(b"form-data", b"attachment"),
        b"--xyz\r\n" + b"x" * 100_000,
        form(*[(f"f{n}", None, b"") for n in range(100)]),
        form(FILE, ("purpose", None, b"x" * 100_000)),
    ],
    ids=["empty", "nonsense", "cut", "no form", "an endless head", "too many parts", "a huge field"],
)
def test_a_body_that_is_no_form_is_refused_and_leaves_nothing(served: Served, body: bytes) -> None:
    said = sent(served, body=body)
    assert 400 <= said.status < 500
    assert said.error["message"]
    assert on_disk(served) == []


def test_a_sender_that_goes_away_leaves_nothing(served: Served) -> None:
    at = urlsplit(served.url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=10)
    connection.putrequest("POST", "/v1/files")
    for name, value in (("Content-Type", TYPE), ("Content-Length", "1000000"), ("Authorization", "Bearer x")):
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(form(FILE, PURPOSE)[:500])
    until = time.monotonic() + 60
    while not on_disk(served) and time.monotonic() < until:
        time.sleep(0.01)
    connection.close()
    while on_disk(served) and time.monotonic() < until:
        time.sleep(0.01)
    assert on_disk(served) == []


def test_a_file_above_the_limit_is_refused_and_the_sender_hears_why(serving: Serving) -> None:
    served = serving(limits=Limits(file=2_000_000))
    with pytest.raises(openai.APIStatusError, match="more than the 2,000,000 bytes") as caught:
        served.upload(b"x" * 20_000_000)
    assert (caught.value.status_code, caught.value.code, caught.value.param) == (413, "too_large", "file")
    assert on_disk(served) == []
    assert served.upload(b"x" * 2_000_000)


def test_json_above_the_limit_is_refused(served: Served) -> None:
    said = served.ask("POST", "/chat/completions", b" " * 17_000_000, headers={"Content-Type": "application/json"})
    assert (said.status, said.error["code"]) == (413, "too_large")


def test_a_page_of_files_follows_the_one_before(served: Served) -> None:
    client = served.client()
    made = [served.upload(chats(24, n)) for n in range(5)]
    assert [file.id for file in client.files.list(limit=2)] == made[::-1]
    assert [file.id for file in client.files.list(limit=2, order="asc")] == made
    assert [file.id for file in client.files.list(purpose="fine-tune-results")] == []
    page = served.ask("GET", f"/files?limit=2&after={made[3]}").value
    assert (page["first_id"], page["last_id"], page["has_more"]) == (made[2], made[1], True)


def test_a_file_is_deleted_at_once_and_kept_for_the_job_that_needs_it(serving: Serving) -> None:
    served = serving(seconds=2)
    client = served.client()
    first, file = served.tune(), served.upload(chats(24, 50))
    second = served.tune(training_file=file)
    assert client.files.delete(file).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file)
    assert file in on_disk(served)
    assert served.ended(first).status == served.ended(second).status == "succeeded"
    until = time.monotonic() + 60
    while file in on_disk(served) and time.monotonic() < until:
        time.sleep(0.01)
    assert file not in on_disk(served)


def test_a_file_that_has_expired_is_gone(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    expiry = (("expires_after[anchor]", None, b"created_at"), ("expires_after[seconds]", None, b"3600"))
    file = sent(served, FILE, PURPOSE, *expiry).value["id"]
    now = time.time()
    monkeypatch.setattr("finetune_sdk.serve.store.time.time", lambda: now + 3601)
    assert served.ask("GET", f"/files/{file}").status == 404
    assert served.service is not None
    served.service.files.sweep()
    assert on_disk(served) == []


def upload(served: Served, size: int, **more: Any) -> str:
    asked = {"bytes": size, "filename": "rows.jsonl", "mime_type": "text/jsonl", "purpose": "fine-tune", **more}
    said = served.ask("POST", "/uploads", asked)
    assert said.status == 200, said.body
    return str(said.value["id"])


def part(served: Served, upload: str, content: bytes) -> Said:
    body = form(("data", "part", content))
    return served.ask("POST", f"/uploads/{upload}/parts", body, headers={"Content-Type": TYPE})


def test_parts_make_up_a_file_in_the_order_named(served: Served) -> None:
    content = chats()
    pieces = [content[:700], content[700:1500], content[1500:]]
    begun = upload(served, len(content))
    ids = [part(served, begun, piece).value["id"] for piece in reversed(pieces)][::-1]
    done = {"part_ids": ids, "md5": hashlib.md5(content, usedforsecurity=False).hexdigest()}
    file = served.ask("POST", f"/uploads/{begun}/complete", done).value["file"]
    assert served.ask("GET", f"/files/{file['id']}/content").body == content
    assert on_disk(served) == [file["id"]]
    assert part(served, begun, b"more").error["code"] == "upload_not_pending"


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"part_ids": ["part_nope"]}, "part_ids"),
        ({"part_ids": []}, "part_ids"),
        ({"part_ids": ["all", "all"]}, "part_ids"),
        ({"part_ids": ["all"], "md5": "0" * 32}, "md5"),
    ],
)
def test_parts_that_are_not_the_file_are_refused_and_can_be_mended(
    served: Served, asked: dict[str, Any], param: str
) -> None:
    begun = upload(served, len(chats()))
    all_of_it = part(served, begun, chats()).value["id"]
    named = {**asked, "part_ids": [all_of_it if one == "all" else one for one in asked["part_ids"]]}
    said = served.ask("POST", f"/uploads/{begun}/complete", named)
    assert (said.status, said.error["param"]) == (400, param)
    right = served.ask("POST", f"/uploads/{begun}/complete", {"part_ids": [all_of_it]})
    assert right.value["status"] == "completed"


def test_an_upload_takes_no_more_than_was_said(serving: Serving) -> None:
    served = serving(limits=Limits(part=1000, upload=3000))
    said = served.ask(
        "POST", "/uploads", {"bytes": 3001, "filename": "a.jsonl", "mime_type": "", "purpose": "fine-tune"}
    )
    assert said.status == 413
    begun = upload(served, 1500)
    assert part(served, begun, b"x" * 1001).status == 413
    told = [part(served, begun, b"x" * 1000).status for _ in range(4)]
    assert told == [200, 200, 200, 413], "each byte may come twice, where an answer was not heard"
    served.ask("POST", f"/uploads/{begun}/cancel")
    assert on_disk(served) == []


def test_an_upload_that_has_expired_is_gone_with_its_parts(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = upload(served, 100)
    part(served, begun, b"x")
    now = time.time()
    monkeypatch.setattr("finetune_sdk.serve.files.time.time", lambda: now + 3601)
    said = served.ask("POST", f"/uploads/{begun}/complete", {"part_ids": ["x"]})
    assert "expired" in said.error["message"]
    assert served.service is not None
    served.service.files.sweep()
    assert on_disk(served) == []


PIECES = st.lists(
    st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.just("f.jsonl")), st.binary(max_size=60)), max_size=4
)


@given(PIECES, st.lists(st.integers(0, 400), max_size=12))
def test_a_form_reads_the_same_however_it_is_cut(parts: list[Any], cuts: list[int]) -> None:
    parts = [(name, file, content.replace(b"\r\n--xyz", b"")) for name, file, content in parts]
    whole = form(*parts) + b"an epilogue"
    ends = [*sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    reader, found = Multipart(TYPE), list[list[Any]]()
    at = 0
    for end in ends:
        for piece in reader.feed(whole[at:end]):
            if isinstance(piece, Begin):
                found.append([piece.name, piece.filename, b"", False])
            elif isinstance(piece, Data):
                found[-1][2] += piece.content
            else:
                assert isinstance(piece, End)
                found[-1][3] = True
        at = end
    assert reader.complete
    assert found == [[*part, True] for part in parts]


@given(st.binary(max_size=300))
def test_whatever_comes_a_form_is_read_or_refused(body: bytes) -> None:
    with suppress(ProtocolError):
        list(Multipart(TYPE).feed(b"--xyz\r\n" + body))
