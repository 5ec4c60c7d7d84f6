"""What leaves this machine answers as the run does: the adapter as it is, merged weights only when they agree with it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk_local import agreement, bases, exporting
from finetune_sdk_local.devices import Device
from finetune_sdk_local.rounding import Stochastic, nearest
from local_data import chats
from watched import folder, weights

CPU = Device("cpu", "test", "float32", 1, 1)
SHORT = ft.Sampling(max_tokens=12)
ASKED = [example.prompt for example in chats(4)]


def client_at(home: Path) -> ft.Client:
    return ft.Client(settings=ft.Settings("local", home, {"local": {"base": "tiny", "device": "cpu", "threads": 1}}))


def like(place: ft.Client, run: ft.Run, key: str) -> tuple[ft.Run, Path]:
    """A run that ended as that one did, and the folder of its model, to be made another."""
    own = folder(place, run).with_name(key)
    shutil.copytree(folder(place, run), own)
    return place.get_run(f"local:{key}"), own / "model"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> ft.Client:
    return client_at(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def run(place: ft.Client) -> ft.Run:
    method = ft.SFT(steps=6, batch_size=8, learning_rate=5e-3, schedule="constant")
    run = place.submit(ft.Job(name="colours", train=chats(8), adapter=ft.LoRA(rank=4), method=method))
    run.wait(progress=False)
    return run


@pytest.fixture(scope="module")
def merged(run: ft.Run, tmp_path_factory: pytest.TempPathFactory) -> ft.Export:
    return run.export(tmp_path_factory.mktemp("out") / "merged", "merged")


def said(model: ft.Model) -> list[str]:
    return [answer.text for answer in model.answers(ASKED, SHORT)]


def test_an_adapter_is_exported_as_it_is_and_answers_from_its_folder(
    place: ft.Client, run: ft.Run, tmp_path: Path
) -> None:
    made = run.export(tmp_path / "adapter")
    left = folder(place, run) / "model"
    for file in left.iterdir():
        assert (made.folder / file.name).read_bytes() == file.read_bytes()
    assert {"adapter_model.safetensors", "tokenizer.json", "chat_template.jinja", "manifest.json"} <= {
        file.name for file in made.folder.iterdir()
    }
    answers = said(run.model())
    assert answers != said(place.model("tiny"))
    assert said(place.model(str(made.folder))) == answers


def test_merged_weights_answer_as_the_adapter_and_are_a_base_again(
    place: ft.Client, run: ft.Run, merged: ft.Export
) -> None:
    names = {file.name for file in merged.folder.iterdir()}
    assert {"model.safetensors", "config.json", "generation_config.json", "tokenizer.json"} <= names
    assert {"chat_template.jinja", "manifest.json"} <= names
    assert not [name for name in names if name.startswith("adapter")]
    assert said(place.model(str(merged.folder))) == said(run.model())
    again = ft.Job(name="again", train=chats(8), base=str(merged.folder), method=ft.SFT(steps=1, batch_size=8))
    assert not [finding for finding in place.check(again) if finding.severity == "error"]


def test_only_the_layers_of_the_adapter_change_and_the_dtype_stays(merged: ft.Export) -> None:
    before, after = (weights(path / "model.safetensors") for path in (bases.EMBEDDED["tiny"], merged.folder))
    assert before.keys() == after.keys()
    assert {name: tensor.dtype for name, tensor in before.items()} == {name: each.dtype for name, each in after.items()}
    changed = {name for name in before if not before[name].equal(after[name])}
    assert len(changed) == 4 * 7
    assert all(name.endswith("_proj.weight") for name in changed)


def test_the_manifest_says_what_was_merged_into_what_and_what_was_measured(run: ft.Run, merged: ft.Export) -> None:
    manifest = json.loads((merged.folder / "manifest.json").read_text())
    assert manifest == merged.manifest
    assert manifest["merged_into"] == "the weights of tiny as they are stored, bfloat16"
    assert (manifest["run"], manifest["dtype"]) == (run.key, "bfloat16")
    found = manifest["agreement"]
    assert 0 < found["off"] <= found["bound"] < found["moved"]
    assert found["answers"] + len(found["flips"]) == found["prompts"] == agreement.PROMPTS
    for name, seal in manifest["files"].items():
        data = (merged.folder / name).read_bytes()
        assert (len(data), sha256(data).hexdigest()) == (seal["bytes"], seal["sha256"])


def test_a_server_is_told_where_answers_end(merged: ft.Export) -> None:
    generation = json.loads((merged.folder / "generation_config.json").read_text())
    assert generation["eos_token_id"] == bases.ends("tiny")


def test_the_lines_that_serve_a_folder_name_it(run: ft.Run, merged: ft.Export, tmp_path: Path) -> None:
    lines = merged.serving
    assert lines["vllm"] == f"vllm serve {merged.folder} --served-model-name merged"
    assert lines["tgi"] == f"text-generation-launcher --model-id {merged.folder}"
    assert "--kind gguf" in lines["ollama"]
    assert not list(merged.folder.glob("*.gguf"))
    assert not (merged.folder / "Modelfile").exists()
    lines = run.export(tmp_path / "my adapter").serving
    base = bases.EMBEDDED["tiny"]
    assert lines["vllm"] == (
        f"vllm serve {base} --enable-lora --max-lora-rank 8 --lora-modules 'my adapter'='{tmp_path}/my adapter'"
    )


def test_a_template_that_can_think_is_said_to_be_asked_not_to(place: ft.Client, run: ft.Run, tmp_path: Path) -> None:
    thinking, model = like(place, run, "thinking")
    template = model / "chat_template.jinja"
    template.write_text(template.read_text() + "{% if enable_thinking %}{% endif %}")
    assert not run.export(tmp_path / "plain").notes
    assert any('{"enable_thinking": false}' in note for note in thinking.export(tmp_path / "thinking").notes)


def weaker(place: ft.Client, run: ft.Run, key: str, share: float) -> ft.Run:
    """That run, had it learnt so much less."""
    from safetensors.torch import load_file, save_file

    weak, model = like(place, run, key)
    held = load_file(model / "adapter_model.safetensors")
    less = {name: tensor * share if "lora_B" in name else tensor for name, tensor in held.items()}
    save_file(less, model / "adapter_model.safetensors")
    return weak


def test_an_adapter_that_rounding_swallows_is_not_merged(place: ft.Client, run: ft.Run, tmp_path: Path) -> None:
    """A few small steps change weights by less than bfloat16 can hold: merged, they would be the base again."""
    with pytest.raises(
        ft.RunError, match=r"rounded by chance, its logits are off by .* where the bound is .* Nothing was exported"
    ) as caught:
        weaker(place, run, "weak", 1e-4).export(tmp_path / "out" / "merged", "merged")
    assert "rounded to the nearest, its logits are off by" in caught.value.message
    assert 'kind="adapter"' in str(caught.value.cure)
    assert not list(tmp_path.iterdir())


def test_what_rounding_to_the_nearest_would_swallow_is_kept_by_rounding_by_chance(
    place: ft.Client, run: ft.Run, merged: ft.Export, tmp_path: Path
) -> None:
    """Within the same bounds, which to the nearest it does not keep; and the same bytes each time."""
    made, again = (weaker(place, run, f"small{n}", 0.03).export(tmp_path / f"{n}", "merged") for n in (1, 2))
    assert (merged.manifest["rounding"], made.manifest["rounding"]) == ("nearest", "stochastic")
    found = made.manifest["agreement"]
    assert found["off"] <= found["bound"] <= agreement.SHARE * found["moved"]
    assert [note for note in made.notes if "of what the adapter does would be lost, and" in note]
    assert (made.folder / "model.safetensors").read_bytes() == (again.folder / "model.safetensors").read_bytes()
    assert said(place.model(str(made.folder))) == said(place.get_run("local:small1").model())


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float32"])
def test_rounding_by_chance_is_right_on_the_average_and_off_by_a_step_at_most(name: str) -> None:
    torch = pytest.importorskip("torch")
    dtype, count = getattr(torch, name), 100_000
    held = torch.randn(count, generator=torch.Generator().manual_seed(1)).to(dtype)
    assert torch.equal(Stochastic()(held.float(), dtype), held)
    weights = held.float() * (1 + 2e-4)
    rounded = Stochastic()(weights, dtype)
    assert rounded.dtype == dtype
    steps = torch.nextafter(held.abs(), torch.full_like(held, torch.inf)).float() - held.abs().float()
    assert ((rounded.float() - weights).abs() <= 2 * steps).all()
    kept = ((rounded.float() - held.float()) * held.float()).sum() / ((weights - held.float()) * held.float()).sum()
    assert kept == pytest.approx(1, abs=0.05)
    if name == "bfloat16":
        assert torch.equal(nearest(weights, dtype), held)


def test_weights_that_are_not_the_adapters_are_refused(
    run: ft.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One layer of 28 stays as the base has it."""
    added = exporting._added

    def forgetful(where: str, adapter: Path, rounding: Any) -> Any:
        model, layers = added(where, adapter, rounding)
        plain = bases.load(where, CPU).get_submodule("model.layers.2.mlp.down_proj")
        model.get_submodule("model.layers.2.mlp.down_proj").weight.data.copy_(plain.weight)
        return model, layers

    monkeypatch.setattr(exporting, "_added", forgetful)
    with pytest.raises(ft.RunError, match="its logits are off by"):
        run.export(tmp_path / "merged", "merged")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("end", [KeyboardInterrupt(), OSError(28, "No space left on device")], ids=["ctrl-c", "full"])
def test_an_export_that_is_interrupted_leaves_nothing(
    run: ft.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: BaseException
) -> None:
    def interrupted(*_: Any, **more: Any) -> Any:
        assert list(tmp_path.rglob("model.safetensors"))  # it has begun
        raise end

    monkeypatch.setattr(agreement, "measure", interrupted)
    with pytest.raises((KeyboardInterrupt, ft.BackendError)):
        run.export(tmp_path / "new" / "merged", "merged")
    assert not list(tmp_path.iterdir())


def test_a_disk_without_room_is_said_before_anything_is_merged(
    run: ft.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ft.BackendError, match="are free"):
        run.export(tmp_path / "merged", "merged")
    assert not list(tmp_path.iterdir())


def test_qlora_is_merged_into_the_weights_before_they_were_quantised(
    place: ft.Client, run: ft.Run, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    quantised, model = like(place, run, "qlora")
    about = json.loads((model / "finetune.json").read_text())
    about["adapter"]["kind"] = "qlora"
    (model / "finetune.json").write_text(json.dumps(about))
    made = quantised.export(tmp_path / "merged", "merged")
    assert "in 4 bits (NF4)" in made.manifest["merged_into"]
    beside = made.manifest["beside_four_bits"]
    assert beside["off"] > made.manifest["agreement"]["off"]
    assert any(f"{beside['answers']} of {beside['prompts']} greedy answers" in note for note in made.notes)
    before, after = (weights(path / "model.safetensors") for path in (bases.EMBEDDED["tiny"], made.folder))
    assert {each.dtype for each in after.values()} == {each.dtype for each in before.values()}
    for name in before:
        far = (after[name].float() - before[name].float()).norm() / before[name].float().norm()
        assert far < 0.08, name  # the 4 bits alone are further from it


@pytest.fixture(scope="module")
def dora(place: ft.Client) -> ft.Run:
    adapter = ft.LoRA(rank=4, dora=True, rslora=True)
    method = ft.SFT(steps=6, batch_size=8, learning_rate=5e-3, schedule="constant")
    run = place.submit(ft.Job(name="colours", train=chats(8), adapter=adapter, method=method))
    run.wait(progress=False)
    return run


def test_an_adapter_with_lengths_of_its_own_is_merged_with_them(place: ft.Client, dora: ft.Run, tmp_path: Path) -> None:
    left = weights(folder(place, dora) / "model" / "adapter_model.safetensors")
    assert sum("lora_magnitude_vector" in name for name in left) == 4 * 7
    adapter = dora.export(tmp_path / "adapter")
    assert said(place.model(str(adapter.folder))) == said(dora.model()) != said(place.model("tiny"))
    assert "--kind merged" in adapter.serving["vllm"]  # which loads no such adapter
    made = dora.export(tmp_path / "merged", "merged")
    assert made.manifest["agreement"]["off"] <= made.manifest["agreement"]["bound"]
    assert said(place.model(str(made.folder))) == said(dora.model())


def test_weights_without_the_adapters_lengths_are_refused(
    dora: ft.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = exporting._added

    def forgetful(where: str, adapter: Path, rounding: Any) -> Any:
        plain = tmp_path / "plain"
        shutil.copytree(adapter, plain, dirs_exist_ok=True)
        config = json.loads((plain / "adapter_config.json").read_text())
        (plain / "adapter_config.json").write_text(json.dumps({**config, "use_dora": False}))
        return added(where, plain, rounding)

    monkeypatch.setattr(exporting, "_added", forgetful)
    with pytest.raises(ft.RunError, match="its logits are off by"):
        dora.export(tmp_path / "merged", "merged")


def test_all_weights_are_exported_as_they_are(place: ft.Client, run: ft.Run, merged: ft.Export, tmp_path: Path) -> None:
    whole, model = like(place, run, "whole")
    about = {**json.loads((model / "finetune.json").read_text()), "adapter": {"kind": "full"}, "full": True}
    shutil.rmtree(model)
    shutil.copytree(merged.folder, model, ignore=shutil.ignore_patterns("manifest.json"))
    (model / "finetune.json").write_text(json.dumps(about))
    made = whole.export(tmp_path / "whole", "merged")
    assert made.kind == made.manifest["kind"] == "full"
    assert "no adapter" in made.notes[0]
    for file in model.iterdir():
        assert (made.folder / file.name).read_bytes() == file.read_bytes()
    assert said(place.model(str(made.folder))) == said(whole.model())


def test_an_adapter_from_elsewhere_is_no_model_here(place: ft.Client, run: ft.Run, tmp_path: Path) -> None:
    made = run.export(tmp_path / "adapter")
    (made.folder / "adapter_model.safetensors").rename(made.folder / "adapter_model.bin")
    with pytest.raises(ft.UnsupportedError, match=r"adapter_model\.safetensors"):
        place.model(str(made.folder))


def golden_of(torch: Any, gap: float, off: float) -> agreement.Agreement:
    """One prompt, one token: the adapter likes token 0 more than token 1 by `gap`, and merging adds `off` to token 1."""
    base, adapter = torch.tensor([[-9.0, 9.0, 0.0]]), torch.tensor([[8 + gap, 8.0, -16 - gap]])
    change = torch.tensor([[0.0, off, -off]])
    golden = [agreement.Golden((5,), (0,))]
    return agreement.measure(golden, [base], [adapter], [adapter + change], added=[adapter], roundoff=2**-5, layers=16)


def test_a_near_tie_that_flips_is_said_and_a_clear_choice_that_flips_is_refused() -> None:
    torch = pytest.importorskip("torch")
    kept, tied, lost = (golden_of(torch, gap, off) for gap, off in ((0.2, 0.1), (0.2, 0.3), (0.8, 0.9)))
    assert (kept.answers, kept.flips, kept.fault) == (1, (), None)
    assert (tied.answers, tied.fault) == (0, None)
    assert tied.flips[0].margin == pytest.approx(0.2)
    assert lost.flips[0].margin == pytest.approx(0.8)
    assert "1 of 1 greedy answers change" in str(lost.fault)
    assert "logits are off" in str(replace(lost, bound=0.1).fault)
    assert replace(lost, off=float("nan")).fault  # what is no number is no agreement
    assert "before any weight is rounded" in str(replace(kept, unrounded=1e-3 * kept.size).fault)
