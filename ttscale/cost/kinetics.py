"""Kinetics' published cost (Sadhukhan et al., 2025), for comparison with results made by it.

eFLOPs = compute + I × bytes of KV cache, bf16, every layer alike. Prefill, weight reads and
verification are left out, and the parameter count holds the embedding. What it misses and where its
released code is wrong stands in `docs/cost.md`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ttscale.cost.architecture import Amount, Architecture
from ttscale.cost.policy import DENSE, AttentionPolicy, parse_policy
from ttscale.cost.sums import attended

INTENSITY = 562.5  # FLOPs per byte in the released code: 4500 TFLOP/s over 8 TB/s
PARAMETERS = {  # as the released code counts them
    "Qwen3-0.6B": 0.752e9,
    "Qwen3-1.7B": 2.03e9,
    "Qwen3-4B": 4.02e9,
    "Qwen3-8B": 8.19e9,
    "Qwen3-14B": 14.77e9,
    "Qwen3-32B": 32.76e9,
}


class KineticsCost(NamedTuple):
    """FLOPs and bytes by Kinetics' formula, and their sum at its intensity.

    Attributes
    ----------
    linear, attention : FLOPs.
    n_bytes : of KV cache read.
    eflops : linear + attention + I × n_bytes.
    """

    linear: Amount
    attention: Amount
    n_bytes: Amount
    eflops: Amount


def kinetics_cost(
    architecture: Architecture,
    n_prompt: npt.ArrayLike,
    n_generated: npt.ArrayLike,
    n_samples: npt.ArrayLike = 1,
    *,
    attention: str | AttentionPolicy = DENSE,
    intensity: float = INTENSITY,
    n_parameters: float | None = None,
    compat: bool = False,
    shared_reads: bool = True,
) -> KineticsCost:
    """Kinetics' cost of `n_samples` trials on one prompt.

    Parameters
    ----------
    architecture : gives layers, heads and head size; windows of its own are ignored.
    n_prompt, n_generated, n_samples : L, g and N.
    attention : dense, or a sparse budget: C = (2Pg + 4 S H d Ly) N + 4 S KV d Ly N I with the exact
        sum S; `block_topk` adds the search over one key per block.
    intensity : I, FLOPs per byte.
    n_parameters : P; the published figure for the six Qwen3 models, else the architecture's count.
    compat : the released code's S in place of the exact one: Bg + max(0, B - L)²/2 for top-k, which
        has the wrong sign, and Bg - max(0, B - L)²/2 for block top-k.
    shared_reads : whether one read of the prompt's cache serves all trials, as published (dense
        only).

    Notes
    -----
    Dense: C = 2NPg + 2rN L D g + rN D g² + 2I L D g + I N D g² with D = 2 Ly KV d: step t counts as
    L + t - 1/2 entries.
    """
    policy = parse_policy(attention) if isinstance(attention, str) else attention
    L, g = np.asarray(n_prompt, np.float64), np.asarray(n_generated, np.float64)
    n = np.asarray(n_samples, np.float64)
    if n_parameters is None:
        n_parameters = PARAMETERS.get(architecture.name, float(architecture.n_parameters))
    pair = sum(count * layer.pair_flops for layer, count in architecture.groups.items())
    cache = sum(count * layer.cache_elements for layer, count in architecture.groups.items())
    linear = 2 * n_parameters * g * n
    if policy.limit is None:
        own, prompt = g * g / 2, L * g
        pairs, reads = (prompt + own) * n, (prompt * (1 if shared_reads else n) + own * n)
    else:
        seen = _released(policy, L, g) if compat else attended(n_prompt, n_generated, policy.limit)
        pairs = reads = np.asarray(seen, np.float64) * n
    flops, n_bytes = pair * pairs, 2 * cache * reads
    if policy.kind == "block_topk":
        flops = flops + pair / 4 * ((2 * L + g) // policy.block) * g * n
        n_bytes = n_bytes + cache / 2 * ((2 * L + g * n) // policy.block) * g
    return KineticsCost(linear, flops, n_bytes, linear + flops + intensity * n_bytes)


def _released(policy: AttentionPolicy, L: Amount, g: Amount) -> Amount:
    """Attended entries as the released code sums them."""
    assert policy.limit is not None, "dense attention has no budget to sum"
    sign = -1.0 if policy.kind == "block_topk" else 1.0
    return policy.limit * g + sign * np.maximum(0, policy.limit - L) ** 2 / 2


def monkeys_flops(
    n_parameters: float, n_layers: int, width: int, n_prompt: float, n_generated: float, n: float
) -> float:
    """Large Language Monkeys' FLOPs (Brown et al., 2024): prompt once, generation N times.

    Per token 2(P + 2 Ly width × context), the context taken as n_prompt + n_generated.
    """
    context = n_prompt + n_generated
    return (n_prompt + n_generated * n) * monkeys_token_flops(
        n_parameters, n_layers, width, context
    )


def monkeys_token_flops(n_parameters: float, n_layers: int, width: int, context: float) -> float:
    """FLOPs for one token at a context by the same account: 2(P + 2 Ly width × context)."""
    return 2 * (n_parameters + 2 * n_layers * width * context)
