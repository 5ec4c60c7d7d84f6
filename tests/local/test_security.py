"""What a base may not do: run code, or make this machine talk to others."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import finetune_sdk as ft
from finetune_sdk_local import bases
from local_data import chats
from watched import STARTUP

TINY = bases.EMBEDDED["tiny"]
OWN_CODE = """
from pathlib import Path
Path({marker!r}).touch()
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
class Config(LlamaConfig):
    model_type = {kind!r}
class Model(LlamaForCausalLM):
    config_class = Config
class Tokenizer(PreTrainedTokenizerFast):
    pass
"""
TRAIN_OFFLINE = """
from pathlib import Path
import finetune_sdk as ft
from local_data import chats
home = Path({home!r})
client = ft.Client(settings=ft.Settings("local", home, {{"local": {{"base": "tiny", "device": "cpu", "threads": 1}}}}))
job = ft.Job(name="a", train=chats(8), validation=chats(4, 50), method=ft.SFT(steps=2, batch_size=4))
client.check(job), client.estimate(job)
run = client.submit(job, max_cost=0.0)
tuned = run.wait(progress=False)
print(run.status, len(tuned.answer("case 1", ft.Sampling(max_tokens=2)).text) > 0)
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with all that `tiny` has."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in TINY.iterdir():
        if file.suffix in {".json", ".jinja", ".safetensors"}:
            shutil.copy(file, folder)
    return folder


def with_own_code(folder: Path, kind: str) -> Path:
    """Puts code into the base that leaves the returned marker when it is run."""
    marker = folder.parent / "it-was-run"
    (folder / "own.py").write_text(OWN_CODE.format(marker=str(marker), kind=kind))
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": kind,
        "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model", "AutoModel": "own.Model"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    words = json.loads((folder / "tokenizer_config.json").read_text())
    words |= {"auto_map": {"AutoTokenizer": [None, "own.Tokenizer"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(words))
    return marker


def test_a_base_that_needs_code_of_its_own_is_refused_and_the_code_is_never_run(
    client: ft.Client, copy: Path, job: ft.Job
) -> None:
    marker = with_own_code(copy, "its-very-own")
    with pytest.raises(ft.UnsupportedError, match="brings code of its own, which is never run"):
        client.submit(ft.Job(name="a", train=job.train, base=str(copy)))
    assert not marker.exists()
    assert client.backend.runs() == []


def test_code_beside_a_base_that_transformers_knows_is_never_run(client: ft.Client, copy: Path) -> None:
    marker = with_own_code(copy, "llama")
    job = ft.Job(name="a", train=chats(4), base=str(copy), method=ft.SFT(steps=1, batch_size=4))
    try:
        client.submit(job).wait(progress=False).answer("case 1", ft.Sampling(max_tokens=2))
    finally:
        assert not marker.exists()


def test_a_config_without_weights_is_enough_for_an_estimate_alone(client: ft.Client, copy: Path) -> None:
    job = ft.Job(name="a", train=chats(4), base=str(copy), method=ft.SFT(steps=1))
    before = client.estimate(job, gpu="A100 80GB")
    (copy / "model.safetensors").unlink()
    assert client.estimate(job, gpu="A100 80GB").memory == before.memory
    assert client.estimate(job).memory.known
    refused = (
        client.submit,
        client.check,
        lambda job: client.estimate(job, probe=True),
        lambda job: client.model(str(copy)).answer("a"),
    )
    for act in refused:
        with pytest.raises(ft.UnsupportedError, match="enough for an estimate, and not for a run") as caught:
            act(job)
        assert str(copy) in str(caught.value.cure)
    assert client.backend.runs() == []


def test_weights_that_are_a_pickle_are_refused_before_anything_is_made(client: ft.Client, copy: Path) -> None:
    marker = copy.parent / "it-was-run"

    class Touch:
        def __reduce__(self) -> object:
            return Path.touch, (marker,)

    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(pickle.dumps(Touch()))
    with pytest.raises(ft.UnsupportedError, match=r"pytorch_model\.bin") as caught:
        client.submit(ft.Job(name="a", train=chats(4), base=str(copy), method=ft.SFT(steps=1)))
    assert "safetensors" in str(caught.value)
    with pytest.raises(ft.UnsupportedError, match=r"pytorch_model\.bin"):
        client.backend.model(str(copy)).answer("case 1")
    assert not marker.exists()
    assert client.backend.runs() == []


def test_a_run_on_an_embedded_base_asks_nobody_for_anything(tmp_path: Path) -> None:
    """Client and worker, each with an audit hook that refuses names, connections and packets, and writes them down."""
    log = tmp_path / "network.log"
    path = os.pathsep.join([str(STARTUP), str(Path(__file__).parent), *filter(None, sys.path)])
    free = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    environment = {**free, "PYTHONPATH": path, "NETWORK_LOG": str(log), "HF_HOME": str(tmp_path / "hub")}
    home = tmp_path / "home"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TRAIN_OFFLINE.format(home=str(home))],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "succeeded True\n"
    assert not log.exists(), log.read_text()


def test_the_hook_of_that_test_sees_who_asks(tmp_path: Path) -> None:
    log = tmp_path / "network.log"
    code = "import urllib.request; urllib.request.urlopen('http://192.0.2.1/', timeout=1)"
    environment = {**os.environ, "PYTHONPATH": str(STARTUP), "NETWORK_LOG": str(log), "no_proxy": "*"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "192.0.2.1" in log.read_text()
