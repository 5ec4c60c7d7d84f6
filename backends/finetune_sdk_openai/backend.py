"""The backend that speaks the OpenAI fine-tuning protocol: the contract of `finetune_sdk.backend`, kept at any address."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, BinaryIO

from finetune_sdk.backend import Capabilities, Checkpoint, Event, PastJob, Place, Resolved, Result, Status
from finetune_sdk.data.checks import Finding
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.data.tokens import Counter
from finetune_sdk.errors import NotFoundError, RefusedError, RunError, UnsupportedError
from finetune_sdk.estimate import Estimate, Price, Spent, Upkeep, Usage
from finetune_sdk.job import Job
from finetune_sdk.model import Model, Origin
from finetune_sdk_openai import defaults, estimates, known, rules, spending, submission, volumes, wire
from finetune_sdk_openai.account import Account
from finetune_sdk_openai.addresses import Address
from finetune_sdk_openai.azure import Deployments
from finetune_sdk_openai.connecting import Connection, needed
from finetune_sdk_openai.files import Files
from finetune_sdk_openai.history import History
from finetune_sdk_openai.jobs import PAGE, Jobs
from finetune_sdk_openai.models import ProtocolModel
from finetune_sdk_openai.options import Options
from finetune_sdk_openai.tariffs import Tariff
from finetune_sdk_openai.tokens import ProtocolCounter
from finetune_sdk_openai.upkeep import upkeep

_KEPT = 4


class OpenAIBackend:
    """Jobs at OpenAI, Azure, Bedrock, or any server that speaks the protocol. State is there; nothing is kept here."""

    def __init__(self, place: Place, today: Callable[[], date] = date.today) -> None:
        needed()
        self._place = place
        self._today = today
        self._options = Options.read(place, today())
        self._address = Address.read(self._options, place.name)
        self._capabilities = defaults.capabilities(self._options, self._address)
        self._connection = Connection(self._address, self._options.timeout, self._options.patience)
        self._jobs = Jobs(self._connection)
        self._files = Files(self._connection, self._jobs, self._options)
        self._history = History(self._connection, self._jobs, self._files)
        self._account = Account(self._connection, self._jobs, self._tariff)
        self._volumes: dict[tuple[str, str], volumes.Volume] = {}
        self._bases: set[str] = set()

    def __repr__(self) -> str:
        return f"OpenAIBackend({self._place.name!r}, {self._address.url!r})"

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def address(self) -> str:
        return str(self._address)

    def resolve(self, job: Job) -> Resolved:
        resolved = defaults.resolve(job, self._options, self._address, self._place.name)
        self._known(resolved.base)
        return resolved

    def _known(self, base: str) -> None:
        """Raises NotFoundError for a base that is not there. Of OpenAI's own bases that is known without asking, there and at Azure.

        Elsewhere nobody can ask without a key, which an estimate does not need.
        """
        if base in self._bases or self._is_known(base) or self._is_out_of_reach:
            return
        self._there(base)
        self._bases.add(base)

    def _is_known(self, base: str) -> bool:
        return (self._address.official or self._address.kind == "azure") and known.is_snapshot(base)

    @property
    def _is_out_of_reach(self) -> bool:
        return self._address.secret() is None and not (self._address.official or self._address.loopback)

    def _there(self, model: str) -> None:
        from openai.types import Model as Listed

        trained = f"OpenAI trains {', '.join(name for family in known.families() for name in family.snapshots)}"
        if self._address.official and self._address.secret() is None:
            raise NotFoundError(
                f"{model!r} is not among the bases of OpenAI that are known here, and without a key it cannot be asked for.",
                cure=f"{trained}; or set {self._address.key} to ask {self._address.url}",
            )
        try:
            self._connection.asked(f"read the model {model}", lambda client: client.models.retrieve(model), Listed)
        except (NotFoundError, RefusedError) as fault:
            if not isinstance(fault, NotFoundError) and fault.code not in ("400", "model_not_found"):
                raise
            raise NotFoundError(
                f"there is no model {model!r} at {self._address.url}; its list of models was asked for it.",
                cure=trained if self._address.official else "name one that is listed there",
                code=fault.code,
                request_id=fault.request_id,
            ) from None

    def _volume(self, data: Dataset, base: str) -> volumes.Volume:
        """The tokens of a dataset, counted once for whoever asks."""
        key = (data.fingerprint, base)
        if key not in self._volumes:
            while len(self._volumes) >= _KEPT:
                del self._volumes[next(iter(self._volumes))]
            limit = estimates.longest_row(base, self._address)
            self._volumes[key] = volumes.volume(data, ProtocolCounter(base), limit, self._place.home)
        return self._volumes[key]

    def check(self, resolved: Resolved) -> Sequence[Finding]:
        job, base = resolved.job, resolved.base
        sides = [side for side in (job.train, job.validation) if side is not None]
        counted = [(side, self._volume(side, base)) for side in sides]
        found = rules.check(resolved, self._address, counted, estimates.longest_row(base, self._address))
        if self._address.official:
            found += known.days(base, job.method.kind, self._today(), self._place.name)
        return found

    def estimate(self, resolved: Resolved) -> Estimate:
        base, job = resolved.base, resolved.job
        train = self._volume(job.train, base)
        validation = self._volume(job.validation, base) if job.validation is not None else None
        made = estimates.estimate(resolved, self._tariff(), ProtocolCounter(base), train, validation)
        if not self._is_out_of_reach or self._is_known(base):
            return made
        said = f"whether {base} is trained at {self._address.url} was not asked: {self._address.key} is not set"
        return replace(made, notes=(*made.notes, said))

    def upkeep(self, base: str, usage: Usage, *, tuned: bool) -> Upkeep:
        return upkeep(base, usage, self._tariff(), tuned=tuned)

    def _tariff(self) -> Tariff:
        return Tariff(self._place.name, self._address, self._options, self._today())

    def submit(self, resolved: Resolved, token: str) -> str:
        return submission.submit(
            self._connection, self._jobs, self._files, self._options, resolved, token, self._today()
        )

    def find(self, token: str) -> Sequence[str]:
        return [job.id for job in self._jobs.with_token(token)]

    def tidy(self, tokens: Collection[str]) -> None:
        """Deletes what submissions left behind that no job uses."""
        self._files.tidy(tokens)

    def status(self, run: str) -> Status:
        return wire.status(self._jobs.read(run))

    def events(self, run: str, after: int = 0) -> Iterable[Event]:
        return self._history.events(run, after)

    def spent(self, run: str) -> Spent:
        return spending.spent(self._jobs.read(run), self.events(run), self._tariff())

    def cancel(self, run: str) -> None:
        self._jobs.cancel(run)

    def pause(self, run: str) -> None:
        self._jobs.pause(run)

    def resume(self, run: str) -> None:
        self._jobs.resume(run)

    def result(self, run: str) -> Result:
        job = self._jobs.read(run)
        status = wire.status(job)
        model = job.fine_tuned_model
        if status == "cancelled" and not model:
            saved = self.checkpoints(run)
            model = saved[-1].id if saved else None
        if status not in ("succeeded", "cancelled") or not model:
            why = wire.failure(job)
            raise RunError(
                f"{run} is {status} and has left no model{f': {why}' if why else ''}.",
                cure="wait for it" if not status.terminal else "see its events, mend what they say and submit again",
            )
        actual: dict[str, float] = {}
        if job.trained_tokens is not None:
            actual["tokens"] = job.trained_tokens
        if job.finished_at and job.created_at:
            actual["time"] = max(0, job.finished_at - job.created_at)
        return Result(model, actual, self._manifest(job))

    def _manifest(self, job: Any) -> dict[str, Any]:
        method = job.method.model_dump(mode="json", exclude_none=True) if job.method else None
        return {
            "place": self._address.url, "job": job.id, "base": job.model, "method": method, "seed": job.seed,
            "training_file": job.training_file, "validation_file": job.validation_file,
            "result_files": list(job.result_files or ()), "billed_tokens": job.trained_tokens,
            "created": job.created_at, "finished": job.finished_at,
        }  # fmt: skip

    def runs(self) -> Sequence[str]:
        return [job.id for job in reversed(wire.oldest_first(self._jobs.every()))]

    def checkpoints(self, run: str) -> Sequence[Checkpoint]:
        self._jobs.read(run)
        pages = self._connection.pages(
            f"list the checkpoints of {run}",
            lambda client, **asked: client.fine_tuning.jobs.checkpoints.list(run, **asked),
            limit=PAGE,
        )
        found = {saved.step_number: wire.checkpoint(saved) for page in pages for saved in page}
        return [found[step] for step in sorted(found)]

    def model(self, name: str) -> Model:
        self._there(name)
        origin = Origin(backend=self._place.name, base=known.plain(name))
        prices = self._tariff().asking(name, tuned=known.plain(name) != name)
        return ProtocolModel(name, origin, self._address, self._options, self._called(name), prices)

    def _called(self, model: str) -> str:
        """What a model is asked by: at Azure its deployment, elsewhere its name."""
        if model in self._options.deployments:
            return self._options.deployments[model]
        if self._address.kind == "azure" and model != known.plain(model):
            return Deployments(self._options).name(model)
        return model

    def deploy(self, model: str) -> str:
        self._capabilities.require("deploy", self._place.name)
        return Deployments(self._options).deploy(model)

    def undeploy(self, model: str) -> None:
        self._capabilities.require("deploy", self._place.name)
        Deployments(self._options).undeploy(model)

    def counter(self, base: str) -> Counter:
        return ProtocolCounter(base)

    def prices(self) -> Sequence[Price]:
        return list(self._tariff().everything())

    def render(self, dataset: Dataset, index: int, base: str) -> Mapping[str, Any]:
        raise UnsupportedError(f"{self._place.name} has no 'render': {self._capabilities.gaps['render']}.")

    def history(self) -> Sequence[PastJob]:
        return self._account.history()

    def fetch(self, file: str, into: BinaryIO) -> None:
        self._account.fetch(file, into)

    def doctor(self) -> Mapping[str, str]:
        """What of this place is set, in words; the key is never shown."""
        return {
            "address": self._address.url,
            "key": f"{self._address.key} is {'set' if self._address.secret() else 'not set'}",
            "tokens": ProtocolCounter(self._options.base or "gpt-4.1").basis,
        }
