"""Makes `tiny` from nothing: writes its corpus, trains its tokenizer, trains its weights. The same seed gives the same files.

`PYTHONPATH=backends python -m finetune_sdk_local.tiny.build --out DIR`

The weights beside this file: 2,016,960 parameters in bfloat16 (4.0 MB), a vocabulary of 2,048. Two phases of 1,500 steps of
about 3,072 tokens, 9 million tokens in all. Phase 1 took 13 minutes on two cores of an AMD EPYC that others used as well,
phase 2 about as long without its interruptions; the mean loss of the answers ended at 0.42 and 0.16 per token.
The two phases ran as two processes, the second starting from what the first had saved.
"""

import argparse
import copy
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from finetune_sdk_local.tiny.corpus import MIXTURE, WITH_DRILLS, Mixture, long_talks, talks
from finetune_sdk_local.tiny.grammar import strip_codes
from finetune_sdk_local.tiny.induction import give_induction
from finetune_sdk_local.tiny.muon import Muon
from finetune_sdk_local.tiny.talks import Talk, dumps

HERE = Path(__file__).parent
PAD, END = "<|pad|>", "<|end|>"
MARKS = (PAD, END, "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
END_ID = MARKS.index(END)
CALL_MARKS = ("<tool_call>", "</tool_call>")
VOCABULARY = 2048
# A digit is a token by itself, and so is each capital of a code such as KX-48213, with or without a space in front: copying needs no re-spelling.
WORDS = r"\p{N}|[A-Z]{1,4}(?=-?\p{N})| (?=[A-Z]{1,4}-?\p{N})| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
WORKERS = 2
Row = tuple[list[int], list[int]]
Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how hard the training is. `tokens` is the size of one batch with its padding."""

    steps: int = 1500
    echo_steps: int = 100
    echo_share: float = 0.12
    tokens: int = 3072
    long_every: int = 14
    matrix_rate: float = 0.012
    other_rate: float = 3e-3
    prompt_weight: float = 0.15
    seed: int = 1
    mixture: Mixture = MIXTURE


PHASES = (Plan(), Plan(mixture=WITH_DRILLS, echo_steps=0, echo_share=0.05))


def texts_of(talk: Talk) -> list[str]:
    """What is written in a talk, tools and calls included, without the marks between turns."""
    calls = [dumps(call["function"]) for message in talk.messages for call in message.get("tool_calls", [])]
    return (
        [message["content"] for message in talk.messages if message["content"]]
        + calls
        + [dumps(tool) for tool in talk.tools[:1]]
    )


def train_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of the corpus' own words; random codes are left out, so that no merge is spent on them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(CALL_MARKS),
        special_tokens=[AddedToken(mark, special=True, normalized=False) for mark in MARKS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (strip_codes(text) for talk in islice(talks(seed), 12_000) for text in texts_of(talk))
    tokenizer.train_from_iterator(texts, trainer)
    # Not special: who decodes an answer must still see the call in it.
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in CALL_MARKS])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = (HERE / "chat_template.jinja").read_text().rstrip("\n")
    return fast


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """Random weights in the shape of a Llama: few layers, since each costs time at every generated token."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=4096,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    give_induction(model, seed)
    return model


def encode(tokenizer: PreTrainedTokenizerFast, batch: list[Talk]) -> list[Row]:
    """Token ids of each talk, and beside each id whether the assistant wrote it."""
    texts = [tokenizer.apply_chat_template(talk.messages, tools=talk.tools or None, tokenize=False) for talk in batch]
    start, end = tokenizer.convert_tokens_to_ids("<|assistant|>"), tokenizer.eos_token_id
    encoded = []
    for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]:
        inside, mask = False, []
        for token in ids:
            mask.append(int(inside))
            inside = token == start or (inside and token != end)
        encoded.append((ids, mask))
    return encoded


def padded(rows: list[Row]) -> Batch:
    """Rows side by side; padding is 0 in ids and mask, which is never an assistant's token."""
    width = max(len(ids) for ids, _ in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width)
    for at, (row, told) in enumerate(rows):
        ids[at, : len(row)] = torch.tensor(row)
        mask[at, : len(row)] = torch.tensor(told)
    return ids, mask


def echoes(rng: random.Random, count: int, width: int) -> list[Row]:
    """Rows of random tokens from the user, of which the assistant repeats a stretch.

    Copying is what most answers rest on: it is learnt from these in a hundred steps, but hardly from sentences.
    """
    rows: list[Row] = []
    for _ in range(count):
        said = [rng.randrange(len(MARKS), VOCABULARY) for _ in range(rng.randrange(3, max(4, (width - 4) // 2)))]
        start = rng.choice((0, rng.randrange(len(said))))
        ids = [MARKS.index("<|user|>"), *said, END_ID, MARKS.index("<|assistant|>"), *said[start:], END_ID]
        hidden = len(said) + 3 + (start > 0)
        rows.append((ids, [0] * hidden + [1] * (len(ids) - hidden)))
    return rows


def echo_batches(plan: Plan) -> Iterator[list[Batch]]:
    """Echoes alone."""
    rng = random.Random(plan.seed)
    while True:
        width = rng.choice((24, 40, 64, 90))
        rows = echoes(rng, plan.tokens // width, width)
        yield [padded(rows[at::WORKERS]) for at in range(WORKERS)]


def short_batches(tokenizer: PreTrainedTokenizerFast, plan: Plan) -> Iterator[list[Batch]]:
    """Batches of about `plan.tokens`, rows of like length together, each dealt out to the workers."""
    rng, source = random.Random(plan.seed), talks(plan.seed, plan.mixture)
    while True:
        rows = sorted(encode(tokenizer, list(islice(source, 2000))), key=lambda row: len(row[0]))
        groups: list[list[Row]] = [[]]
        for row in rows:
            if len(groups[-1]) >= WORKERS and (len(groups[-1]) + 1) * len(row[0]) > plan.tokens * (1 - plan.echo_share):
                groups.append([])
            groups[-1].append(row)
        for group in rng.sample(groups, len(groups)):
            if len(group) >= WORKERS:
                width = len(group[-1][0])
                group += echoes(rng, round(plan.echo_share * plan.tokens / width), min(width, 90))
                yield [padded(group[at::WORKERS]) for at in range(WORKERS)]


def long_batches(tokenizer: PreTrainedTokenizerFast, plan: Plan) -> Iterator[list[Batch]]:
    """One long conversation for each worker."""
    source = long_talks(plan.seed)
    while True:
        rows = [row for row in encode(tokenizer, list(islice(source, WORKERS))) if len(row[0]) <= 4096]
        if len(rows) == WORKERS:
            yield [padded([row]) for row in rows]


class Learner:
    """The model and its optimizers, and one copy of the model for each worker.

    Each worker is a thread that computes alone: torch's own threads wait for each other at every operation, which is ten
    times slower as soon as another program wants one of the processors. The copies share the weights; gradients are their own.
    """

    def __init__(self, model: LlamaForCausalLM, plan: Plan) -> None:
        torch.set_num_threads(1)
        self.plan = plan
        self.copies = [model, *(copy.deepcopy(model) for _ in range(WORKERS - 1))]
        for other in self.copies[1:]:
            for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
                theirs.data = ours.data
        self.parameters = list(model.parameters())
        named = [(name, weight) for name, weight in model.named_parameters()]
        self.matrices = [weight for name, weight in named if weight.ndim == 2 and "embed" not in name]
        rest = [weight for name, weight in named if weight.ndim != 2 or "embed" in name]
        halves = [self.matrices[at::WORKERS] for at in range(WORKERS)]
        self.optimizers: list[tuple[torch.optim.Optimizer, float]] = [
            (Muon(half, lr=plan.matrix_rate), plan.matrix_rate) for half in halves
        ]
        self.optimizers.append(
            (torch.optim.AdamW(rest, lr=plan.other_rate, betas=(0.9, 0.98), weight_decay=0.0), plan.other_rate)
        )
        self.threads = ThreadPoolExecutor(WORKERS)

    def step(self, parts: list[Batch], scale: float) -> float:
        """One update on the parts of a batch, at `scale` times the plan's rates. Returns the mean loss of the assistant's tokens."""
        told = sum(float(mask[:, 1:].sum()) for _, mask in parts)
        asked = sum(float((ids[:, 1:] != 0).sum()) for ids, _ in parts) - told
        prompt_weight = min(self.plan.prompt_weight, told / asked)  # long prompts would drown their few answers
        weight = told + prompt_weight * asked
        losses = self.threads.map(
            lambda at: self._gradients(self.copies[at], *parts[at], prompt_weight, weight), range(WORKERS)
        )
        loss = sum(losses) / max(1.0, told)
        for other in self.copies[1:]:
            for ours, theirs in zip(self.parameters, other.parameters(), strict=True):
                if ours.grad is not None and theirs.grad is not None:
                    ours.grad += theirs.grad
                theirs.grad = None
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        list(self.threads.map(lambda entry: self._update(entry[0], entry[1] * scale), self.optimizers))
        return loss

    def _gradients(
        self, model: LlamaForCausalLM, ids: torch.Tensor, mask: torch.Tensor, prompt_weight: float, weight: float
    ) -> float:
        """Adds this part's gradients. Padding stands right of the text, so the causal mask hides it and no attention mask is needed."""
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
        real = ids[:, 1:] != 0
        told = mask[:, 1:][real]
        losses = torch.nn.functional.cross_entropy(model.lm_head(hidden[real]), ids[:, 1:][real], reduction="none")
        ((losses * (told + prompt_weight * (1 - told))).sum() / weight).backward()  # type: ignore[no-untyped-call]
        return float((losses.detach() * told).sum())

    def _update(self, optimizer: torch.optim.Optimizer, rate: float) -> None:
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()


def train(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, plan: Plan, out: Path) -> None:
    """Trains in place, and saves into `out` now and then: first echoes alone, then short talks, with a long one or an echo now and then."""
    learner = Learner(model, plan)
    short, long, echo = short_batches(tokenizer, plan), long_batches(tokenizer, plan), echo_batches(plan)
    recent, started = 0.0, time.monotonic()
    model.train()
    for step in range(plan.steps):
        left = plan.steps - step
        is_long = step > plan.steps // 3 and step % plan.long_every == 0
        is_echo = step < plan.echo_steps
        loss = learner.step(
            next(long if is_long else echo if is_echo else short), min(1.0, (step + 1) / 20, 1.9 * left / plan.steps)
        )
        if not is_long:
            recent = loss if step in (0, plan.echo_steps) else 0.96 * recent + 0.04 * loss
        if step % 25 == 0 or left == 1:
            spent = time.monotonic() - started
            print(
                f"step {step + 1}/{plan.steps}  loss {recent:.3f}  {spent:.0f} s",
                flush=True,
            )
        if step % 150 == 149 or left == 1:
            save(model, tokenizer, out)


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """The folder that `from_pretrained` reads: weights in bfloat16, one file each."""
    out.mkdir(parents=True, exist_ok=True)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)


def round_weights(model: LlamaForCausalLM) -> None:
    """To what the file can hold, so that a phase starts from the very weights that were saved."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.bfloat16())


def main() -> None:
    """Builds into `--out`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, help="steps of each phase, for a trial")
    options = parser.parse_args()
    tokenizer = train_tokenizer(options.seed)
    model = new_model(tokenizer, options.seed)
    print(f"{len(tokenizer)} tokens, {sum(weight.numel() for weight in model.parameters()):,} parameters", flush=True)
    started = time.monotonic()
    for at, phase in enumerate(PHASES):
        plan = replace(phase, seed=options.seed + at, steps=options.steps or phase.steps)
        train(model, tokenizer, plan, options.out)
        round_weights(model)
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
