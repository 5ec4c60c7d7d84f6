"""All checks that there are."""

from collections.abc import Callable

from finetune_sdk.data.checks import QUICK, Check
from finetune_sdk.data.checks.answers import CutAnswers, EmptyAnswers, Refusals
from finetune_sdk.data.checks.calls import ToolCalls
from finetune_sdk.data.checks.conflicts import Conflicts
from finetune_sdk.data.checks.labels import Labels
from finetune_sdk.data.checks.near import NearDuplicates
from finetune_sdk.data.checks.outliers import Languages, Lengths
from finetune_sdk.data.checks.outputs import OutputForms, SystemPrompts
from finetune_sdk.data.checks.personal import PersonalData
from finetune_sdk.data.checks.secrets import Secrets
from finetune_sdk.data.checks.synthetic import Synthetic

THOROUGH: tuple[Callable[[], Check], ...] = (
    *QUICK, Conflicts, Labels, OutputForms, EmptyAnswers, CutAnswers, Refusals, Secrets, PersonalData, ToolCalls,
    SystemPrompts, NearDuplicates, Languages, Lengths, Synthetic,
)  # fmt: skip
"""All that is looked for by `finetune check` and `Dataset.check`."""
