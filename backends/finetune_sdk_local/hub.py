"""To a hub: an exported folder as a repository, through huggingface_hub's own client, which keeps the token to itself.

Only what the export's manifest lists goes there, once every file is found to be as it was written. Nothing there is written over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from finetune_sdk.errors import BackendError, FinetuneError, InputError, SettingsError
from finetune_sdk_local.exporting import MANIFEST, files_of

_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_OWN = {".gitattributes", "README.md"}  # what a hub puts into a new repository


def require(name: str, *, public: bool = False) -> None:
    """Raises InputError or SettingsError where `push` to that repository could not be: nothing is written."""
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is no repository's name.", cure="name it as in owner/name")
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import RepositoryNotFoundError

    if get_token() is None:
        raise SettingsError("there is no token for the hub.", cure="set HF_TOKEN, or run `hf auth login`")
    with _asking(name):
        try:
            found = HfApi().model_info(name)
        except RepositoryNotFoundError:
            return
    if not public and not found.private:
        raise InputError(
            f"the repository {name} is public.", cure="push to another one, or say that all may read it (public=True)"
        )
    held = sorted({file.rfilename for file in found.siblings or ()} - _OWN)
    if held:
        raise InputError(
            f"the repository {name} has files already ({held[0]}), and nothing is ever written over.",
            cure="name a new repository, or an empty one",
        )


def push(folder: Path, name: str, *, public: bool = False) -> str:
    """The folder's address on the hub; private unless `public`. Raises BackendError where it is not there whole afterwards."""
    manifest = _checked(folder)
    require(name, public=public)
    from huggingface_hub import HfApi

    api = HfApi()
    with _asking(name):
        made = api.create_repo(name, private=not public, exist_ok=True)
        api.upload_folder(
            folder_path=folder,
            repo_id=made.repo_id,
            commit_message=f"The {manifest['kind']} of run {manifest['run']}",
            allow_patterns=[*manifest["files"], MANIFEST],
        )
        there = {file.rfilename for file in api.model_info(made.repo_id).siblings or ()}
    missing = sorted({*manifest["files"], MANIFEST} - there)
    if missing:
        raise BackendError(f"{name} does not have {missing[0]} after the upload.", cure="push again", retryable=True)
    return str(made)


def _checked(folder: Path) -> dict[str, Any]:
    """The manifest of a folder in which all is as it was written."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        listed, found = manifest["files"], files_of(folder)
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{folder} is no export: it has no {MANIFEST}.", cure="export the run again") from None
    found.pop(MANIFEST, None)
    others = sorted(name for name in {*listed, *found} if listed.get(name) != found.get(name))
    if others:
        raise InputError(
            f"{folder} is not as it was exported: {others[0]} has changed, so nothing was pushed.",
            cure="export the run again, into a new folder",
        )
    assert isinstance(manifest, dict)
    return manifest


@contextmanager
def _asking(name: str) -> Iterator[None]:
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as fault:
        status = getattr(fault.response, "status_code", None)
        rights = status in (401, 403)
        raise BackendError(
            f"the hub refused {name}: {fault.server_message or f'status {status}'}.",
            cure="use a token that may write there" if rights else "try again later",
            code=str(status),
            retryable=not rights,
        ) from None
    except FinetuneError:
        raise
    except Exception as fault:  # no way there, or an answer that makes no sense: its client has many names for these
        raise BackendError(
            f"the hub could not be reached for {name} ({type(fault).__name__}).", cure="try again", retryable=True
        ) from None
