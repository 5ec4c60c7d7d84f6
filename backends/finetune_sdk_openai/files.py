"""Training files: uploaded once for each content, reused where the same content is there, and taken away when unused.

A file is called `<token>-<side>-<content hash>.jsonl`, so that it can be found by the submission that sent it and by what
it holds, before anything is sent a second time.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import BackendError, NotFoundError
from finetune_sdk_openai.connecting import Connection
from finetune_sdk_openai.errors import GarbledError
from finetune_sdk_openai.jobs import Jobs
from finetune_sdk_openai.options import Options

if TYPE_CHECKING:
    import openai

LARGEST = 512 * 10**6
PART = 64 * 2**20
_DAY = 86_400
_BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class Written:
    """A dataset as a file of the protocol's on this disk. `digest` stands for its bytes."""

    path: Path
    digest: str
    size: int


@contextmanager
def written(dataset: Dataset) -> Iterator[Written]:
    """The dataset in the protocol's format, in a file that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="finetune-") as folder:
        path = Path(folder) / "rows.jsonl"
        dataset.save(path, marks=False)  # the mark of rows that a model wrote is none of the protocol's keys
        hashed = sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                hashed.update(block)
        yield Written(path, hashed.hexdigest()[:32], path.stat().st_size)


class Files:
    """The files of one account that are there for training."""

    def __init__(self, connection: Connection, jobs: Jobs, options: Options) -> None:
        self._connection = connection
        self._jobs = jobs
        self._options = options
        self._sent: dict[str, set[str]] = {}

    def put(self, dataset: Dataset, side: str, token: str) -> str:
        """The id of a file with this content: one that is there, or a new one."""
        with written(dataset) as file:
            kept = self._kept(file, token)
            if kept is not None:
                return kept
            name = f"{token}-{side}-{file.digest}.jsonl"
            whole = file.size > LARGEST
            made = self._upload_in_parts(file, name) if whole else self._upload(file, name, token)
            self._sent.setdefault(token, set()).add(made)
            return made

    def _kept(self, file: Written, token: str) -> str | None:
        """A file with the same content. Where jobs keep no metadata, only this submission's own: its name is the token."""
        part = f"-{file.digest}.jsonl" if self._connection.address.metadata else token
        return next((str(found.id) for found in self._jobs.files(part) if _holds(found, file)), None)

    def _upload(self, file: Written, name: str, token: str) -> str:
        from openai.types import FileObject

        attempts = 0

        def send(client: openai.OpenAI) -> str:
            nonlocal attempts
            attempts += 1
            if attempts > 1 and (kept := self._kept(file, token)) is not None:
                return kept
            with file.path.open("rb") as content:
                asked: dict[str, Any] = {"file": (name, content), "purpose": "fine-tune", **self._expiry()}
                made = client.files.create(**asked)
            return made.id if isinstance(made, FileObject) and isinstance(made.id, str) else _no_file()

        return self._connection.asked(f"upload {name}", send, str)

    def _expiry(self) -> dict[str, Any]:
        days = self._options.expires_after_days
        return {"expires_after": {"anchor": "created_at", "seconds": days * _DAY}} if days else {}

    def _upload_in_parts(self, file: Written, name: str) -> str:
        """A file of more than 512 MB: parts may be sent again, for only those that are named in the end count."""
        from openai.types import Upload
        from openai.types.uploads import UploadPart

        asked: dict[str, Any] = {
            "bytes": file.size, "filename": name, "mime_type": "application/jsonl", "purpose": "fine-tune",
            **self._expiry(),
        }  # fmt: skip
        upload = self._connection.asked(
            f"begin to upload {name}", lambda client: client.uploads.create(**asked), Upload
        )
        parts = []
        with file.path.open("rb") as content:
            while block := content.read(PART):
                sent = self._connection.asked(
                    f"upload a part of {name}",
                    lambda client, block=block: client.uploads.parts.create(upload.id, data=block),  # type: ignore[misc]
                    UploadPart,
                )
                parts.append(sent.id)
        whole = self._connection.asked(
            f"finish the upload of {name}", lambda client: client.uploads.complete(upload.id, part_ids=parts), Upload
        )
        if whole.file is None:
            raise BackendError(f"{self._connection.address.url} made no file of {name}.", retryable=True)
        return whole.file.id

    def take_back(self, token: str) -> None:
        """Deletes what was uploaded here for a submission that was refused, unless another job uses it by now."""
        self._delete_unused(self._sent.pop(token, set()))

    def tidy(self, tokens: Collection[str]) -> None:
        """Deletes the files of these submissions that no job uses: what killed clients and lost replies left behind.

        A young file may be on its way into a job that is made this moment elsewhere, or not listed yet; it is left.
        """
        old = time.time() - 2 * self._options.visible_within - 1
        files = self._jobs.all_files()
        self._delete_unused(
            {
                file.id
                for file in files
                if (file.filename or "").partition("-")[0] in tokens and (file.created_at or 0) < old
            }
        )

    def _delete_unused(self, files: set[str]) -> None:
        if not files:
            return
        used = {name for job in self._jobs.every() for name in (job.training_file, job.validation_file)}
        for file in sorted(files - used):
            self._delete(file)

    def _delete(self, file: str) -> None:
        try:
            self._connection.asked(f"delete the file {file}", lambda client: client.files.delete(file))
        except NotFoundError:
            return

    def content(self, file: str) -> bytes:
        """What a file of the place's holds."""
        answer = self._connection.asked(f"read the file {file}", lambda client: client.files.content(file).content)
        return answer if isinstance(answer, bytes) else bytes(answer)


def _holds(found: Any, file: Written) -> bool:
    ends = found.expires_at is not None and found.expires_at < time.time() + 2 * _DAY
    return file.digest in found.filename and found.bytes == file.size and found.status != "error" and not ends


def _no_file() -> str:
    raise GarbledError("an upload without a file in the answer")
