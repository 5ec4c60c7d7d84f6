"""Where the protocol is spoken: OpenAI, Azure, Bedrock, or any address; what each of them has of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from finetune_sdk.errors import SettingsError
from finetune_sdk.settings import variable
from finetune_sdk_openai.options import Options

OPENAI = "https://api.openai.com/v1"
_KEYS = {"openai": "OPENAI_API_KEY", "azure": "AZURE_OPENAI_API_KEY", "bedrock": "AWS_BEARER_TOKEN_BEDROCK"}


@dataclass(frozen=True, slots=True)
class Address:
    """An endpoint and the account there. `key` names the variable that holds the key; the key itself is never kept.

    `metadata` says whether jobs keep it; where they do not, a job is known by its training file's name alone.
    """

    kind: str
    url: str
    key: str
    organisation: str | None = None
    project: str | None = None
    metadata: bool = True
    extra: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, options: Options, place: str) -> Address:
        """Raises SettingsError where the settings do not say which address."""
        kind = options.kind if options.kind in _KEYS else "openai"
        url = (options.base_url or _default(kind, options, place)).rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise SettingsError(
                f"[backends.{place}]: base_url = {_shown(url)!r} is not an address.",
                cure="write it as https://host/v1, without a name or a password in it",
            )
        official = url == OPENAI
        metadata = options.metadata if options.metadata is not None else kind != "azure"
        return cls(
            kind=kind,
            url=url,
            key=options.api_key_env or _KEYS[kind],
            organisation=options.organisation or (variable("OPENAI_ORG_ID") if official else None),
            project=options.project or (variable("OPENAI_PROJECT_ID") if official else None),
            metadata=metadata,
            extra={"trainingType": options.training_type or "GlobalStandard"} if kind == "azure" else {},
        )

    @property
    def official(self) -> bool:
        """Whether this is OpenAI itself, whose calendar, prices and data rules are known."""
        return self.url == OPENAI

    @property
    def loopback(self) -> bool:
        return urlsplit(self.url).hostname in ("127.0.0.1", "localhost", "::1")

    def secret(self) -> str | None:
        return variable(self.key)

    def __str__(self) -> str:
        account = (self.organisation or "", self.project or "")
        return "|".join((self.url, *account)) if any(account) else self.url


def _default(kind: str, options: Options, place: str) -> str:
    if kind == "azure":
        if not options.resource:
            raise SettingsError(
                f"[backends.{place}] does not say which Azure resource.",
                cure='name it: resource = "my-resource", or give the whole base_url',
            )
        return f"https://{options.resource}.openai.azure.com/openai/v1"
    if kind == "bedrock":
        if not options.region:
            raise SettingsError(
                f"[backends.{place}] does not say which region.", cure='name it: region = "us-west-2", or give base_url'
            )
        return f"https://bedrock-mantle.{options.region}.api.aws/v1"
    return OPENAI


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return url.replace(f"{parts.username}:{parts.password}@", "…@") if parts.username else url
