"""One server's parts, put together: opened before it listens, closed when it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from finetune_sdk.backend import Checkpoint
from finetune_sdk.client import Client
from finetune_sdk.errors import FinetuneError, SettingsError
from finetune_sdk.serve.catalogue import Catalogue
from finetune_sdk.serve.desks import Desks
from finetune_sdk.serve.files import Files, Limits
from finetune_sdk.serve.jobs import Jobs
from finetune_sdk.serve.keys import Keyring
from finetune_sdk.serve.queue import Queue
from finetune_sdk.serve.store import FOLDER, Store


@dataclass(frozen=True, slots=True)
class Options:
    """`bases` are names of the backend's, or `NAME=BASE` where clients say another; `slots` jobs run at once.

    `kept_models` stay in memory beside those that are busy; `usual_tokens` is the longest answer where a client says none.
    `names` are hosts under which the server may be called; `key_needed` lets nobody in without a key.
    """

    bases: Sequence[str] = ()
    slots: int = 1
    kept_models: int = 2
    usual_tokens: int = 1024
    limits: Limits = field(default_factory=Limits)
    names: Sequence[str] = ()
    key_needed: bool = False


class Service:
    """What the routes speak to. Raises SettingsError where another server works in the same home."""

    def __init__(self, client: Client, options: Options) -> None:
        from filelock import FileLock, Timeout

        where = client.settings.home / FOLDER
        self.client = client
        self.options = options
        self.bases = _bases(client, options.bases)
        self.store = Store(where)
        self._lock = FileLock(where / "serve.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            self.store.close()
            raise SettingsError(
                f"another server works in {where}.", cure="use that one, or set another FINETUNE_HOME"
            ) from None
        self.files = Files(self.store, where / "files", options.limits)
        self.files.sweep_strays()
        # The event loop reads keys by a connection of its own, and so never waits for who writes.
        self._keys = Store(where)
        self.keyring = Keyring(self._keys, needed=options.key_needed)
        self.catalogue = Catalogue(self.store, self.bases, client.name, self._checkpoints)
        self.desks = Desks(client.backend.model, options.kept_models)
        self.queue = Queue(self.store, self.files, client, options.slots)
        self.jobs = Jobs(self.store, self.files, self.catalogue, client, self.queue)

    def _checkpoints(self, run: str) -> Sequence[Checkpoint]:
        has = "checkpoints" in self.client.backend.capabilities.verbs
        return self.client.get_run(run).checkpoints() if has else ()

    def close(self) -> None:
        """Lets go of runs, which go on, and of whoever waits for an answer."""
        self.desks.close()
        self.queue.stop()
        self._keys.close()
        self.store.close()
        self._lock.release()


def _bases(client: Client, given: Sequence[str]) -> Mapping[str, str]:
    """Names for clients and the backend's own. Where none is given: the one that the settings name."""
    pairs = [(name, base or name) for name, _, base in (one.partition("=") for one in given)]
    if not pairs:
        pairs = [(base, base) for base in (_default(client),)]
    for name, base in pairs:
        if not name or name.startswith("ft:"):
            raise SettingsError(f"{name!r} cannot be the name of a base.", cure="use --base BASE, or --base NAME=BASE")
        client.backend.model(base)
    return dict(pairs)


def _default(client: Client) -> str:
    from finetune_sdk.data.dataset import Dataset
    from finetune_sdk.job import Job

    row = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]}
    try:
        return client.resolve(Job(name="which base", train=Dataset.of([row]))).base
    except FinetuneError as fault:
        raise SettingsError(
            f"the server has no base to offer: {fault.message}",
            cure="name one or more, as in: finetune serve --base tiny",
        ) from None
