"""Secrets in the rows: keys, tokens and passwords, by the patterns of detect-secrets. Nothing is verified or sent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from finetune_sdk.data.checks.finding import Finding, Rows
from finetune_sdk.data.checks.personal import Held, all_text, apart, masked, texts
from finetune_sdk.data.checks.places import Places, rows_of
from finetune_sdk.data.checks.reading import key, tools
from finetune_sdk.errors import MissingDependencyError

# Left out of detect-secrets: what goes by entropy or by a word beside it (prose is full of both), and Artifactory,
# whose pattern any order number may have. IP addresses are looked for as personal data.
_PLUGINS = (
    "aws.AWSKeyDetector", "azure_storage_key.AzureStorageKeyDetector", "basic_auth.BasicAuthDetector",
    "cloudant.CloudantDetector", "discord.DiscordBotTokenDetector", "github_token.GitHubTokenDetector",
    "gitlab_token.GitLabTokenDetector", "ibm_cos_hmac.IbmCosHmacDetector", "jwt.JwtTokenDetector",
    "mailchimp.MailchimpDetector", "npm.NpmDetector", "openai.OpenAIDetector", "pypi_token.PypiTokenDetector",
    "sendgrid.SendGridDetector", "slack.SlackDetector", "softlayer.SoftlayerDetector",
    "square_oauth.SquareOAuthDetector", "stripe.StripeDetector", "telegram_token.TelegramBotTokenDetector",
    "twilio.TwilioKeyDetector",
)  # fmt: skip
_OWN = (
    ("Private Key", re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [^\n-]+-----|\Z)", re.DOTALL)),
    ("Anthropic Key", re.compile(r"\bsk-ant-[\w\-]{20,}")),
    ("OpenAI Key", re.compile(r"\bsk-(?:proj-|svcacct-)?(?=[\w\-]*\d)[\w\-]{32,}")),
    ("Google Key", re.compile(r"\bAIza[\w\-]{35}")),
    ("Hugging Face Token", re.compile(r"\bhf_[A-Za-z0-9]{30,}")),
    ("GitHub Token", re.compile(r"\bgithub_pat_\w{50,}")),
)  # fmt: skip
_SHORTEST = 20
_MOST_KEPT = 500
_LIKELY = re.compile(r"[A-Za-z0-9_\-/+=.:@]{20,}|PRIVATE KEY|://[^\s/@]+@")
_TOKEN = re.compile(r"[A-Za-z0-9_\-]*")
_MADE_UP = re.compile(
    r"(?:x{6,}|\*{4,}|\.{3}|your|example|placeholder|<[^>]*>|\$\{|^(?:password|passwd|pass|pwd|secret|token|admin|test)$)",
    re.IGNORECASE,
)


@cache
def _patterns() -> Sequence[tuple[str, re.Pattern[str]]]:
    """What each kind of secret looks like. Raises MissingDependencyError."""
    from importlib import import_module

    found = list(_OWN)
    for name in _PLUGINS:
        module, _, detector = name.partition(".")
        try:
            plugin = getattr(import_module(f"detect_secrets.plugins.{module}"), detector)()
        except ModuleNotFoundError as fault:
            raise MissingDependencyError(f"{fault.name}, which looking for secrets needs,", extra="data") from None
        found += ((plugin.secret_type, pattern) for pattern in plugin.denylist)
    return found


def secrets(text: str) -> list[Held]:
    """The secrets in a text, in order. Values that are plainly made up (`sk-xxxxxxxx`, `your-key`) are none."""
    if max(map(len, text.split()), default=0) < _SHORTEST and "PRIVATE KEY" not in text and "://" not in text:
        return []
    if _LIKELY.search(text) is None:
        return []
    return apart([held for name, pattern in _patterns() for held in _matches(name, pattern, text)])


def _matches(name: str, pattern: re.Pattern[str], text: str) -> Iterator[Held]:
    for match in pattern.finditer(text):
        # The group of most patterns is the secret itself; of some it is only how the secret begins.
        group = match.lastindex or 0
        if group and name != "Basic Auth Credentials" and len(match.group(group) or "") < 16:
            group = 0
        start, end = match.span(group)
        if text[end - 1].isalnum() and (rest := _TOKEN.match(text, end)):
            end = rest.end()
        if not _MADE_UP.search(text[start:end]):
            yield Held("SECRET", start, end, f"{name}\0{text[start:end]}")


@dataclass(slots=True)
class Secrets:
    """Rows that hold a key, a token or a password, by kind. The example is masked."""

    _kinds: dict[str, Places] = field(default_factory=dict)
    _missing: MissingDependencyError | None = None
    _tools: dict[int, Sequence[Held]] = field(default_factory=dict)

    def see(self, index: int, row: Mapping[str, Any]) -> None:
        if self._missing is not None:
            return
        try:
            held = [*secrets(all_text(row)), *self._in_tools(row)]
        except MissingDependencyError as fault:
            self._missing = fault
            return
        for kind, _, value in {held.value: held.value.partition("\0") for held in held}.values():
            self._kinds.setdefault(kind, Places()).add(index, masked(value))

    def _in_tools(self, row: Mapping[str, Any]) -> Sequence[Held]:
        """Those in the definitions of a row's tools, which many rows share."""
        offered = tools(row)
        if not offered:
            return ()
        stands_for = key(list(offered))
        if stands_for not in self._tools:
            if len(self._tools) == _MOST_KEPT:
                self._tools.clear()
            self._tools[stands_for] = secrets("\n".join(texts(list(offered), free=True)))
        return self._tools[stands_for]

    def findings(self, rows: Rows) -> Iterator[Finding]:
        if self._missing is not None:
            yield Finding(
                "secrets", "note", f"secrets were not looked for: {self._missing.message}", str(self._missing.cure)
            )
        for kind, places in self._kinds.items():
            yield places.finding(
                rows,
                "secrets",
                "warning",
                f"{rows_of(places.count, 'holds', 'hold')} a secret ({kind}).",
                "revoke it, for it was written down; `finetune check FILE --fix OUT --redact` puts placeholders",
            )
