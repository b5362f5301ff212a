"""Sums over steps equal brute force: every step, every layer, every sequence enumerated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscale.cost import (
    Architecture,
    Experts,
    Layer,
    attended,
    blocks_attended,
    decode_work,
    judge_work,
    mean_batch,
    parse_policy,
    prefill_work,
    score_work,
    speculative_work,
    tree_contexts,
    tree_decode_work,
)
from ttscale.cost.precision import Precision
from ttscale.errors import InputError

SHAPE = {
    "model_type": "generic",
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "vocab_size": 70,
}
TOY = Architecture.from_config(SHAPE)
HYBRID = Architecture.from_config(
    SHAPE
    | {"sliding_window": 9}
    | {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
)
LATENT = Architecture.from_config(
    SHAPE
    | {"kv_lora_rank": 8, "qk_nope_head_dim": 4, "qk_rope_head_dim": 2, "v_head_dim": 6}
    | {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
)
MODELS = {"toy": TOY, "hybrid": HYBRID, "latent": LATENT}

tokens = st.integers(0, 40)
policies = st.one_of(
    st.just("dense"),
    st.builds("window:{}:sinks={}".format, st.integers(1, 30), st.integers(0, 6)),
    st.builds("topk:{}:search={}".format, st.integers(1, 30), st.integers(0, 1)),
    st.builds("block_topk:{}:block={}".format, st.integers(8, 30), st.integers(1, 8)),
    st.builds(
        "quest:{}:block={}:dense_layers={}".format,
        st.integers(8, 30),
        st.integers(1, 8),
        st.integers(0, 4),
    ),
)


@given(tokens, tokens, st.one_of(st.none(), st.integers(1, 60)))
def test_attended_is_the_sum_over_steps(before: int, steps: int, limit: int | None) -> None:
    most = limit if limit is not None else 10**9
    assert attended(before, steps, limit) == sum(min(most, before + t) for t in range(1, steps + 1))


@given(tokens, tokens, st.integers(1, 9), st.one_of(st.none(), st.integers(1, 60)))
def test_blocks_attended_is_the_sum_over_steps(
    before: int, steps: int, block: int, limit: int | None
) -> None:
    most = limit if limit is not None else 10**9
    expected = sum(min(most, before + t) // block for t in range(1, steps + 1))
    assert blocks_attended(before, steps, block, limit) == expected


def seen_tokens(layer: Layer, policy: Any, index: int, n: int) -> list[int] | int:
    """Positions one step attends to where they are fixed, their number where they are chosen."""
    limit = policy.limit if index >= policy.n_dense_layers else None
    if layer.window is not None and (limit is None or layer.window < limit):
        return list(range(max(0, n - layer.window), n))
    if limit is None:
        return list(range(n))
    if policy.kind == "window":
        near = range(max(0, n - policy.budget), n)
        return sorted(set(near) | set(range(min(policy.sinks, n))))
    return min(limit, n)


def brute_force_decode(
    model: Architecture, n_prompt: int, n_steps: int, policy: Any, n_samples: int, shared: bool
) -> tuple[float, float]:
    """Attention FLOPs and bytes of `n_samples` siblings in step, one entry at a time."""
    flops, elements, written = 0, 0, 0
    for step in range(1, n_steps + 1):
        n = n_prompt + step
        for index, layer in enumerate(model.layers):
            seen = seen_tokens(layer, policy, index, n)
            written += n_samples * layer.cache_elements
            read: set[tuple[int, int]] = set()
            for sample in range(n_samples):
                if isinstance(seen, int):
                    flops += layer.pair_flops * seen
                    elements += layer.cache_elements * seen
                    continue
                flops += layer.pair_flops * len(seen)
                for position in seen:
                    owner = -1 if shared and position < n_prompt else sample
                    read.add((owner, position))
            elements += layer.cache_elements * len(read)
            sparse = policy.limit is not None and index >= policy.n_dense_layers
            if not sparse or isinstance(seen, list) or not policy.n_search_vectors:
                continue
            reach = n if layer.window is None else min(n, layer.window)
            blocks = reach // policy.block
            flops += n_samples * policy.n_search_vectors * blocks * layer.search_flops
            common = n_prompt // policy.block if shared and layer.window is None else 0
            read_blocks = common + n_samples * (blocks - common)
            elements += policy.n_search_vectors * read_blocks * layer.key_elements
    return flops, (elements + written) * model.precision.kv_bits / 8


@settings(max_examples=300)
@given(st.sampled_from(sorted(MODELS)), tokens, tokens, policies, st.integers(1, 4), st.booleans())
def test_decode_equals_every_step_of_every_sibling(
    name: str, n_prompt: int, n_steps: int, policy: str, n_samples: int, shared: bool
) -> None:
    model = MODELS[name]
    work = decode_work(
        model,
        n_prompt,
        n_steps,
        attention=policy,
        batch=n_samples,
        sharers=n_samples if shared else 1,
    )
    flops, n_bytes = brute_force_decode(
        model, n_prompt, n_steps, parse_policy(policy), n_samples, shared
    )
    assert work.flops.attention * n_samples == flops
    assert work.n_bytes.attention * n_samples == pytest.approx(n_bytes, rel=1e-12)
    assert work.flops.linear == 2 * model.n_linear * n_steps
    assert work.flops.head == 2 * model.n_head * n_steps
    weights = model.step_bytes(n_samples) + model.head_bytes
    assert (work.n_bytes.linear + work.n_bytes.head) * n_samples == pytest.approx(weights * n_steps)
    assert work.n_decode_steps * n_samples == n_steps


@settings(max_examples=200)
@given(st.sampled_from(sorted(MODELS)), tokens, tokens, st.one_of(st.none(), st.integers(1, 12)))
def test_prefill_equals_every_token_of_every_pass(
    name: str, n_new: int, n_cached: int, chunk: int | None
) -> None:
    model = MODELS[name]
    work = prefill_work(model, n_new, n_cached, chunk=chunk)
    pairs = elements = passes = 0
    for layer in model.layers:
        most = layer.window or 10**9
        for position in range(n_cached, n_cached + n_new):
            pairs += layer.prefill_pair_flops * min(most, position + 1)
        pairs += layer.expand_flops * n_cached if n_new else 0
        for begin in range(0, n_new, chunk or max(1, n_new)):
            elements += layer.cache_elements * min(most - 1, n_cached + begin)
        elements += layer.cache_elements * n_new
    passes = len(range(0, n_new, chunk or max(1, n_new)))
    assert work.flops.attention == pairs
    assert work.n_bytes.attention == pytest.approx(
        elements * model.precision.kv_bits / 8, rel=1e-12
    )
    assert work.n_prefill_steps == passes
    assert work.flops.head == (2 * model.n_head if n_new else 0)


@settings(max_examples=50)
@given(st.lists(st.tuples(tokens, tokens), min_size=1, max_size=6), policies)
def test_arrays_are_the_sequences_one_by_one(pairs: list[tuple[int, int]], policy: str) -> None:
    before, steps = (np.array(column) for column in zip(*pairs, strict=True))
    together = decode_work(HYBRID, before, steps, attention=policy) + prefill_work(HYBRID, before)
    for index, (n, g) in enumerate(pairs):
        alone = decode_work(HYBRID, n, g, attention=policy) + prefill_work(HYBRID, n)
        assert [float(a) for a in together[index].arrays()] == [float(a) for a in alone.arrays()]
    assert float(together.sum().flops.total) == float(np.sum(together.flops.total))


def test_parts_and_phases_add_up() -> None:
    work = prefill_work(TOY, 30) + decode_work(TOY, 30, 12, batch=3)
    for side in work.as_dict().values():
        assert side["prefill"] + side["decode"] == pytest.approx(side["total"])
        assert side["linear"] + side["attention"] + side["head"] == pytest.approx(side["total"])
    n_bytes = work.as_dict()["n_bytes"]
    assert n_bytes["weights"] + n_bytes["kv"] == pytest.approx(n_bytes["total"])
    assert n_bytes["kv_written"] == 42 * TOY.kv_bytes_per_token


def test_an_engine_whose_prefill_emits_the_first_token_runs_one_step_fewer() -> None:
    n, g = 20, 7
    pairs = (g - 1) * n + g * (g - 1) // 2
    work = decode_work(TOY, n, g - 1)
    assert work.flops.attention == pairs * sum(layer.pair_flops for layer in TOY.layers)


def test_lock_step_batch_reads_the_weights_once_per_step_of_the_longest() -> None:
    lengths = np.array([3, 9, 5])
    work = decode_work(TOY, 10, lengths, batch=mean_batch(lengths)).sum()
    assert work.n_decode_steps == pytest.approx(9)
    assert work.n_bytes.linear == pytest.approx(9 * TOY.step_bytes(1))


def test_experts_read_are_those_the_batch_hits() -> None:
    rng = np.random.default_rng(0)
    experts = Experts(n_total=5, n_active=2, n_matrix=1)
    hits = [
        len({e for _ in range(3) for e in rng.choice(5, 2, replace=False)}) for _ in range(20_000)
    ]
    assert float(experts.n_distinct(3)) == pytest.approx(np.mean(hits), abs=0.02)
    every = LATENT.step_bytes(10**6)
    assert LATENT.step_bytes(1) < LATENT.step_bytes(4) < every
    assert every == pytest.approx(LATENT.weight_bytes - LATENT.head_bytes - 70 * 32 * 2)


def test_recurrent_layers_cost_the_same_at_every_context() -> None:
    model = Architecture.from_config("Qwen3-Next-80B-A3B-Instruct")
    linear = replace(model, layers=tuple(x for x in model.layers if x.state_elements))
    assert len(linear.layers) == 36
    near, far = decode_work(linear, 10, 5), decode_work(linear, 10_000, 5)
    assert float(near.flops.total) == float(far.flops.total)
    assert float(near.n_bytes.total) == float(far.n_bytes.total)
    assert linear.kv_bytes(1) == linear.kv_bytes(10_000) == linear.state_bytes > 0


def test_kv_held_is_bounded_by_windows() -> None:
    held = HYBRID.kv_bytes([5, 9, 100])
    each = 2 * 2 * 8 * 2  # keys and values, heads, head size, bytes
    assert held.tolist() == [3 * 5 * each, 3 * 9 * each, (2 * 9 + 100) * each]


def test_scoring_step_by_step_with_and_without_a_cache() -> None:
    ends = [4, 9, 15]
    once = score_work(TOY, 10, ends, reuse=True)
    again = score_work(TOY, 10, ends, reuse=False)
    assert once.flops.linear == 2 * TOY.n_linear * (10 + 15)
    assert again.flops.linear == 2 * TOY.n_linear * sum(10 + end for end in ends)
    assert once.flops.head == again.flops.head == 0
    assert once.flops.attention == pytest.approx(float(prefill_work(TOY, 25).flops.attention))


def test_a_judge_reads_its_context_once_and_decodes_every_verdict() -> None:
    work = judge_work(TOY, 30, 6, n_verdicts=4)
    alone = decode_work(TOY, 30, 6, batch=4)
    assert work.flops.decode == pytest.approx(4 * float(alone.flops.decode))
    assert work.flops.prefill == prefill_work(TOY, 30).flops.prefill
    shared = judge_work(TOY, 30, 6, n_verdicts=4, shared_reads=True)
    assert shared.n_bytes.attention < work.n_bytes.attention


def test_speculation_without_gain_checks_every_token() -> None:
    work = speculative_work(TOY, HYBRID, 12, 5, acceptance=0.0, n_draft=2)
    pair, cache = TOY.layers[0].pair_flops, TOY.layers[0].cache_elements
    starts = range(12, 17)
    flops = sum(3 * pair * (start + j) for start in starts for j in (1, 2, 3))
    elements = sum(3 * cache * (start + 3 + 3) for start in starts)  # read once, 3 written
    assert work.target.flops.attention == flops
    assert work.target.n_bytes.attention == elements * 2
    assert work.target.flops.linear == 5 * 3 * 2 * TOY.n_linear
    assert work.target.n_decode_steps == 5
    drafted = sum(float(decode_work(HYBRID, start, 2).flops.total) for start in starts)
    assert work.draft.flops.total == pytest.approx(drafted)


def test_speculation_that_always_gains_is_a_decode_in_fewer_passes() -> None:
    work = speculative_work(TOY, TOY, 12, 12, acceptance=1.0, n_draft=3).target
    plain = decode_work(TOY, 12, 12)
    assert work.flops.total == pytest.approx(float(plain.flops.total))
    assert work.n_decode_steps == pytest.approx(3)
    assert work.n_bytes.linear == pytest.approx(float(plain.n_bytes.linear) / 4)
    with pytest.raises(InputError, match="between 0 and 1"):
        speculative_work(TOY, TOY, 1, 1, acceptance=1.2, n_draft=1)
    with pytest.raises(InputError, match="at least one"):
        speculative_work(TOY, TOY, 1, 1, acceptance=0.5, n_draft=0)


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    n = draw(st.integers(1, 9))
    parent = [-1] + [draw(st.integers(0, node - 1)) for node in range(1, n)]
    return parent, [draw(st.integers(0, 6)) for _ in range(n)]


@settings(max_examples=150)
@given(trees())
def test_trees_equal_every_entry_read_at_every_step(tree: tuple[list[int], list[int]]) -> None:
    parent, n_tokens = tree
    above = [[] if p < 0 else None for p in parent]
    for node, p in enumerate(parent):
        if p >= 0:
            above[node] = [*above[p], p]
    assert tree_contexts(parent, n_tokens).tolist() == [
        sum(n_tokens[a] for a in ancestors) for ancestors in above
    ]
    alone = together = 0
    for depth in range(1, len(parent)):
        nodes = [node for node in range(len(parent)) if len(above[node]) == depth]
        for step in range(1, max([n_tokens[node] for node in nodes], default=0) + 1):
            running = [node for node in nodes if n_tokens[node] >= step]
            prefix = [(a, i) for node in running for a in above[node] for i in range(n_tokens[a])]
            own = step * len(running)
            alone, together = alone + len(prefix) + own, together + len(set(prefix)) + own
    each = 2 * sum(layer.cache_elements for layer in TOY.layers)
    written = each * sum(n for n, p in zip(n_tokens, parent, strict=True) if p >= 0)
    separate = tree_decode_work(TOY, parent, n_tokens)
    shared = tree_decode_work(TOY, parent, n_tokens, shared_reads=True)
    assert separate.n_bytes.attention == alone * each + written
    assert shared.n_bytes.attention == together * each + written
    assert separate.flops.total == shared.flops.total


def test_a_tree_lists_parents_first() -> None:
    with pytest.raises(InputError, match="before its child"):
        tree_contexts([1, -1], [3, 4])


@pytest.mark.parametrize("bad", [-1, 2.5, float("nan"), "ten", 10**12])
def test_token_counts_are_whole_and_not_negative(bad: Any) -> None:
    with pytest.raises(InputError, match="n_generated"):
        decode_work(TOY, 5, bad)
    with pytest.raises(InputError, match="n_new"):
        prefill_work(TOY, bad)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sparse:4", "unknown attention policy 'sparse'"),
        ("block_topk", "needs a budget"),
        ("window:0", "not a whole number of at least 1"),
        ("window:x", "not a whole number"),
        ("block_topk:16", "below one block"),
        ("topk:64:block=8", "has no option"),
        ("window:64:sinks", "has no option"),
        ("dense:64", "takes no budget"),
    ],
)
def test_bad_policies_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_policy(text)


def test_kv_width_scales_cache_traffic_alone() -> None:
    narrow = replace(TOY, precision=Precision(kv_bits=8))
    wide, thin = decode_work(TOY, 9, 9), decode_work(narrow, 9, 9)
    assert thin.n_bytes.attention == wide.n_bytes.attention / 2
    assert thin.n_bytes.linear == wide.n_bytes.linear
