"""GGUF comes from llama.cpp's own converter, is read again, and asks and ends as training did; or nothing is left."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk_local import bases, gguf, ollama
from finetune_sdk_local.rendering import Renderer
from finished import write_run
from watched import weights

CONVERTER = Path(__file__).with_name("converter.py")
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DEFAULT_SYSTEM = "{% if messages[0].role != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}" + CHATML
LLAMA2 = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}[INST] {{ message.content }} [/INST]"
    "{% elif message.role == 'assistant' %} {{ message.content }}{{ eos_token }}"
    "{% else %}{{ raise_exception('no system messages here') }}{% endif %}{% endfor %}"
)
THINKS = CHATML + "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
COUNTS = "{% for message in messages %}{{ loop.index }}. {{ message.role }}: {{ message.content }}\n{% endfor %}"
TRIMS = CHATML.replace("message.content }}", "message.content | upper }}")


def client_at(home: Path, converter: Path | str | None = CONVERTER) -> ft.Client:
    own = {"gguf_converter": str(converter)} if converter else {}
    return ft.Client(
        settings=ft.Settings("local", home, {"local": {"base": "tiny", "device": "cpu", "threads": 1, **own}})
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def run(home: Path) -> ft.Run:
    return client_at(home).get_run(write_run(home, "colours"))


def wrong_converter(folder: Path, line: str) -> Path:
    """As the stand-in, with one line of its own."""
    script = folder / "wrong.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(CONVERTER.parent)!r})\nimport converter\n{line}\n")
    return script


def converted_by(run: ft.Run, home: Path, converter: Path | str | None) -> ft.Run:
    return client_at(home, converter).get_run(run.id)


def test_a_run_is_exported_for_llama_cpp_and_ollama(run: ft.Run, tmp_path: Path) -> None:
    made = run.export(tmp_path / "my triage", "gguf")
    assert made.kind == "gguf"
    assert {path.name for path in made.folder.iterdir()} == {
        "model.gguf", "Modelfile", "chat_template.jinja", "manifest.json",
    }  # fmt: skip
    found = gguf.header(made.folder / "model.gguf")
    assert found.parameters == made.manifest["gguf"]["parameters"]
    assert made.manifest["dtype"] == "bfloat16"
    assert made.manifest["agreement"]["off"] <= made.manifest["agreement"]["bound"]
    assert made.serving["ollama"] == (
        f"ollama create 'my triage' -f '{made.folder}/Modelfile' && ollama run 'my triage'"
    )
    assert made.serving["llama.cpp"] == f"llama-server --model '{made.folder}/model.gguf' --alias 'my triage' --jinja"


def test_what_is_converted_are_the_merged_weights(run: ft.Run, tmp_path: Path) -> None:
    merged = run.export(tmp_path / "merged", "merged").folder / "model.safetensors"
    made = (run.export(tmp_path / "gguf", "gguf").folder / "model.gguf").read_bytes()
    name = "model.layers.2.mlp.down_proj.weight"
    base, own = (raw_bytes(weights(file)[name]) for file in (bases.EMBEDDED["tiny"] / "model.safetensors", merged))
    assert own in made
    assert base not in made


def raw_bytes(tensor: Any) -> bytes:
    import torch

    return bytes(tensor.contiguous().view(torch.uint8).numpy().tobytes())


def test_without_the_converter_it_is_said_what_to_install_before_anything_is_merged(
    run: ft.Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ft.SettingsError, match=r"no convert_hf_to_gguf\.py on the PATH") as caught:
        converted_by(run, home, None).export(tmp_path / "out", "gguf")
    for word in ("llama.cpp", "pip install gguf", "gguf_converter", "[backends.local]"):
        assert word in str(caught.value.cure)
    with pytest.raises(ft.SettingsError, match=r"gguf_converter = '/no/such\.py' is no file"):
        converted_by(run, home, "/no/such.py").export(tmp_path / "out", "gguf")
    assert not list(tmp_path.iterdir())


def test_a_converter_on_the_path_is_found(
    run: ft.Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    shutil.copy(CONVERTER, tmp_path / "bin" / "convert_hf_to_gguf.py")
    (tmp_path / "bin" / "convert_hf_to_gguf.py").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    assert (converted_by(run, home, None).export(tmp_path / "out", "gguf").folder / "model.gguf").is_file()


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        ("raise NotImplementedError('this tokenizer is not known')", ft.BackendError, "this tokenizer is not known"),
        ("pass", ft.BackendError, r"it wrote no model\.gguf"),
        ("open(sys.argv[3], 'w').write('hello')", ft.RunError, "not a whole GGUF file"),
        (
            "converter.main(sys.argv[1:]); file = open(sys.argv[3], 'r+b'); file.truncate(100_000)",
            ft.RunError,
            "its tensors end at byte",
        ),
        (
            "converter.main(sys.argv[1:], **{'tokenizer.chat_template': 'hi'})",
            ft.RunError,
            "its chat template is another one",
        ),
        (
            "converter.main(sys.argv[1:], **{'tokenizer.ggml.eos_token_id': 999})",
            ft.RunError,
            "it ends answers at token 999",
        ),
        ("converter.main(sys.argv[1:], **{'tokenizer.ggml.tokens': ['a']})", ft.RunError, "it has 1 tokens"),
    ],
)  # fmt: skip
def test_what_would_answer_otherwise_is_not_published(
    run: ft.Run, home: Path, tmp_path: Path, line: str, error: type[Exception], said: str
) -> None:
    wrong = wrong_converter(tmp_path, line)
    with pytest.raises(error, match=said):
        converted_by(run, home, wrong).export(tmp_path / "out", "gguf")
    assert [path.name for path in tmp_path.iterdir() if path != wrong and path.name != "__pycache__"] == []


def test_a_model_of_which_all_weights_were_trained_is_converted_as_it_is(
    run: ft.Run, home: Path, tmp_path: Path
) -> None:
    import json

    place = client_at(home)
    merged = run.export(tmp_path / "merged", "merged").folder
    own = home / "runs" / "whole"
    shutil.copytree(home / "runs" / run.key, own)
    about = json.loads((own / "model" / "finetune.json").read_text())
    shutil.rmtree(own / "model")
    shutil.copytree(merged, own / "model", ignore=shutil.ignore_patterns("manifest.json"))
    (own / "model" / "finetune.json").write_text(json.dumps({**about, "adapter": {"kind": "full"}, "full": True}))
    before = {path.name: path.read_bytes() for path in (own / "model").iterdir()}
    made = place.get_run("local:whole").export(tmp_path / "out", "gguf")
    assert "agreement" not in made.manifest
    assert made.manifest["gguf"]["parameters"] > 0
    assert {path.name: path.read_bytes() for path in (own / "model").iterdir()} == before


def rendered_by_go(template: str, messages: list[dict[str, Any]]) -> str:
    """The few words of Go's text/template that a Modelfile uses, read by another hand than the one that wrote them."""
    opening, found, rest = template.partition("{{ range .Messages }}")
    assert found
    if opening:
        assert opening.startswith("{{ if not .System }}")
        assert opening.endswith("{{ end }}")
        opening = opening.removeprefix("{{ if not .System }}").removesuffix("{{ end }}")
        opening = "" if any(message["role"] == "system" for message in messages) else opening
    body, _, last = rest.rpartition("{{ end }}{{ end }}")
    branches = {}
    for branch in body.replace("{{ else if", "{{ if").split("{{ if eq .Role ")[1:]:
        role, text = branch.split(" }}", 1)
        branches[role.strip('"')] = text
    return opening + "".join(branches[one["role"]].replace("{{ .Content }}", one["content"]) for one in messages) + last


@pytest.mark.parametrize(
    ("template", "adds_bos"),
    [(CHATML, False), (DEFAULT_SYSTEM, False), (LLAMA2, True), (LLAMA2, False), (THINKS, False), (None, False)],
    ids=["chatml", "a system prompt of its own", "bos by the server", "bos by the template", "thinking off", "tiny"],
)
def test_a_modelfile_writes_what_the_chat_template_writes(template: str | None, adds_bos: bool) -> None:
    tokenizer = bases.tokenizer.__wrapped__("tiny")
    if template is not None:
        tokenizer.chat_template = template
        tokenizer.add_special_tokens({"bos_token": "<s>"})
    renderer = Renderer("tiny", tokenizer)
    written = ollama.modelfile(renderer, [tokenizer.eos_token_id], "model.gguf", adds_bos=adds_bos)
    assert written is not None
    assert written.startswith("FROM ./model.gguf\n")
    assert 'PARAMETER stop "<|end|>"\n' in written
    go = written.split('TEMPLATE """', 1)[1].split('"""')[0]
    talks = [("user", "a b"), ("assistant", "c"), ("user", "d {x}\n\ne")]
    for first in ([], [("system", "Be brief.")] if template != LLAMA2 else []):
        messages = [{"role": role, "content": content} for role, content in (*first, *talks)]
        assert ("<s>" if adds_bos else "") + rendered_by_go(go, messages) == renderer.text(messages, (), ask=True)


@pytest.mark.parametrize("template", [COUNTS, TRIMS, CHATML.replace("<|im_start|>", "{{ '{{' }}")])
def test_a_template_that_does_more_than_write_turns_gets_no_modelfile(template: str) -> None:
    tokenizer = bases.tokenizer.__wrapped__("tiny")
    tokenizer.chat_template = template
    assert ollama.modelfile(Renderer("tiny", tokenizer), [1], "model.gguf", adds_bos=False) is None


def test_a_bos_that_the_server_would_write_twice_or_never_gets_no_modelfile() -> None:
    tokenizer = bases.tokenizer.__wrapped__("tiny")
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    tokenizer.chat_template = CHATML
    assert ollama.modelfile(Renderer("tiny", tokenizer), [1], "model.gguf", adds_bos=True) is None


def test_a_run_whose_template_ollama_cannot_write_says_so(run: ft.Run, home: Path, tmp_path: Path) -> None:
    own = home / "runs" / "counting"
    shutil.copytree(home / "runs" / run.key, own)
    template = own / "model" / "chat_template.jinja"
    template.write_text("{% set n = messages | length %}" + template.read_text() + "{{ n if n > 3 }}")
    made = client_at(home).get_run("local:counting").export(tmp_path / "out", "gguf")
    assert any("no Modelfile was written" in note for note in made.notes)
    assert not (made.folder / "Modelfile").exists()
    assert "ollama" not in made.serving


def test_a_header_that_lies_about_its_counts_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bomb.gguf"
    file.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1 << 40, 0))
    with pytest.raises(ft.RunError, match="it counts"):
        gguf.header(file)


@pytest.mark.skipif(shutil.which("convert_hf_to_gguf.py") is None, reason="llama.cpp's converter is not on the PATH")
def test_the_converter_of_llama_cpp_makes_what_is_expected_here(tmp_path: Path) -> None:
    """A base with a tokenizer that it knows: BPE over letters with bytes for the rest, as Llama 2's."""
    torch = pytest.importorskip("torch")
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = [chr(code) for code in range(33, 127)] + ["▁"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    made = Tokenizer(models.BPE({one: at for at, one in enumerate(tokens)}, [], byte_fallback=True, unk_token="<unk>"))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    tokenizer.chat_template = LLAMA2
    base = tmp_path / "base"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokens), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, eos_token_id=2, bos_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(base)
    tokenizer.save_pretrained(base)
    place = ft.Client(
        settings=ft.Settings("local", tmp_path, {"local": {"base": str(base), "device": "cpu", "threads": 1}})
    )
    rows = [
        {"messages": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": f"a{n}"}]}
        for n in range(8)
    ]
    method = ft.SFT(steps=4, batch_size=8, learning_rate=1e-2)
    run = place.submit(ft.Job(name="letters", train=ft.Dataset.of(rows), adapter=ft.LoRA(rank=4), method=method))
    run.wait(progress=False)
    out = run.export(tmp_path / "out", "gguf")
    found = gguf.header(out.folder / "model.gguf")
    assert found.metadata["general.architecture"] == "llama"
    assert found.tensors["token_embd.weight"] == (32, len(tokens))
    assert (out.folder / "Modelfile").is_file()
