"""Bad files: each is named with a cure, costs little memory, and none ends in a traceback."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import DatasetError
from rows import chat
from samples import CSV, FILLED, GOOD, USER, parquet


def zipped(content: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("rows.jsonl", content)
    return out.getvalue()


PACKED = gzip.compress(f"{GOOD}\n".encode() * 1000)
# Whole files: what they are called and hold, what is said, what the cure speaks of.
FILES: dict[str, tuple[str, bytes | Callable[[], bytes], str, str]] = {
    "empty": ("rows.jsonl", b"", "is empty", "one example"),
    "blank lines": ("rows.jsonl", b"\n \n\t\r\n" * 50_000, "is empty", "one example"),
    "a byte order mark alone": ("rows.jsonl", b"\xef\xbb\xbf\n", "is empty", "one example"),
    "UTF-16": ("rows.jsonl", GOOD.encode("utf-16"), "UTF-16", "UTF-8"),
    "UTF-16 without a mark": ("rows.jsonl", GOOD.encode("utf-16-le"), "UTF-16", "UTF-8"),
    "UTF-16, the other way": ("rows.jsonl", GOOD.encode("utf-16-be"), "UTF-16", "UTF-8"),
    "UTF-32": ("rows.jsonl", GOOD.encode("utf-32-be"), "UTF-32|line 1", "UTF-8|JSON"),
    "UTF-16 CSV": ("rows.csv", CSV.decode().encode("utf-16"), "UTF-16", "UTF-8"),
    "a zip archive": ("rows.jsonl", zipped(GOOD), "zip archive", "unpack"),
    "a workbook": ("rows.csv", zipped(GOOD), "workbook", "CSV"),
    "bzip2": ("rows.jsonl.bz2", bz2.compress(GOOD.encode()), "bzip2", "gzip"),
    "xz": ("rows.jsonl.xz", lzma.compress(GOOD.encode()), "xz", "gzip"),
    "zstd": ("rows.jsonl.zst", b"\x28\xb5\x2f\xfd\x04\x00", "zstd", "gzip"),
    "Arrow": ("rows.arrow", b"ARROW1\0\0", "Arrow", "Parquet"),
    "SQLite": ("rows.jsonl", b"SQLite format 3\0", "SQLite", "JSON lines"),
    "a pickle": ("rows.jsonl", b"\x80\x04\x95", "pickle", "JSON lines"),
    "an image": ("rows.jsonl", b"\x89PNG\r\n", "image", "rows"),
    "a PDF": ("rows.jsonl", b"%PDF-1.7", "PDF", "rows"),
    "a web page": ("rows.jsonl", b"<!DOCTYPE html><html>", "web page", "fetch"),
    "Git LFS": ("rows.jsonl", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS", "git lfs pull"),
    "prose": ("rows.jsonl", b"Dear all,\nhere is the data.\n", "line 1: the file is not JSON lines", "one JSON object"),
    "YAML": ("rows.yml", b"messages:\n- role: user\n", "line 1: the file is not JSON lines", "one JSON object"),
    "noise": ("rows.jsonl", random.Random(1).randbytes(5000), "line 1", "JSON"),
    "only NUL": ("rows.jsonl", b"\0" * 5000, "line 1", "JSON"),
    "one pretty object": ("rows.json", json.dumps(chat("a", "b"), indent=2).encode(), "line 1", "JSON object on each line"),
    "an object of rows": ("rows.json", json.dumps({"data": [chat("a", "b")]}).encode(), "their keys are data", "rename"),
    "a key twice in each line": (
        "rows.jsonl", b'\n{"text": "a", "text": "b"}\n{"text": "a", "text": "b"}\n', "line 2: the key 'text' stands twice", "remove one",
    ),
    "a key twice in each packed line": (
        "rows.jsonl.gz", gzip.compress(b'{"text": "a", "text": "b"}\n' * 3), "line 1: the key 'text' stands twice", "remove one",
    ),
    "packed, with the marks of UTF-16 by chance": ("rows.gz", gzip.compress(b"Dear all,\n", mtime=0x7B00), "not JSON lines", "JSON"),
    "NaN in each line": ("rows.jsonl", b'{"text": NaN}\n' * 3, "line 1: this is not JSON .*None of the first 3 lines", "NaN"),
    "packed prose": ("rows.gz", gzip.compress(b"Dear all,\n"), "line 1: the file is not JSON lines", "one JSON object"),
    "numbers": ("rows.jsonl", b"1\n2\n", "line 1", "JSON object"),
    "no known keys": ("rows.jsonl", b'{"question": "a", "reply": "b"}\n', "their keys are question, reply", "rename"),
    "gzip cut short": ("rows.jsonl.gz", PACKED[: len(PACKED) // 2], "cut short", "anew"),
    "gzip of nothing": ("rows.jsonl.gz", gzip.compress(b""), "is empty", "one example"),
    "gzip with a wrong sum": ("rows.jsonl.gz", PACKED[:-8] + b"\0" * 8, "damaged", "anew"),
    "gzip with noise within": (
        "rows.jsonl.gz", PACKED[:40] + b"\xff" * 30 + PACKED[70:], "damaged", "anew",
    ),
    "gzip and then noise": ("rows.jsonl.gz", PACKED + b"noise", "damaged", "anew"),
    "gzip in gzip": ("rows.jsonl.gz", gzip.compress(PACKED), "packed twice", "unpack"),
    "an array that does not end": ("rows.json", b"[" + GOOD.encode(), "within item 1", "anew"),
    "an array cut within a text": ("rows.json", f"[{GOOD}, {GOOD[:20]}".encode(), "within item 2", "anew"),
    "an array and more": ("rows.json", f"[{GOOD}] {GOOD}".encode(), "after the JSON array", "one array"),
    "two arrays": ("rows.json", f"[{GOOD}]\n[{GOOD}]\n".encode(), "after the JSON array", "one array"),
    "an array of nothing": ("rows.json", b"[ ]", "without a single object", "one object"),
    "an array of numbers": ("rows.json", b"[1, 2]", "not a single object", "one object"),
    "an array with a hole": ("rows.json", f"[{GOOD},,{GOOD}]".encode(), "item 2: this is not JSON", "JSON"),
    "an array with a comma at its end": ("rows.json", f"[{GOOD},]".encode(), "item 2: this is not JSON", "JSON"),
    "an array without a comma": ("rows.json", f"[{GOOD} {GOOD}]".encode(), "item 1: this is not JSON", "JSON"),
    "an array of arrays": ("rows.json", f"[[{GOOD}]]".encode(), "not a single object", "one object"),
    "brackets that do not match": ("rows.json", b"[{]", "JSON array: it ends within item 1", "anew"),
    "a key twice in an array": ("rows.json", b'[{"text": "a"}, {"text": "a", "text": "b"}]', "item 2: .*twice", "remove"),
    "CSV of no known columns": ("rows.csv", b"question,reply\na,b\n", "their keys are question, reply", "rename"),
    "CSV, two columns of one name": ("rows.csv", b"prompt,prompt\na,b\n", "line 1: two columns", "its own name"),
    "CSV, a header alone": ("rows.csv", b"prompt,completion\n", "holds no row", "one object"),
    "CSV, a cell too few": ("rows.csv", CSV + b"c\n", "line 3: the row has 1 cells", "double quotes"),
    "CSV, a cell too many": ("rows.csv", CSV + b"c,d,e\n", "line 3: the row has 3 cells", "double quotes"),
    "CSV, a quote that stays open": ("rows.csv", CSV + b'c,"d\ne,f\n', "line 3: the row cannot be read until line 4", "close"),
    "CSV, a quote within": ("rows.csv", CSV + b'c,"d"e\n', "line 3: the row cannot be read", "double quote"),
    "CSV, no UTF-8": ("rows.csv", CSV + "c,ä\n".encode("latin-1"), "line 3: .*UTF-8", "UTF-8"),
    "CSV, no UTF-8 within a cell": ("rows.csv", CSV + b'c,"d\n\xff"\n', "line 3: line 4 is not text", "UTF-8"),
    "CSV, an empty answer": ("rows.csv", CSV + b"c,\n", "line 3: .*empty", "write the answer"),
    "CSV, a label that is none": ("rows.csv", b"prompt,completion,label\na,b,true\na,b,maybe\n", "line 3: `label` is 'maybe'", "true"),
    "CSV, messages that are no JSON": (
        "rows.csv", b'messages\n"[{""role"": ""user"", ""content"": ""a""}, {""role"": ""assistant"", ""content"": ""b""}]"\nhi\n',
        "line 3: this is not JSON", "JSON",
    ),
    "CSV packed and cut": ("rows.csv.gz", gzip.compress(CSV * 1000)[:-12], "cut short", "anew"),
    "Parquet cut short": ("rows.parquet", lambda: parquet([FILLED] * 1000)[:-20], "cut short or damaged", "anew"),
    "Parquet's first bytes": ("rows.parquet", b"PAR1", "cut short or damaged", "anew"),
    "Parquet without its middle": (
        "rows.parquet", lambda: parquet([FILLED] * 9)[:60] + parquet([FILLED] * 9)[-200:], "cut short or damaged", "anew",
    ),
    "Parquet of no rows": ("rows.parquet", lambda: parquet([FILLED])[:0] or parquet_of_none(), "holds no row", "one object"),
    "Parquet of no known columns": ("rows.parquet", lambda: parquet([{"question": "a"}]), "their keys are question", "rename"),
    "Parquet, a bad row": ("rows.parquet", lambda: parquet([FILLED, {"prompt": "a"}]), "row 2: `completion` is missing", "text"),
    "Parquet, bytes": ("rows.parquet", lambda: parquet([FILLED, {"prompt": "a", "completion": ""}]), "row 2: .*empty", "write"),
    "Parquet, a time": (
        "rows.parquet", lambda: parquet([{"messages": [USER], "at": b"\xff"}]), "row 1: the row cannot be kept", "text",
    ),
}  # fmt: skip


def parquet_of_none() -> bytes:
    import pyarrow
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(pyarrow.table({"prompt": pyarrow.array([], "string")}), out)
    return out.getvalue()


@pytest.mark.parametrize(("name", "content", "said", "cure"), FILES.values(), ids=FILES.keys())
def test_a_bad_file_is_named_with_its_cure(
    tmp_path: Path, name: str, content: bytes | Callable[[], bytes], said: str, cure: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content() if callable(content) else content)
    with pytest.raises(DatasetError, match=said) as caught:
        Dataset.load(path)
    assert str(path) in caught.value.message
    assert any(word in str(caught.value.cure) for word in cure.split("|"))


def test_paths_that_lead_to_no_file(tmp_path: Path) -> None:
    (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
    (tmp_path / "nowhere.jsonl").symlink_to("gone.jsonl")
    paths = {
        tmp_path / "loop.jsonl": "link", tmp_path / "nowhere.jsonl": "link", tmp_path: "folder",
        tmp_path / "no.jsonl": "folder", tmp_path / ("n" * 300): "folder", Path("a\0b"): "path", Path("/dev/null"): "file",
    }  # fmt: skip
    for path, cure in paths.items():
        with pytest.raises(DatasetError) as caught:
            Dataset.load(path)
        assert cure in str(caught.value.cure)


@pytest.mark.parametrize(
    "columns", [{}, {"prompt": 3}, {"prompt": "reply"}, "prompt", {"prompt": "question", "x": "No"}]
)
@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_columns_that_are_none_are_refused(tmp_path: Path, name: str, columns: Any) -> None:
    rows = [{"question": "a", "answer": "b"}]
    (tmp_path / name).write_bytes(parquet(rows) if name.endswith("parquet") else b"question,answer\na,b\n")
    with pytest.raises(DatasetError, match="column") as caught:
        Dataset.load(tmp_path / name, columns=columns)
    assert caught.value.cure


GENERATED = {
    "a line of 100 MB": (
        'f.write(b\'{"text": "\' + b"x" * 100_000_000 + b\'"}\\n\' + good)', "rows.jsonl", "line 1: the line is longer",
    ),
    "a line of 100 MB that is not the first": (
        'f.write(good); f.write(b\'{"text": "\' + b"x" * 100_000_000)', "rows.jsonl", "line 2: the line is longer",
    ),
    "100 MB without a line end": ('f.write(b"x" * 100_000_000)', "rows.jsonl", "line 1"),
    "100 MB of blanks": ('f.write(b" " * 100_000_000)', "rows.jsonl", "is empty"),
    "an item of 100 MB": (
        'f.write(b\'[{"text": "a"}, {"text": "\' + b"x" * 100_000_000 + b\'"}]\')', "rows.json", "item 2: the item is longer",
    ),
    "a cell of 100 MB": ('f.write(b"text\\na\\n" + b"x" * 100_000_000)', "rows.csv", "line 3: the line is longer"),
    "a quoted cell of 100 MB": (
        'f.write(b"text\\na\\n\\"" + (b"x" * 999_999 + b"\\n") * 100)', "rows.csv", "line 3: the cell is longer",
    ),
    "a bomb of blanks": ('gzip.open(path, "wb", 1).write(b" " * 100_000_000)', "rows.jsonl.gz", "unpacks to more than|is empty"),
    "a bomb of one line": (
        'g = gzip.open(path, "wb", 1); g.write(good); g.write(b"x" * 100_000_000); g.close()', "rows.jsonl.gz", "unpacks to more",
    ),
    "a bomb of rows": (
        'g = gzip.open(path, "wb", 1); g.writelines(b\'{"text": "%s"}\\n\' % (b"x" * 50_000) for n in range(2_000)); g.close()',
        "rows.jsonl.gz", "unpacks to more",
    ),
}  # fmt: skip
CHILD = """
import gzip, resource, sys
from pathlib import Path
from finetune_sdk import Dataset, DatasetError
from finetune_sdk.data.readers import lines
lines.UNPACKED_FLOOR = 32 << 20
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (1_200_000_000, 1_200_000_000))
try:
    Dataset.load(path)
except DatasetError as error:
    print(error)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print("peak", int(peak.split()[1]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize(("write", "name", "said"), GENERATED.values(), ids=GENERATED.keys())
def test_what_is_huge_is_refused_within_little_memory(tmp_path: Path, write: str, name: str, said: str) -> None:
    path = tmp_path / name
    making = f"import gzip, sys\npath = sys.argv[1]\ngood = b'{{\"text\": \"a\"}}\\n'\nf = open(path, 'wb')\n{write}"
    subprocess.run([sys.executable, "-c", making, str(path)], check=True)
    done = subprocess.run([sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, check=False)
    path.unlink()
    assert done.returncode == 0, done.stderr
    assert any(words in done.stdout for words in said.split("|")), done.stdout[:500]
    assert "cure:" in done.stdout
    assert int(done.stdout.rsplit("peak ", 1)[1]) < 450


def test_what_follows_an_array_far_behind_is_found(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(f"[{GOOD}]".encode() + b" " * (3 << 20) + b"x")
    with pytest.raises(DatasetError, match="after the JSON array"):
        Dataset.load(path)


def test_there_are_enough_of_each() -> None:
    assert len(FILES) + len(GENERATED) >= 60


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune_sdk.data.spool.IN_MEMORY", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dataset = Dataset.of([chat(f"{n}", "x") for n in range(50)])
    assert len(list(dataset)) == 50
    del dataset
    assert os.listdir(tmp_path) == []
