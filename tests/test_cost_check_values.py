"""The cost model's reference values come out to the digits given."""

from __future__ import annotations

import pytest

from ttscale.cost import (
    Architecture,
    Experts,
    attended,
    compressed_peak,
    compressed_reads,
    expected_tokens,
    kinetics_cost,
    monkeys_flops,
    monkeys_token_flops,
    prefill_work,
    speed_up,
)
from ttscale.cost.kinetics import INTENSITY, _released
from ttscale.cost.policy import parse_policy

L, G = 256, 8192
QWEN3_8B = Architecture.from_config("Qwen3-8B")


@pytest.mark.parametrize(
    ("size", "g", "n", "compute", "memory", "total"),
    [
        ("0.6B", 8192, 1, 20.4984, 2299.9550, 2320.4534),
        ("8B", 2048, 1, 35.0924, 217.4327, 252.5251),
        ("8B", 8192, 1, 155.2131, 2957.0850, 3112.2981),
        ("8B", 32768, 1, 858.3470, 45226.0056, 46084.3526),
        ("8B", 8192, 8, 1241.7050, 22439.0566, 23680.7616),
        ("14B", 8192, 1, 271.1975, 3285.6500, 3556.8474),
        ("32B", 32768, 1, 3290.4515, 80401.7878, 83692.2392),
    ],
)
def test_kinetics_dense(
    size: str, g: int, n: int, compute: float, memory: float, total: float
) -> None:
    cost = kinetics_cost(Architecture.from_config(f"Qwen3-{size}"), L, g, n)
    assert (cost.linear + cost.attention) / 1e12 == pytest.approx(compute, abs=5e-5)
    assert INTENSITY * cost.n_bytes / 1e12 == pytest.approx(memory, abs=5e-5)
    assert cost.eflops / 1e12 == pytest.approx(total, abs=1e-4)


def test_sums_over_a_sparse_decode() -> None:
    top_k, block = parse_policy("topk:1024"), parse_policy("block_topk:1024:block=16")
    assert attended(L, G, 1024) == 8_094_080
    assert _released(block, L, G) == 8_093_696
    assert _released(top_k, L, G) == 8_683_520
    excess = float(_released(top_k, L, G) / attended(L, G, 1024)) - 1
    assert excess == pytest.approx(0.0728, abs=5e-5)
    assert attended(L, G, None) == 35_655_680
    dense = kinetics_cost(QWEN3_8B, L, G)
    assert dense.n_bytes / QWEN3_8B.kv_bytes_per_token == 35_651_584  # the continuous form
    assert attended(L, 300, 1024) == 121_950
    assert _released(block, L, 300) == 12_288  # not valid where g < B - L


@pytest.mark.parametrize(
    ("attention", "compat", "compute", "memory"),
    [
        ("topk:1024", False, 138.959043, 671.355372),
        ("topk:1024", True, 139.306709, 720.245883),
        ("block_topk:1024:block=16", True, 139.615946, 763.732427),
    ],
)
def test_kinetics_sparse(attention: str, compat: bool, compute: float, memory: float) -> None:
    cost = kinetics_cost(QWEN3_8B, L, G, attention=attention, compat=compat)
    assert (cost.linear + cost.attention) / 1e12 == pytest.approx(compute, abs=5e-7)
    assert INTENSITY * cost.n_bytes / 1e12 == pytest.approx(memory, abs=5e-7)


def test_search_of_block_top_k() -> None:
    exact = kinetics_cost(QWEN3_8B, L, G, attention="topk:1024")
    searched = kinetics_cost(QWEN3_8B, L, G, attention="block_topk:1024:block=16")
    flops = searched.attention - exact.attention
    n_bytes = searched.n_bytes - exact.n_bytes
    assert flops / 1e12 == pytest.approx(0.657130, abs=5e-7)
    assert INTENSITY * n_bytes / 1e12 == pytest.approx(92.408906, abs=5e-7)


def test_shared_reads_are_a_switch() -> None:
    shared = kinetics_cost(QWEN3_8B, L, G, 8)
    alone = kinetics_cost(QWEN3_8B, L, G, 8, shared_reads=False)
    assert alone.n_bytes == 8 * kinetics_cost(QWEN3_8B, L, G, 1).n_bytes
    assert alone.n_bytes - shared.n_bytes == 7 * L * G * QWEN3_8B.kv_bytes_per_token


def test_prefill() -> None:
    work = prefill_work(QWEN3_8B, 2048)
    assert work.flops.attention == pytest.approx(1.237555e12, rel=5e-7)
    assert kinetics_cost(QWEN3_8B, 0, 2048).linear == pytest.approx(33.54624e12)


def test_linear_parameters_leave_out_the_embedding() -> None:
    assert QWEN3_8B.n_linear == pytest.approx(6.95e9, rel=1e-3)
    assert QWEN3_8B.n_linear + QWEN3_8B.n_head == pytest.approx(7.57e9, rel=1e-3)


def test_large_language_monkeys() -> None:
    token = monkeys_token_flops(8.19e9, 36, 4096, 1000)
    assert token == 16_969_824_000
    assert monkeys_flops(8.19e9, 36, 4096, 400, 600, 5) == token * (400 + 5 * 600)


@pytest.mark.parametrize(
    ("size", "n_bytes"), [("0.6B", 114_688), ("8B", 147_456), ("14B", 163_840), ("32B", 262_144)]
)
def test_kv_bytes_per_token(size: str, n_bytes: int) -> None:
    assert Architecture.from_config(f"Qwen3-{size}").kv_bytes_per_token == n_bytes


def test_cache_in_binary_units() -> None:
    assert QWEN3_8B.kv_bytes(32_768) / 2**30 == 4.5
    assert QWEN3_8B.kv_bytes(32_186) / 2**30 == pytest.approx(4.42, abs=1e-4)


def test_distinct_experts() -> None:
    assert Experts(5, 2, 1).n_distinct(3) == pytest.approx(3.92, rel=1e-14)
    many = Experts(128, 8, 1).n_distinct([1, 2, 8, 32, 128])
    assert many == pytest.approx([8, 15.5, 51.6199, 111.7710, 127.9669], abs=5e-5)


def test_compressed_caches() -> None:
    assert compressed_reads(L, G, 256, 1 / 8) == 6_291_968
    assert compressed_peak(L, G, 256, 1 / 8) == 1_280


def test_speculative_decoding() -> None:
    rates, drafts = [0.8, 0.7, 0.9], [4, 5, 8]
    assert expected_tokens(rates, drafts) == pytest.approx([3.3616, 2.94117, 6.125795], abs=5e-7)
    assert speed_up(rates, drafts, 0.05) == pytest.approx([2.801333, 2.352936, 4.375568], abs=5e-7)
    assert expected_tokens(1.0, 4) == 5
