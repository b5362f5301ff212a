"""vLLM's CPU kernel under the sparse backend, without a model, against attention with a mask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ttscale.cost.policy import DENSE, AttentionPolicy, parse_policy
from ttscale.engine.sparse.requests import Requests
from ttscale.engine.sparse.step import ALWAYS, Geometry, Step
from ttscale.engine.sparse.summaries import filled_blocks

pytestmark = pytest.mark.vllm

BLOCK, HEADS, GROUP, D = 32, 2, 3, 64
GEOMETRY = Geometry(BLOCK, HEADS, HEADS)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """These tensors are too small to be shared out."""
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n)


@dataclass
class Sequence:
    """A request with all its keys and values, of which the first `n_computed` lie in the cache."""

    policy: AttentionPolicy
    n_prompt: int
    keys: torch.Tensor
    values: torch.Tensor
    blocks: list[int] = field(default_factory=list)
    n_computed: int = 0


class Layer:
    """A layer of the backend with a cache of its own, driven step by step."""

    def __init__(self, n_blocks: int = 64, index: int = 0) -> None:
        from ttscale.engine.sparse import cpu

        self.cpu, self.index = cpu, index
        self.impl = object.__new__(cpu.SparseCPUImpl)
        self.impl.num_kv_heads, self.impl.num_heads = HEADS, HEADS * GROUP
        self.impl.head_size, self.impl.scale = D, D**-0.5
        self.impl.num_queries_per_kv, self.impl.logits_soft_cap = GROUP, 0
        self.impl.alibi_slopes, self.impl.sliding_window, self.impl.sinks = None, -1, None
        self.impl.kv_cache_dtype, self.impl.attn_type = "auto", "decoder"
        self.impl.use_zentorch_sdpa = False
        self.impl._summaries, self.impl._layer = cpu.Summaries(), index
        self.cache = torch.zeros(n_blocks, HEADS, BLOCK, 2 * D)
        self.layer = SimpleNamespace(
            isa="vec", _k_scale_float=1.0, _v_scale_float=1.0, layer_name=f"layers.{index}.attn"
        )
        self.builder: Any = object.__new__(cpu.SparseCPUBuilder)
        self.builder.num_heads, self.builder.num_kv_heads = HEADS * GROUP, HEADS
        self.builder.head_dim, self.builder.dtype, self.builder.isa = D, torch.float32, "vec"
        self.builder.kv_cache_dtype = "auto"
        self.free = list(range(n_blocks - 1, 0, -1))

    def step(self, sequences: list[Sequence], n_new: list[int], query: torch.Tensor) -> Any:
        """Compute n_new tokens of each; the output and what the step held."""
        slots, keys, values = [], [], []
        for sequence, n in zip(sequences, n_new, strict=True):
            end = sequence.n_computed + n
            while len(sequence.blocks) * BLOCK < end:
                sequence.blocks.append(self.free.pop())
            for position in range(sequence.n_computed, end):
                slots.append(sequence.blocks[position // BLOCK] * BLOCK + position % BLOCK)
            keys.append(sequence.keys[sequence.n_computed : end])
            values.append(sequence.values[sequence.n_computed : end])
        self.impl.do_kv_cache_update(
            self.layer, torch.cat(keys), torch.cat(values), self.cache, torch.tensor(slots)
        )
        requests = Requests(
            [s.policy for s in sequences],
            np.array([s.n_prompt for s in sequences]),
            np.array([s.n_computed for s in sequences]),
            np.array(n_new),
        )
        table = torch.zeros(len(sequences), 40, dtype=torch.int32)
        for i, sequence in enumerate(sequences):
            table[i, : len(sequence.blocks)] = torch.tensor(sequence.blocks)
        step = Step(requests, table, GEOMETRY)
        metadata: Any = object.__new__(self.cpu.SparseCPUMetadata)
        metadata.step, metadata.filled = step, filled_blocks(requests, table, BLOCK)
        metadata.builder, metadata.schedules = self.builder, {}
        output = torch.full((len(slots), HEADS * GROUP, D), torch.nan)
        if step.active(self.index):
            self.impl.forward(self.layer, query, None, None, self.cache, metadata, output)
        else:  # vLLM's own attention, which has nothing of ours but the summaries
            self.impl._summaries.refresh(metadata.filled, self.cpu._Cache(self.cache, "vec").keys)
        for sequence, n in zip(sequences, n_new, strict=True):
            sequence.n_computed += n
        return output, step

    def fill(self, sequence: Sequence, n: int) -> None:
        """Compute a prompt's tokens, without looking at what comes out."""
        self.step([sequence], [n], torch.zeros(n, HEADS * GROUP, D))


def make_sequence(policy: str, n_prompt: int, seed: int, length: int = 600) -> Sequence:
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randn(length, HEADS, D, generator=generator)
    values = torch.randn(length, HEADS, D, generator=generator)
    return Sequence(parse_policy(policy), n_prompt, keys, values)


def expected_tokens(
    policy: AttentionPolicy, query: torch.Tensor, keys: torch.Tensor, length: int
) -> list[set[int]]:
    """What each head attends to, by a plain reading of the policy; query (heads, group, d)."""
    if policy.budget is None or length <= (policy.limit or 0):
        return [set(range(length))] * HEADS
    if policy.kind == "topk":
        found = []
        for h in range(HEADS):
            mass = sum(torch.softmax(keys[:length, h] @ q * D**-0.5, 0) for q in query[h])
            best = torch.argsort(mass[:-1], descending=True)[: policy.budget - 1]
            found.append({length - 1, *best.tolist()})
        return found
    n = -(-length // BLOCK)
    k = (policy.limit or 0) // BLOCK
    spans = [set(range(b * BLOCK, min(length, (b + 1) * BLOCK))) for b in range(n)]
    if policy.kind == "window":
        sinks = policy.sinks // BLOCK
        kept = [*range(sinks), *range(n - (k - sinks), n)]
        return [set().union(*(spans[b] for b in kept))] * HEADS
    found = []
    for h in range(HEADS):
        must = [n - 1, 0, n - 2][:k]
        scores = {}
        for b in range(n):
            block = keys[b * BLOCK : (b + 1) * BLOCK, h]
            if policy.kind == "block_topk":
                scores[b] = float(sum((block @ q).mean() for q in query[h]))
            else:
                high, low = block.max(0).values, block.min(0).values
                scores[b] = float(sum(torch.maximum(q * high, q * low).sum() for q in query[h]))
        rest = sorted((b for b in range(n) if b not in must), key=lambda b: -scores[b])
        found.append(set().union(*(spans[b] for b in [*must, *rest[: k - len(must)]])))
    return found


def masked_attention(
    query: torch.Tensor, sequence: Sequence, position: int, layer: int
) -> torch.Tensor:
    """Attention of one token under its policy, over all keys with a mask; (heads × group, d)."""
    length, policy = position + 1, sequence.policy
    if position < sequence.n_prompt or layer < policy.n_dense_layers:
        policy = DENSE
    grouped = query.view(HEADS, GROUP, D)
    outputs = []
    for h, tokens in enumerate(expected_tokens(policy, grouped, sequence.keys, length)):
        mask = torch.full((length,), -torch.inf)
        mask[list(tokens)] = 0
        for q in grouped[h]:
            weights = torch.softmax(sequence.keys[:length, h] @ q * D**-0.5 + mask, 0)
            outputs.append(weights @ sequence.values[:length, h])
    return torch.stack(outputs)


POLICIES = (
    "block_topk:128",
    "block_topk:32",
    "quest:128",
    "quest:64",
    "window:96",
    "window:64:sinks=32",
    "topk:50",
)


def check(layer: Layer, sequences: list[Sequence], n_new: list[int], seed: int) -> Step:
    """One step's output is attention under each token's policy."""
    # as a model gives it: a view into queries, keys and values side by side
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(sum(n_new), HEADS * (GROUP + 2), D, generator=generator)[:, : HEADS * GROUP]
    before = [sequence.n_computed for sequence in sequences]
    output, step = layer.step(sequences, n_new, query)
    expected, place = [], 0
    for sequence, n, computed in zip(sequences, n_new, before, strict=True):
        for position in range(computed, computed + n):
            expected.append(masked_attention(query[place], sequence, position, layer.index))
            place += 1
    assert torch.allclose(output, torch.stack(expected), atol=1e-4)
    return step


@pytest.mark.parametrize("scattered", [False, True])
@pytest.mark.parametrize("policy", POLICIES)
def test_decoding_attends_to_what_the_policy_says(policy: str, scattered: bool) -> None:
    layer = Layer(n_blocks=500 if scattered else 64)
    if scattered:
        layer.free = layer.free[::17]
    sequences = [make_sequence(policy, n, n) for n in (300, 417)]
    for sequence in sequences:
        layer.fill(sequence, sequence.n_prompt)
    for seed in range(24):  # past the end of a block
        check(layer, sequences, [1, 1], seed)
    assert sequences[0].n_computed == 324


@pytest.mark.parametrize("policy", ["block_topk:96", "quest:96", "topk:50"])
@pytest.mark.parametrize("index", [0, 1])
def test_all_kinds_of_requests_share_a_step(policy: str, index: int) -> None:
    """A prompt in odd chunks, several policies, one that leaves a layer dense, a dense request."""
    layer = Layer(index=index)
    sparse = [make_sequence(policy, n, n) for n in (200, 333)]
    other = make_sequence("quest:64:dense_layers=1", 150, 7)
    dense = make_sequence("dense", 250, 8)
    late = make_sequence(policy, 270, 9)
    for sequence in (*sparse, other, dense):
        layer.fill(sequence, sequence.n_prompt)
    # `late` ends its prompt in the third chunk; the fifth is what preemption has recomputed
    for seed, chunk in enumerate((70, 33, 167, 1, 40, 1)):
        step = check(layer, [sparse[0], late, other, dense, sparse[1]], [1, chunk, 1, 1, 1], seed)
        assert len(step.active(index)) == (2 if index else 1)


def test_a_context_that_the_budget_holds_is_left_to_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Layer()
    sequence = make_sequence("block_topk:320", 300, 3)
    layer.fill(sequence, 300)
    output, step = layer.step([sequence], [1], torch.zeros(1, HEADS * GROUP, D))
    assert not step.rows and bool(output.isnan().all())
    monkeypatch.setenv(ALWAYS, "1")  # and chosen all the same, it is dense attention
    sequence.policy = parse_policy("block_topk:320")
    for seed in range(3):
        assert check(layer, [sequence], [1], seed).rows


@pytest.mark.parametrize("kind", ["block_topk", "quest"])
def test_summaries_are_those_of_the_keys_in_the_block(kind: Any) -> None:
    """Before and after they are first asked for, in chunks of any size, in blocks used again."""
    layer = Layer(n_blocks=24)
    first = make_sequence("dense", 600, 1)
    for chunk in (1, 31, 50, 118):
        layer.fill(first, chunk)

    def check_summaries(sequence: Sequence) -> None:
        keys_of = layer.cpu._Cache(layer.cache, "vec").keys
        kept = layer.impl._summaries.of(kind, keys_of, 24, torch.device("cpu"))
        for b in range(sequence.n_computed // BLOCK):
            for h in range(HEADS):
                block = sequence.keys[b * BLOCK : (b + 1) * BLOCK, h]
                expected = [block.mean(0)]
                if kind == "quest":
                    expected = [block.max(0).values, block.min(0).values]
                found = kept[h, sequence.blocks[b]]
                assert torch.allclose(found, torch.cat(expected), atol=1e-6)

    check_summaries(first)
    for chunk in (1, 23, 63, 64):
        layer.fill(first, chunk)
        check_summaries(first)
    layer.free += first.blocks  # preempted
    second = make_sequence("dense", 500, 2)
    for chunk in (97, 200, 130):
        layer.fill(second, chunk)
        check_summaries(second)
    assert set(first.blocks) & set(second.blocks)
