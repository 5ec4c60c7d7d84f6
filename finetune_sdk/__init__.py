"""Fine-tune language models anywhere with one definition: priced before, safe while, judged after.

Each public name is loaded on first use, so `import finetune_sdk` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finetune_sdk.backend import (
        Backend,
        Capabilities,
        Checkpoint,
        Event,
        Export,
        PastFile,
        PastJob,
        Place,
        Resolved,
        Result,
        Status,
    )
    from finetune_sdk.breakeven import BreakEven, Payback, Plan, break_even
    from finetune_sdk.client import Client
    from finetune_sdk.data.checks import Finding
    from finetune_sdk.data.dataset import Dataset
    from finetune_sdk.drafts import Draft, Drafts
    from finetune_sdk.errors import (
        AnswersError,
        BackendError,
        BudgetError,
        DatasetError,
        EvaluationError,
        FinetuneError,
        InputError,
        JobError,
        MissingDependencyError,
        NotFoundError,
        RefusedError,
        RunError,
        SettingsError,
        UnsupportedError,
    )
    from finetune_sdk.estimate import Difference, Estimate, Price, Range, Spent, Upkeep, Usage
    from finetune_sdk.evaluation.counterfactual import Counterfactual
    from finetune_sdk.evaluation.evaluation import Evaluation, Report
    from finetune_sdk.evaluation.evaluators import (
        Bounded,
        Case,
        Check,
        ChrF,
        Confusion,
        Contains,
        Counts,
        EntitySpans,
        ExactMatch,
        FieldMatch,
        Forbidden,
        Instruction,
        Instructions,
        JSONSchema,
        Labels,
        LabelSets,
        Language,
        Length,
        Memorisation,
        NormalisedMatch,
        NumericMatch,
        Pattern,
        Perplexity,
        Refusal,
        RougeL,
        Score,
        Template,
        ToolCalls,
        ValidCSV,
        ValidSQL,
        ValidXML,
        ValidYAML,
        confusion,
        entity_counts,
        label_counts,
        macro_f1,
        micro,
    )
    from finetune_sdk.evaluation.gate import Gate
    from finetune_sdk.evaluation.judges import Judge, PairwiseJudge
    from finetune_sdk.evaluation.pairs import judged_pairs, rated_pairs
    from finetune_sdk.evaluation.preferences import Preference
    from finetune_sdk.evaluation.votes import Vote
    from finetune_sdk.guards import Guards
    from finetune_sdk.job import (
        DPO,
        KTO,
        ORPO,
        RFT,
        SFT,
        Full,
        Job,
        LoRA,
        PrefixTuning,
        Pretraining,
        PromptTuning,
        QLoRA,
    )
    from finetune_sdk.jobfile import JobFile
    from finetune_sdk.log import Log
    from finetune_sdk.messages import (
        ChatExample,
        Conversation,
        Message,
        PreferenceExample,
        RatedExample,
        TaskExample,
        TextExample,
        ToolCall,
    )
    from finetune_sdk.model import Answer, Model, Observed, Origin, Prompted, Recorded, Sampling
    from finetune_sdk.places import Offer, compare
    from finetune_sdk.review import Review
    from finetune_sdk.run import Run
    from finetune_sdk.settings import Settings

__version__ = "0.1.0"

_ROOMS = {
    "backend": "Backend Capabilities Checkpoint Event Export PastFile PastJob Place Resolved Result Status",
    "breakeven": "BreakEven Payback Plan break_even",
    "client": "Client",
    "data.checks": "Finding",
    "data.dataset": "Dataset",
    "drafts": "Draft Drafts",
    "errors": "AnswersError BackendError BudgetError DatasetError EvaluationError FinetuneError InputError JobError "
    "MissingDependencyError NotFoundError RefusedError RunError SettingsError UnsupportedError",
    "estimate": "Difference Estimate Price Range Spent Upkeep Usage",
    "evaluation.counterfactual": "Counterfactual",
    "evaluation.evaluation": "Evaluation Report",
    "evaluation.evaluators": "Bounded Case Check ChrF Confusion Contains Counts EntitySpans ExactMatch FieldMatch Forbidden "
    "Instruction Instructions JSONSchema LabelSets Labels Language Length Memorisation "
    "NormalisedMatch NumericMatch Pattern Perplexity Refusal RougeL Score Template ToolCalls "
    "ValidCSV ValidSQL ValidXML ValidYAML confusion entity_counts label_counts macro_f1 micro",
    "evaluation.gate": "Gate",
    "evaluation.judges": "Judge PairwiseJudge",
    "evaluation.pairs": "judged_pairs rated_pairs",
    "evaluation.preferences": "Preference",
    "evaluation.votes": "Vote",
    "guards": "Guards",
    "job": "DPO KTO ORPO RFT SFT Full Job LoRA PrefixTuning Pretraining PromptTuning QLoRA",
    "jobfile": "JobFile",
    "log": "Log",
    "messages": "ChatExample Conversation Message PreferenceExample RatedExample TaskExample TextExample ToolCall",
    "model": "Answer Model Observed Origin Prompted Recorded Sampling",
    "places": "Offer compare",
    "review": "Review",
    "run": "Run",
    "settings": "Settings",
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = [
    "DPO",
    "KTO",
    "ORPO",
    "RFT",
    "SFT",
    "Answer",
    "AnswersError",
    "Backend",
    "BackendError",
    "Bounded",
    "BreakEven",
    "BudgetError",
    "Capabilities",
    "Case",
    "ChatExample",
    "Check",
    "Checkpoint",
    "ChrF",
    "Client",
    "Confusion",
    "Contains",
    "Conversation",
    "Counterfactual",
    "Counts",
    "Dataset",
    "DatasetError",
    "Difference",
    "Draft",
    "Drafts",
    "EntitySpans",
    "Estimate",
    "Evaluation",
    "EvaluationError",
    "Event",
    "ExactMatch",
    "Export",
    "FieldMatch",
    "Finding",
    "FinetuneError",
    "Forbidden",
    "Full",
    "Gate",
    "Guards",
    "InputError",
    "Instruction",
    "Instructions",
    "JSONSchema",
    "Job",
    "JobError",
    "JobFile",
    "Judge",
    "LabelSets",
    "Labels",
    "Language",
    "Length",
    "LoRA",
    "Log",
    "Memorisation",
    "Message",
    "MissingDependencyError",
    "Model",
    "NormalisedMatch",
    "NotFoundError",
    "NumericMatch",
    "Observed",
    "Offer",
    "Origin",
    "PairwiseJudge",
    "PastFile",
    "PastJob",
    "Pattern",
    "Payback",
    "Perplexity",
    "Place",
    "Plan",
    "Preference",
    "PreferenceExample",
    "PrefixTuning",
    "Pretraining",
    "Price",
    "PromptTuning",
    "Prompted",
    "QLoRA",
    "Range",
    "RatedExample",
    "Recorded",
    "Refusal",
    "RefusedError",
    "Report",
    "Resolved",
    "Result",
    "Review",
    "RougeL",
    "Run",
    "RunError",
    "Sampling",
    "Score",
    "Settings",
    "SettingsError",
    "Spent",
    "Status",
    "TaskExample",
    "Template",
    "TextExample",
    "ToolCall",
    "ToolCalls",
    "UnsupportedError",
    "Upkeep",
    "Usage",
    "ValidCSV",
    "ValidSQL",
    "ValidXML",
    "ValidYAML",
    "Vote",
    "break_even",
    "compare",
    "confusion",
    "entity_counts",
    "judged_pairs",
    "label_counts",
    "macro_f1",
    "micro",
    "rated_pairs",
]


def __getattr__(name: str) -> Any:
    room = _ROOM_OF.get(name)
    if room is None:
        raise AttributeError(f"module 'finetune_sdk' has no attribute {name!r}")
    value = getattr(import_module(f"finetune_sdk.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
