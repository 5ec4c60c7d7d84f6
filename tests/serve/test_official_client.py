"""The official client with only its address and key changed: what it does at OpenAI, it does here."""

from __future__ import annotations

import base64
from pathlib import Path

import openai
import pytest

from finetune_sdk.serve.service import Options
from serving import Served, chats, in_a_thread, pairs


def test_it_uploads_tunes_follows_lists_checkpoints_chats_and_cancels(served: Served) -> None:
    client = served.client()
    file = client.files.create(file=("rows.jsonl", chats()), purpose="fine-tune")
    validation = client.files.create(file=("more.jsonl", chats(4, 100)), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model="echo",
        training_file=file.id,
        validation_file=validation.id,
        suffix="numbers",
        seed=7,
        metadata={"team": "a"},
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 4}}},
    )
    assert job.status == "validating_files"
    done = served.ended(job.id)
    assert done.status == "succeeded", done
    assert done.fine_tuned_model == f"ft:echo:local:numbers:{job.id[6:14]}"
    assert (done.seed, done.metadata, done.trained_tokens) == (7, {"team": "a"}, 24 * 8 * 2)
    assert done.method.supervised.hyperparameters.n_epochs == 2

    events = list(client.fine_tuning.jobs.list_events(job.id, limit=7))  # several pages
    messages = [event.message for event in reversed(events)]
    assert messages[:3] == [
        f"Created fine-tuning job: {job.id}",
        f"Validating training file: {file.id}",
        "Files validated, moving job to queued state",
    ]
    assert messages[-1] == "The job has successfully completed"
    losses = [event.data["train_loss"] for event in reversed(events) if event.type == "metrics"]
    assert losses[0] > losses[-1]
    assert len({event.id for event in events}) == len(events)

    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id, limit=2))
    assert [one.step_number for one in checkpoints] == sorted((one.step_number for one in checkpoints), reverse=True)
    assert checkpoints[0].fine_tuned_model_checkpoint.startswith(f"{done.fine_tuned_model}:ckpt-step-")

    table = base64.b64decode(client.files.content(done.result_files[0]).text).decode().splitlines()
    assert table[0].startswith("step,train_loss,")
    assert len(table) - 1 == len(losses)

    answer = client.chat.completions.create(
        model=done.fine_tuned_model, messages=[{"role": "user", "content": "What is 3?"}]
    )
    assert answer.choices[0].message.content == "It is 3."
    assert done.fine_tuned_model in [model.id for model in client.models.list()]
    assert client.models.delete(done.fine_tuned_model).deleted
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.chat.completions.create(model=done.fine_tuned_model, messages=[{"role": "user", "content": "?"}])


def test_it_tunes_by_preferences(served: Served) -> None:
    client = served.client()
    job = served.tune(
        pairs(), method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.3, "learning_rate_multiplier": 2}}}
    )
    done = served.ended(job)
    assert done.status == "succeeded", done
    found = done.method.dpo.hyperparameters
    assert (found.beta, found.learning_rate_multiplier, found.n_epochs) == (0.3, 2.0, 3)
    answer = client.chat.completions.create(
        model=done.fine_tuned_model, messages=[{"role": "user", "content": "What is 3?"}]
    )
    assert answer.choices[0].message.content == "It is 3."


def test_it_uploads_in_parts(served: Served, tmp_path: Path) -> None:
    client, content = served.client(), chats(200)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    upload = client.uploads.upload_file_chunked(file=path, mime_type="text/jsonl", purpose="fine-tune", part_size=5000)
    assert upload.status == "completed"
    assert upload.file is not None
    assert client.files.content(upload.file.id).content == content
    assert served.ended(served.tune(training_file=upload.file.id)).status == "succeeded"


@pytest.mark.soak
@pytest.mark.slow
def test_it_tunes_the_small_base_on_this_machine_by_both_methods(home: Path) -> None:
    """SFT and DPO on `tiny`: uploads, follows, lists checkpoints, chats while another trains, and cancels."""
    pytest.importorskip("torch")
    table = {"device": "cpu", "threads": 1, "checkpoint_every": 2}
    with in_a_thread(home, Options(bases=("tiny",)), "local", **table) as served:
        client = served.client()
        asked = [{"role": "user", "content": "What is 3?"}]
        few = {"n_epochs": 1, "batch_size": 8}
        sft = served.tune(
            chats(16), model="tiny", method={"type": "supervised", "supervised": {"hyperparameters": few}}
        )
        more = {"n_epochs": 3, "batch_size": 4}
        dpo = served.tune(pairs(16), model="tiny", method={"type": "dpo", "dpo": {"hyperparameters": more}})
        third = served.tune(chats(24), model="tiny")
        assert client.fine_tuning.jobs.cancel(third).status == "cancelled"
        before = client.chat.completions.create(model="tiny", messages=asked, max_tokens=4, temperature=0)
        assert before.usage is not None
        assert before.usage.completion_tokens <= 4

        done = served.ended(sft, 120)
        assert done.status == "succeeded", done
        assert done.trained_tokens > 0
        assert any(event.type == "metrics" for event in client.fine_tuning.jobs.list_events(sft))
        assert [one.step_number for one in client.fine_tuning.jobs.checkpoints.list(sft)]
        stream = client.chat.completions.create(
            model=done.fine_tuned_model, messages=asked, max_tokens=8, temperature=0, stream=True
        )
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
        whole = client.chat.completions.create(model=done.fine_tuned_model, messages=asked, max_tokens=8, temperature=0)
        assert "".join(pieces) == whole.choices[0].message.content
        assert sum(bool(piece) for piece in pieces) > 1, "it is heard while it is said"

        served.until(dpo, lambda job: job.status == "running", 60)
        client.chat.completions.create(model=done.fine_tuned_model, messages=asked, max_tokens=4)
        assert client.fine_tuning.jobs.retrieve(dpo).status == "running", "a model answers while another trains"
        assert served.ended(dpo, 120).status == "succeeded"
