"""The public names are pinned: to add or take away one is a decision, and shows here."""

from __future__ import annotations

import pytest

import finetune_sdk
from finetune_sdk import errors

NAMES = [
    "DPO", "KTO", "ORPO", "RFT", "SFT", "Answer", "AnswersError", "Backend", "BackendError", "Bounded", "BreakEven",
    "BudgetError", "Capabilities", "Case", "ChatExample", "Check", "Checkpoint", "ChrF", "Client", "Confusion",
    "Contains", "Conversation", "Counterfactual", "Counts", "Dataset", "DatasetError", "Difference", "Draft",
    "Drafts", "EntitySpans", "Estimate", "Evaluation", "EvaluationError", "Event", "ExactMatch", "Export",
    "FieldMatch", "Finding", "FinetuneError", "Forbidden", "Full", "Gate", "Guards", "InputError", "Instruction",
    "Instructions", "JSONSchema", "Job", "JobError", "JobFile", "Judge", "LabelSets", "Labels", "Language",
    "Length", "LoRA", "Log", "Memorisation", "Message", "MissingDependencyError", "Model", "NormalisedMatch",
    "NotFoundError", "NumericMatch", "Observed", "Offer", "Origin", "PairwiseJudge", "PastFile", "PastJob",
    "Pattern", "Payback", "Perplexity", "Place", "Plan", "Preference", "PreferenceExample", "PrefixTuning",
    "Pretraining", "Price", "PromptTuning", "Prompted", "QLoRA", "Range", "RatedExample", "Recorded", "Refusal",
    "RefusedError", "Report", "Resolved", "Result", "Review", "RougeL", "Run", "RunError", "Sampling", "Score",
    "Settings", "SettingsError", "Spent", "Status", "TaskExample", "Template", "TextExample", "ToolCall", "ToolCalls",
    "UnsupportedError", "Upkeep", "Usage", "ValidCSV", "ValidSQL", "ValidXML", "ValidYAML", "Vote", "break_even",
    "compare", "confusion", "entity_counts", "judged_pairs", "label_counts", "macro_f1", "micro", "rated_pairs",
]  # fmt: skip


def test_the_public_names_are_these() -> None:
    assert sorted(finetune_sdk.__all__) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_public_name_can_be_loaded(name: str) -> None:
    assert getattr(finetune_sdk, name) is not None
    assert name in dir(finetune_sdk)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Jobs'"):
        finetune_sdk.Jobs  # noqa: B018


def test_every_error_has_one_root_and_is_drawn_in_the_tree() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind is not errors.FinetuneError]
    assert all(issubclass(kind, errors.FinetuneError) for kind in kinds)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in kinds)


def test_an_error_shows_its_cure_and_a_missing_package_its_install_line() -> None:
    assert str(errors.JobError("wrong.", cure="right it")) == "wrong.\n  cure: right it"
    missing = errors.MissingDependencyError("torch", extra="local")
    assert missing.cure == "pip install 'finetune-anywhere[local]'"
