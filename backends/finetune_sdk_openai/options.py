"""What finetune.toml may say of such a place: the table [backends.openai], [backends.azure], or another name with a kind."""

from __future__ import annotations

from datetime import date
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError

from finetune_sdk.backend import Place
from finetune_sdk.errors import SettingsError
from finetune_sdk.estimate import Price
from finetune_sdk.prices import read, refused

Text = Annotated[str, Field(min_length=1)]
Auto = Literal["auto"]
Epochs = Annotated[int, Field(ge=1, le=50)]
Batch = Annotated[int, Field(ge=1, le=256)]
Dollars = Annotated[float, Field(ge=0, lt=1e9)]
Hours = Annotated[float, Field(gt=0, le=8760)]
_TABLE = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Words(BaseModel):
    """The protocol's own words for what it trains with; what a job sets itself goes before them."""

    model_config = _TABLE

    n_epochs: Epochs | Auto | None = None
    batch_size: Batch | Auto | None = None
    learning_rate_multiplier: PositiveFloat | Auto | None = None


class DPOWords(Words):
    beta: Annotated[float, Field(gt=0, le=2)] | Auto | None = None


class RFTWords(Words):
    """`grader` is a grader in the protocol's own shape; an RFT job whose method has no graders needs one."""

    grader: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    compute_multiplier: PositiveFloat | Auto | None = None
    eval_interval: PositiveInt | Auto | None = None
    eval_samples: PositiveInt | Auto | None = None
    reasoning_effort: Literal["default", "low", "medium", "high"] | None = None


class Wandb(BaseModel):
    """A project at Weights & Biases that the place sends metrics to."""

    model_config = _TABLE

    project: Text
    entity: Text | None = None
    name: Text | None = None
    tags: list[Text] | None = None


class Options(BaseModel):
    """`base` for jobs that name none; `sft`, `dpo` and `rft` hold the protocol's own words.

    The key is read from the variable that `api_key_env` names, and from nowhere else. A run shows up in the place's list
    within `visible_within` seconds; one request may take `timeout`, and one call with its repetitions `patience`.
    `at_once` conversations are asked together. `lasting` says that a name there always means the same weights, or that it does
    not; left out, that is known of OpenAI's own names, and of others it is not. `prices` are rows of a price list, which go before all else that is known of their model;
    `usd_per_million` trained tokens of any base, `priced` on a day, comes next, and so do `input_usd_per_million` and `output_usd_per_million` for what
    asking a model costs. `training_hours`, a number or the least and the most, is how long a job takes that is billed by the hour.
    """

    model_config = _TABLE

    kind: Text = "openai"
    base: Text | None = None
    base_url: Text | None = None
    api_key_env: Text | None = None
    organisation: Text | None = None
    project: Text | None = None
    metadata: bool | None = None
    suffix: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    wandb: Wandb | None = None
    expires_after_days: Annotated[int, Field(ge=1, le=30)] | None = None
    visible_within: NonNegativeFloat = 60.0
    timeout: PositiveFloat = 120.0
    patience: PositiveFloat = 300.0
    at_once: Annotated[int, Field(ge=1, le=1024)] = 64
    lasting: bool | None = None
    usd_per_million: Dollars | None = None
    input_usd_per_million: Dollars | None = None
    output_usd_per_million: Dollars | None = None
    priced: date | None = None
    prices: tuple[Price, ...] = ()
    training_hours: Hours | list[Hours] | None = None
    sft: Words = Words()
    dpo: DPOWords = DPOWords()
    rft: RFTWords = RFTWords()

    resource: Text | None = None
    training_type: Text | None = None
    subscription: Text | None = None
    resource_group: Text | None = None
    management_url: Text = "https://management.azure.com"
    management_token_env: Text = "AZURE_MANAGEMENT_TOKEN"
    deployment_sku: Text = "standard"
    deployment_capacity: PositiveInt = 1
    deployments: dict[str, Text] = {}
    hosting_usd_per_hour: Dollars | None = None

    region: Text | None = None

    @classmethod
    def read(cls, place: Place, today: date | None = None) -> Options:
        """The options of a place. Raises SettingsError for a name that nothing reads, and for a value of no sense."""
        table, today = f"[backends.{place.name}]", today or date.today()
        given = dict(place.options)
        for secret in ("api_key", "key", "token", "password"):
            if secret in given:
                raise SettingsError(
                    f"{table}: {secret!r} does not belong in a file.",
                    cure='put the key into the environment, and name the variable: api_key_env = "OPENAI_API_KEY"',
                )
        given.setdefault("kind", place.name)
        if "prices" in given:
            given["prices"], faults = read(given["prices"], f"finetune.toml [[backends.{place.name}.prices]]", today)
            if faults:
                raise refused(faults)
        try:
            options = cls.model_validate(given)
        except ValidationError as faults:
            raise _refused(table, faults) from None
        _refuse_nonsense(options, table, today)
        return options

    @property
    def hours(self) -> tuple[float, float] | None:
        """The least and the most hours of a job that is billed by the hour."""
        said = self.training_hours
        if said is None:
            return None
        return (said[0], said[-1]) if isinstance(said, list) else (said, said)

    def words(self, method: str) -> Words:
        found: Words = getattr(self, method)
        return found


def _refuse_nonsense(options: Options, table: str, today: date) -> None:
    """Raises SettingsError for a price without a day, a day that has not come, and hours that are no range."""
    prices = ("usd_per_million", "input_usd_per_million", "output_usd_per_million")
    undated = next((name for name in prices if getattr(options, name)), None) if options.priced is None else None
    if undated is not None:
        raise SettingsError(f"{table}: {undated} has no date.", cure="say of which day it is: priced = 2026-11-22")
    if options.priced is not None and options.priced > today:
        raise SettingsError(
            f"{table}: priced = {options.priced} has not come yet: today is {today} by this machine's clock.",
            cure="mend the date, or the clock",
        )
    hours = options.training_hours
    if isinstance(hours, list) and (len(hours) != 2 or hours[0] > hours[1]):
        raise SettingsError(
            f"{table}: training_hours = {hours!r} is no range.", cure="give the least and the most, as in [2, 6]"
        )


def _refused(table: str, faults: ValidationError) -> SettingsError:
    first, *more = faults.errors()
    about = [first, *(fault for fault in more if fault["loc"][0] == first["loc"][0])]
    fault = max(about, key=lambda each: len(each["loc"]))  # of a number or a list, what is wrong within the list
    path = [str(part) for part in fault["loc"] if isinstance(part, str) and "[" not in part]
    name = path[0]
    owners: dict[str, type[BaseModel]] = {"sft": Words, "dpo": DPOWords, "rft": RFTWords, "wandb": Wandb}
    if fault["type"] == "extra_forbidden":
        known = owners[name].model_fields if len(path) > 1 and name in owners else Options.model_fields
        near = get_close_matches(path[-1], known, 1)
        return SettingsError(
            f"{table} has no option {'.'.join(path)!r}.",
            cure=f"use {near[0]!r}" if near else f"use one of {', '.join(sorted(known))}",
        )
    shown = ".".join(path[:2] if name in owners else path[:1])
    return SettingsError(
        f"{table}: {shown} = {fault['input']!r} makes no sense: {fault['msg']}.", cure=f"mend `{shown}`, or remove it"
    )
