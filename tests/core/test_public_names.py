"""The public names are pinned: to add or take away one is a decision, and shows here."""

from __future__ import annotations

import pytest

import finetune_sdk
from finetune_sdk import errors

NAMES = [
    "DPO", "KTO", "ORPO", "RFT", "SFT", "Answer", "AnswersError", "Backend", "BackendError", "BudgetError", "Capabilities", "Case", "ChatExample",
    "Checkpoint", "Client", "Conversation", "Counterfactual", "Dataset", "DatasetError", "Draft", "Drafts", "Estimate", "Evaluation", "EvaluationError",
    "Event", "ExactMatch", "Export", "FieldMatch", "Finding", "FinetuneError", "Full", "Gate", "Guards", "InputError", "JSONSchema", "Job",
    "JobError", "JobFile", "Judge", "Length", "LoRA", "Log", "Message", "MissingDependencyError", "Model", "NotFoundError",
    "Observed", "Origin", "PairwiseJudge", "PastFile", "PastJob", "Place", "Preference", "PreferenceExample", "PrefixTuning", "Pretraining", "Price", "PromptTuning", "Prompted", "QLoRA", "Range", "RatedExample", "Recorded", "RefusedError", "Report", "Resolved",
    "Result", "Review", "Run", "RunError", "Sampling", "Score", "Settings", "SettingsError", "Status", "TaskExample",
    "TextExample", "ToolCall", "UnsupportedError", "Vote", "judged_pairs", "rated_pairs",
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
