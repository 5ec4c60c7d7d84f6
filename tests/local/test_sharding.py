"""Weights that are spread over processes are trained as if each held them all."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
import together
from finetune_sdk_local import bases, checkpoints, defaults
from finetune_sdk_local.devices import Device
from finetune_sdk_local.probe import Probe
from finetune_sdk_local.runs import RunFolder
from local_data import chats, pairs, rated
from test_together import children_of, figures
from watched import folder, losses, until, weights, went_on_from

torch = pytest.importorskip("torch")

CPU = Device("cpu", "test", "float32", 1, 1)
JOBS = {
    "full": ft.Job(
        name="colours", train=chats(13), validation=chats(5, 100), adapter=ft.Full(),
        method=ft.SFT(epochs=1, batch_size=4, learning_rate=1e-3),
    ),
    "lora": ft.Job(
        name="colours", train=chats(13), validation=chats(5, 100), adapter=ft.LoRA(rank=4),
        method=ft.SFT(epochs=1, batch_size=4, learning_rate=1e-2),
    ),
    "dora": ft.Job(
        name="thanks", train=pairs(9), validation=pairs(3, 100), adapter=ft.LoRA(rank=4, dora=True),
        method=ft.DPO(epochs=1, batch_size=4, learning_rate=1e-2),
    ),
    "kto": ft.Job(
        name="rated", train=rated(12), validation=rated(6, 100), adapter=ft.LoRA(rank=4),
        method=ft.KTO(epochs=1, batch_size=4, learning_rate=1e-2),
    ),
    "orpo": ft.Job(
        name="thanks", train=pairs(9), validation=pairs(3, 100), adapter=ft.Full(),
        method=ft.ORPO(epochs=1, batch_size=4, learning_rate=1e-3),
    ),
    "prompt": ft.Job(
        name="colours", train=chats(9), validation=chats(5, 100), adapter=ft.PromptTuning(tokens=3),
        method=ft.SFT(epochs=1, batch_size=4, learning_rate=1e-2),
    ),
    "prefix": ft.Job(
        name="colours", train=chats(13), validation=chats(5, 100), adapter=ft.PrefixTuning(tokens=3),
        method=ft.SFT(epochs=1, batch_size=4, learning_rate=1e-2),
    ),
    "qlora": ft.Job(
        name="colours", train=chats(9), validation=chats(5, 100), adapter=ft.QLoRA(rank=4),
        method=ft.SFT(epochs=1, batch_size=4, learning_rate=1e-2),
    ),
}  # fmt: skip


def prepared(base: str, where: Path, job: ft.Job, micro_tokens: int = 60) -> Path:
    """A job's folder as it is submitted; so few tokens at once that a step takes several passes."""
    client = ft.Client(settings=ft.Settings("local", where / "home", {"local": {"base": base, "device": "cpu"}}))
    resolved, run = client.resolve(job), RunFolder(where / "job")
    homes = defaults.own_judges(resolved.job)
    machine = {"threads": 1, "micro_tokens": micro_tokens, "checkpoint_every": 2, "engine": "auto", "homes": homes}
    run.make(
        {**resolved.to_dict(), "machine": machine, "token": resolved.token("here", 1)},
        train=job.train,
        validation=job.validation,
    )
    return run.path


SHORT = {"full", "lora", "qlora", "prompt"}
"""The others go through the same code, and are tried in the long version."""


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in SHORT else pytest.mark.soak) for kind in sorted(JOBS)]
)
def test_two_processes_with_half_the_weights_each_train_what_one_trains(small: str, tmp_path: Path, kind: str) -> None:
    """But for rounding; and what two with all the weights train, bit for bit where these stand still.

    Steps of one example are among them, and others in which one process has more to pass than the other.
    """
    if kind == "qlora":
        pytest.importorskip("bitsandbytes")
    made = prepared("tiny" if kind == "qlora" else small, tmp_path, JOBS[kind])
    alone, both, spread = (together.copied(made, tmp_path / name) for name in ("alone", "both", "spread"))
    assert together.trained(alone, 1) == [0]
    assert together.trained(both, 2, engine="separate") == [0, 0]
    assert together.trained(spread, 2, sharding=True) == [0, 0]
    assert_the_same_losses(alone, spread)
    assert_the_same_losses(both, spread)
    one, other = (model(path) for path in (both, spread))
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]) or (kind in ("full", "orpo") and close(tensor, other[name])), name
    if kind != "qlora":
        assert all(close(tensor, other[name]) for name, tensor in model(alone).items())
    left = [{path.name: path for path in (run / "model").iterdir()} for run in (both, spread)]
    assert left[0].keys() == left[1].keys()
    for name in left[0].keys() & {"adapter_config.json", "config.json"}:
        assert left[0][name].read_text() == left[1][name].read_text()


def counts_passes(training: Any) -> None:
    """Of the model, and of these the ones from which something is learnt or seen."""
    from finetune_sdk_local import objectives

    counted, plain = {"all": 0, "own": 0}, objectives.sft

    def count(what: str) -> None:
        counted[what] += 1
        (training.folder / f"passes.{training.processes.rank}").write_text(json.dumps(counted))

    def sft(*given: Any) -> Any:
        count("own")
        return plain(*given)

    training.model.register_forward_pre_hook(lambda *_: count("all"))
    objectives.sft = sft


def test_a_process_with_less_to_do_takes_part_in_every_pass(small: str, tmp_path: Path) -> None:
    made = prepared(small, tmp_path, JOBS["lora"])
    assert together.trained(made, 2, sharding=True, change=counts_passes) == [0, 0]
    one, other = (json.loads((made / f"passes.{rank}").read_text()) for rank in range(2))
    assert one["all"] == other["all"]
    assert one["own"] > other["own"] + 1


def test_activations_that_are_computed_again_gather_weights_again(small: str, tmp_path: Path) -> None:
    made = prepared(small, tmp_path, JOBS["full"])
    plain, again = (together.copied(made, tmp_path / name) for name in ("plain", "again"))
    assert together.trained(plain, 2, sharding=True) == [0, 0]
    assert together.trained(again, 2, sharding=True, activation_checkpointing=True) == [0, 0]
    assert all(torch.equal(tensor, model(again)[name]) for name, tensor in model(plain).items())


def test_experts_that_one_process_alone_has_use_for_are_learnt(small: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, Qwen3MoeConfig, Qwen3MoeForCausalLM

    tokenizer, base = AutoTokenizer.from_pretrained(small), tmp_path / "base"
    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, moe_intermediate_size=16, num_experts=8,
        num_experts_per_tok=1, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    Qwen3MoeForCausalLM(config).save_pretrained(base)
    tokenizer.save_pretrained(base)
    made = prepared(str(base), tmp_path, JOBS["full"])
    alone, spread = (together.copied(made, tmp_path / name) for name in ("alone", "spread"))
    assert together.trained(alone, 1) == [0]
    assert together.trained(spread, 2, sharding=True) == [0, 0]
    assert_the_same_losses(alone, spread)
    one, other = model(alone), model(spread)
    assert one.keys() == other.keys()
    assert all(close(tensor, other[name]) for name, tensor in one.items())


def saves_and_ends(training: Any) -> None:
    """As a run that is stopped after its second step."""
    training.stop = lambda: training.progress.step == 2


@pytest.mark.parametrize(
    ("kind", "count"), [("full", 1), ("full", 2), pytest.param("full", 3, marks=pytest.mark.soak), ("lora", 2)]
)
def test_a_checkpoint_knows_nothing_of_parts(small: str, tmp_path: Path, kind: str, count: int) -> None:
    """So a run goes on in as many processes as there are: bit for bit in as many as before, else but for rounding."""
    made = prepared(small, tmp_path, JOBS[kind])
    whole, resumed = (together.copied(made, tmp_path / name) for name in ("whole", "resumed"))
    assert together.trained(whole, 2, sharding=True) == [0, 0]
    together.trained(resumed, 2, sharding=True, change=saves_and_ends)
    assert "Stopped" in together.fault(resumed, 0)
    assert checkpoints.latest(resumed / "checkpoints")[0].step == 2
    assert together.trained(resumed, count, sharding=count > 1) == [0] * count
    one, other = model(whole), model(resumed)
    same = torch.equal if count == 2 else close
    assert all(same(tensor, other[name]) for name, tensor in one.items())


def counts_what_it_holds(training: Any) -> None:
    parts = [getattr(each, "to_local", lambda each=each: each)() for each in training.model.parameters()]
    held = [sum(part.numel() for part in parts), sum(part.untyped_storage().nbytes() // 4 for part in parts)]
    (training.folder / f"held.{training.processes.rank}").write_text(json.dumps(held))


def test_each_process_holds_its_part_of_the_base_and_all_of_the_adapter(small: str, tmp_path: Path) -> None:
    made = prepared(small, tmp_path, JOBS["lora"])
    together.trained(made, 3, sharding=True, change=counts_what_it_holds)
    base = bases.load(small, CPU)
    adapted = bases.adapt(bases.load(small, CPU), ft.LoRA(rank=4), 0)
    numbers, own = sum(map(torch.numel, base.parameters())), sum(map(torch.numel, bases.trainable(adapted).values()))
    held = [[each - own for each in json.loads((made / f"held.{rank}").read_text())] for rank in range(3)]
    assert sum(parts for parts, _ in held) == numbers
    assert max(max(each) for each in held) < 0.4 * numbers  # memory included


def test_shared_prefixes_are_left_and_the_run_says_why(small: str, tmp_path: Path) -> None:
    made = prepared(small, tmp_path, JOBS["lora"])
    together.trained(made, 2, sharding=True)
    said = [event.message for event in RunFolder(made).events()]
    assert (
        "engine: each sequence by itself: its weights are spread over processes, and all have to take the same passes"
        in said
    )


def unfilled(config: Any) -> Any:
    from transformers import LlamaForCausalLM

    with torch.device("meta"):
        return LlamaForCausalLM(config)


def place(home: Path, base: str, **options: Any) -> ft.Client:
    local = {"base": base, "device": "cpu", "threads": 1, "processes": 2, "sharding": True, **options}
    return ft.Client(settings=ft.Settings("local", home, {"local": local}))


def test_what_does_not_go_with_it_is_refused_before_anything_is_loaded(small: str, tmp_path: Path) -> None:
    for options, word in (
        ({"processes": 1}, "there is one"),
        ({"engine": "shared"}, "shared"),
        ({"offload": True}, "offload"),
    ):
        with pytest.raises(ft.SettingsError, match=word) as caught:
            place(tmp_path, small, **options).estimate(JOBS["lora"])
        assert caught.value.cure
    guards = ft.Guards(best_by=(ft.ExactMatch(),))
    guarded = ft.Job(name="a", train=chats(8), validation=chats(4, 100), method=ft.SFT(), guards=guards)
    with pytest.raises(ft.SettingsError, match="guards"):
        place(tmp_path, small).estimate(guarded)


@pytest.mark.parametrize(("kind", "each"), [("full", 16), ("lora", 4)])
def test_the_estimate_divides_the_weights(
    small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, each: int
) -> None:
    """And with full weights their gradients and moments; of each process, four less another's three quarters."""
    from transformers import AutoConfig

    steady = Probe(0.01, 1e-5, 0.0, 0.3, "a steady machine")
    monkeypatch.setattr("finetune_sdk_local.probe.probe", lambda *_: steady)
    large = Path(shutil.copytree(small, tmp_path / "large"))
    config = AutoConfig.from_pretrained(small)
    config.update({"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 64, "layer_types": None})
    config.save_pretrained(large)
    whole, parts = (
        place(tmp_path, str(large), processes=4, sharding=sharding).estimate(JOBS[kind]).memory.expected or 0
        for sharding in (False, True)
    )
    weights = sum(layer.numel() for layer in unfilled(config).parameters())
    assert whole - parts == pytest.approx(4 * 0.75 * each * weights, rel=0.1)


@pytest.mark.slow
def test_the_model_of_a_run_is_that_of_its_best_step(small: str, tmp_path: Path) -> None:
    """Made from the checkpoint: when it is published, no other process is there any more."""
    client = place(tmp_path, small)
    method = ft.SFT(epochs=4, batch_size=4, learning_rate=3e-2, schedule="constant", validate_every=2)
    run = client.submit(
        ft.Job(name="colours", train=chats(13), validation=chats(5, 100), adapter=ft.Full(), method=method)
    )
    run.wait(progress=False)
    said = [event.message for event in run.events() if event.message.startswith("the model is that of step")]
    (best,) = [int(message.split()[6].rstrip(",")) for message in said]
    kept = checkpoints.required(folder(client, run) / "checkpoints", best).tensors("weights")
    left = model(folder(client, run))
    assert left.keys() == kept.keys()
    assert all(torch.equal(tensor, left[name]) for name, tensor in kept.items())
    assert run.model().answer("case 1").text is not None


@pytest.mark.soak
def test_a_process_that_dies_ends_the_run_and_a_resume_goes_on(small: str, tmp_path: Path) -> None:
    client = place(tmp_path, small, checkpoint_every=2)
    run = client.submit(ft.Job(name="long", train=chats(12), adapter=ft.Full(), method=ft.SFT(steps=120, batch_size=4)))
    until(lambda: len(losses(run)) > 4)
    (other,) = children_of(int((folder(client, run) / "worker.lock").read_text()))
    os.kill(other, 9)
    until(lambda: run.status.terminal, 60)
    assert run.status == "failed"
    assert "another process of the run has ended" in list(run.events())[-1].message
    run.resume()
    run.wait(progress=False)
    assert went_on_from(run)[0] >= 4
    assert run.status == "succeeded"


def model(run: Path) -> dict[str, Any]:
    (file,) = (run / "model").glob("*.safetensors")
    return weights(file)


def close(one: Any, other: Any) -> bool:
    return bool(torch.allclose(one, other, rtol=1e-3, atol=2e-5))


def assert_the_same_losses(one: Path, other: Path) -> None:
    mine, theirs = (figures(RunFolder(path).events()) for path in (one, other))
    assert len(mine) == len(theirs) > 3
    for expected, found in zip(mine, theirs, strict=True):
        assert found == pytest.approx(expected, rel=2e-4, abs=2e-6)
