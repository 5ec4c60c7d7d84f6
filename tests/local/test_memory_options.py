"""Options that spare memory: what is learnt stays what it was, and what a device cannot do is refused before a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk.job import Adapter
from finetune_sdk_local import bases
from finetune_sdk_local.batches import plan
from finetune_sdk_local.devices import Device
from finetune_sdk_local.probe import Probe
from finetune_sdk_local.rendering import Renderer
from finetune_sdk_local.tokenising import tokenise
from local_data import chats, pairs

torch = pytest.importorskip("torch")

from finetune_sdk_local import activations, checkpoints, optimizers  # noqa: E402
from finetune_sdk_local.training import Data, Options, Training  # noqa: E402

CPU = Device("cpu", "test", "float32", 1, 1)


def trained(base: str, adapter: Adapter, how: Any, to: Path, *, recompute: bool = False, offload: bool = False) -> Any:
    """Losses and weights of three steps, as a run takes them."""
    model = bases.adapt(bases.load(base, CPU, adapter, train=True), adapter, seed=1)
    if recompute:
        activations.recompute(model)
    rows = pairs(8) if isinstance(how, ft.DPO) else chats(8)
    made = tokenise(Renderer(base, bases.tokenizer(base)), rows, 512)
    width = 2 if isinstance(how, ft.DPO) else 1
    seen: list[tuple[str, Any]] = []
    to.mkdir(parents=True)
    run = Training(
        model, Data(made, None, width), plan(8, 4, 0, None, 3), how, CPU, Options(256, 1000, offload=offload), to, 0,
        lambda kind, message, data: seen.append((message, data.get("loss"))),
    )  # fmt: skip
    run.run()
    weights = {name: parameter.detach() for name, parameter in run.weights.items()}
    return [loss for _, loss in seen if loss is not None], weights, [message for message, _ in seen if message]


SFT = ft.SFT(steps=3, batch_size=4, learning_rate=1e-2, max_length=512)
DPO = ft.DPO(steps=3, batch_size=4, learning_rate=1e-2, max_length=512, beta=0.1)


@pytest.mark.parametrize(
    ("adapter", "how"),
    [(ft.LoRA(rank=4, dropout=0.1), SFT), (ft.LoRA(rank=4, dropout=0.1), DPO), (ft.Full(), SFT), (ft.QLoRA(rank=4), SFT)],
    ids=["lora", "dpo", "full", "qlora"],
)  # fmt: skip
def test_activations_that_are_computed_again_leave_losses_and_weights_as_they_are(
    small: str, tmp_path: Path, adapter: Adapter, how: Any
) -> None:
    """Bit for bit: dropout drops the same again."""
    if isinstance(adapter, ft.QLoRA):
        pytest.importorskip("bitsandbytes")
    losses, weights, _ = trained(small, adapter, how, tmp_path / "plain")
    again, others, said = trained(small, adapter, how, tmp_path / "again", recompute=True)
    assert again == losses
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert (
        said == ["engine: each sequence by itself: activations are computed again, not kept"] or adapter.kind != "full"
    )


def test_fewer_activations_are_kept_when_they_are_computed_again(small: str) -> None:
    def held(*, recompute: bool) -> int:
        model = bases.adapt(bases.load(small, CPU, ft.Full(), train=True), ft.Full(), seed=1).train()
        if recompute:
            activations.recompute(model)
        kept = list[int]()
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.nbytes) or t, lambda t: t):
            model(input_ids=torch.ones(2, 64, dtype=torch.long), use_cache=False).logits.sum()
        return sum(kept)

    assert held(recompute=True) < 0.6 * held(recompute=False)


@pytest.mark.parametrize("how", [SFT, DPO], ids=["sft", "dpo"])
def test_activations_that_are_held_elsewhere_leave_losses_and_weights_as_they_are(
    small: str, tmp_path: Path, how: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activations, "LEAST_BYTES", 1)
    losses, weights, _ = trained(small, ft.LoRA(rank=4), how, tmp_path / "plain")
    again, others, _ = trained(small, ft.LoRA(rank=4), how, tmp_path / "again", offload=True)
    assert again == losses
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_weights_and_small_tensors_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = torch.nn.Sequential(torch.nn.Linear(128, 256, bias=False), torch.nn.Linear(256, 128, bias=False))
    large, tiny = torch.randn(512, 128, requires_grad=True), torch.randn(2, 128, requires_grad=True)
    copied = list[tuple[int, ...]]()
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda size, **more: copied.append(tuple(size)) or empty(size, **more))
    for rows in (large, tiny):
        with activations.kept(layers, offload=True):
            layers(rows).sum().backward()
    assert sorted(copied) == [(512, 128), (512, 256)]


@pytest.mark.parametrize("name", ["adamw", "adamw_8bit", "paged_adamw_8bit"])
@pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU")
def test_an_optimizer_restored_from_safetensors_goes_on_bit_for_bit(name: Any, tmp_path: Path) -> None:
    """Of large matrices the 8-bit optimizers hold bytes and scales, of small ones and of vectors float32."""
    if name != "adamw":
        pytest.importorskip("bitsandbytes")

    def weights() -> dict[str, Any]:
        draw = torch.Generator().manual_seed(0)
        shapes = {"layer.large": (96, 128), "layer.small": (8, 8), "layer.norm": (16,)}
        return {key: torch.nn.Parameter(torch.randn(shape, generator=draw)) for key, shape in shapes.items()}

    def step(optimizer: Any, moved: dict[str, Any], at: int) -> None:
        draw = torch.Generator().manual_seed(100 + at)
        for parameter in moved.values():
            parameter.grad = torch.randn(parameter.shape, generator=draw)
        optimizer.step()

    whole = weights()
    optimizer = optimizers.make(name, whole, 1e-2, 0.1)
    for at in range(3):
        step(optimizer, whole, at)
    groups = {"weights": whole, "optimizer": optimizers.state(optimizer, whole)}
    saved = checkpoints.save(tmp_path, 3, groups, {})
    resumed = weights()
    for key, value in saved.tensors("weights").items():
        resumed[key].data.copy_(value)
    another = optimizers.make(name, resumed, 1e-2, 0.1)
    optimizers.restore(another, resumed, saved.tensors("optimizer"))
    for at in range(3, 6):
        step(optimizer, whole, at)
        step(another, resumed, at)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    kept = saved.tensors("optimizer")
    large = kept["layer.large.exp_avg" if name == "adamw" else "layer.large.state1"]
    assert large.dtype == (torch.float32 if name == "adamw" else torch.uint8)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"optimizer": "adamw_8bit"}, "8-bit kernels"),
        ({"optimizer": "paged_adamw_8bit"}, "8-bit kernels"),
        ({"offload": True}, "in the machine's memory already"),
    ],
    ids=lambda value: str(value),
)
def test_what_only_a_card_can_do_is_refused_elsewhere_before_the_run(
    small: str, home: Path, job: ft.Job, options: dict[str, Any], found: str
) -> None:
    client = ft.Client(settings=ft.Settings("local", home, {"local": {"base": small, "device": "cpu", **options}}))
    for ask in (client.estimate, client.submit):
        with pytest.raises(ft.SettingsError, match="needs a CUDA card") as caught:
            ask(job)
        assert found in caught.value.message
    assert client.backend.runs() == []


def test_shared_prefixes_by_force_and_activations_that_are_not_kept_contradict_each_other(
    small: str, home: Path
) -> None:
    options = {"base": small, "engine": "shared", "activation_checkpointing": True}
    with pytest.raises(ft.SettingsError, match="keeps none"):
        ft.Client(settings=ft.Settings("local", home, {"local": options})).backend  # noqa: B018 - opening it is what raises


def test_a_run_computes_again_what_its_settings_say_and_the_estimate_counts_it(
    client: ft.Client, job: ft.Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = Probe(0.01, 1e-5, 0.0, 0.3, "a steady machine")
    monkeypatch.setattr("finetune_sdk_local.probe.probe", lambda *_: steady)
    place = {**client.settings.places["local"], "activation_checkpointing": True}
    sparing = ft.Client(settings=ft.Settings("local", client.settings.home, {"local": place}))
    more, less = client.estimate(job), sparing.estimate(job)
    assert (less.memory.expected or 0) < (more.memory.expected or 0)
    assert (less.time.expected or 0) > (more.time.expected or 0)
    run = sparing.submit(job)
    run.wait(progress=False)
    assert any("computed again" in event.message for event in run.events())
    assert client.submit(job).id == run.id  # the same job: it is the same model


def test_an_8bit_optimizer_makes_another_run_and_takes_less(
    client: ft.Client, small: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it learns is not bit for bit the same; and a resume keeps to it."""
    from finetune_sdk_local import options

    monkeypatch.setattr(options.Options, "fit", lambda *_: None)
    place = {**client.settings.places["local"], "optimizer": "adamw_8bit"}
    eight = ft.Client(settings=ft.Settings("local", home, {"local": place}))
    job = ft.Job(name="full", train=chats(8), adapter=ft.Full(), method=ft.SFT(steps=1))
    assert eight.resolve(job).own["optimizer"] == "adamw_8bit"
    assert "optimizer" not in client.resolve(job).own
    for figure in ("memory", "disk"):
        assert (getattr(eight.estimate(job), figure).expected or 0) < (
            getattr(client.estimate(job), figure).expected or 0
        )
