"""Model families: where each departs from Llama's layer, as data.

A family is a row of options. `layers.py` turns a config and its row into layers; every row is
checked against the model that `transformers` builds on the meta device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple


class Flag(NamedTuple):
    """A yes-or-no field of the config, and what its absence means."""

    key: str
    default: bool = False


NO = Flag("", False)
YES = Flag("", True)
BIAS = Flag("attention_bias")
MLP_BIAS = Flag("mlp_bias")


@dataclass(frozen=True)
class Family:
    """How a family's decoder differs from Llama's.

    Attributes
    ----------
    tied : whether the head is the embedding where the config does not say.
    qkv_bias, out_bias, mlp_bias : biases of the query-key-value, output and MLP matrices.
    gated_mlp : three matrices (gate, up, down); two otherwise.
    gated_query : the query matrix also makes an output gate, and is twice as large.
    norm : weights per channel of a norm: 1 for RMS norm, 2 with a bias, 0 without weights.
    n_norms : norms of hidden size per layer.
    qk_norm : a norm of queries and keys, over the head size or over all heads; `has_qk_norm` is
        the config field that turns it on.
    sinks : one learned attention sink per query head.
    shared_gate : the shared expert has a gate of hidden size.
    router_bias, expert_bias : biases in mixture-of-experts layers.
    head_bias : a bias of the output matrix.
    learned_positions : a table of positions beside the embedding.
    window : which layers slide over `sliding_window` tokens where `layer_types` is not given: none,
        all, the late ones (`max_window_layers` on, when `use_sliding_window`), or all but every
        n-th.
    defaults : values of fields that configs of this family may leave out.
    """

    tied: bool = False
    qkv_bias: Flag = BIAS
    out_bias: Flag = BIAS
    mlp_bias: Flag = MLP_BIAS
    gated_mlp: bool = True
    gated_query: bool = False
    norm: int = 1
    n_norms: int = 2
    qk_norm: Literal["head", "all"] | None = None
    has_qk_norm: Flag = YES
    sinks: bool = False
    shared_gate: bool = False
    router_bias: bool = False
    expert_bias: bool = False
    head_bias: Flag = NO
    learned_positions: bool = False
    window: Literal["none", "all", "late"] | int = "none"
    defaults: Mapping[str, Any] = field(default_factory=dict)


QWEN2 = Family(qkv_bias=YES, out_bias=NO, mlp_bias=NO, window="late")
QWEN3 = Family(qk_norm="head", mlp_bias=NO, window="late")
QWEN3_NEXT = Family(
    qk_norm="head",
    mlp_bias=NO,
    gated_query=True,
    shared_gate=True,
    defaults={"full_attention_interval": 4, "head_dim": 256},
)
GEMMA = Family(tied=True, mlp_bias=NO, defaults={"head_dim": 256})
GEMMA3 = Family(
    tied=True,
    mlp_bias=NO,
    n_norms=4,
    qk_norm="head",
    window=6,
    defaults={
        "head_dim": 256,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "vocab_size": 262208,
        "sliding_window": 4096,
    },
)
DEEPSEEK = Family(mlp_bias=NO)
OLMO2 = Family(mlp_bias=NO, qk_norm="all")
GLM = Family(qkv_bias=Flag("attention_bias", True), out_bias=NO, mlp_bias=NO)
COHERE = Family(tied=True, mlp_bias=NO, n_norms=1, qk_norm="all", has_qk_norm=Flag("use_qk_norm"))

FAMILIES: dict[str, Family] = {
    "llama": Family(),
    "mistral": Family(qkv_bias=NO, out_bias=NO, mlp_bias=NO, window="all"),
    "ministral3": Family(qkv_bias=NO, out_bias=NO, mlp_bias=NO),
    "mixtral": Family(qkv_bias=NO, out_bias=NO, mlp_bias=NO, window="all"),
    "qwen2": QWEN2,
    "qwen2_moe": Family(
        qkv_bias=Flag("qkv_bias", True), out_bias=NO, mlp_bias=NO, shared_gate=True, window="late"
    ),
    "qwen3": QWEN3,
    "qwen3_moe": Family(qk_norm="head", mlp_bias=NO),
    "qwen3_next": QWEN3_NEXT,
    "qwen3_5_text": QWEN3_NEXT,
    "qwen3_5_moe_text": QWEN3_NEXT,
    "gemma": GEMMA,
    "gemma2": Family(
        tied=True,
        mlp_bias=NO,
        n_norms=4,
        window=2,
        defaults={"head_dim": 256, "sliding_window": 4096},
    ),
    "gemma3_text": GEMMA3,
    "phi": Family(
        qkv_bias=YES,
        out_bias=YES,
        mlp_bias=YES,
        gated_mlp=False,
        norm=2,
        n_norms=1,
        qk_norm="head",
        has_qk_norm=Flag("qk_layernorm"),
        head_bias=YES,
    ),
    "phi3": Family(qkv_bias=NO, out_bias=NO, mlp_bias=NO, window="all"),
    "phimoe": Family(norm=2, mlp_bias=NO, head_bias=Flag("lm_head_bias"), window="all"),
    "deepseek_v2": Family(),
    "deepseek_v3": DEEPSEEK,
    "kimi_k2": DEEPSEEK,
    "minicpm3": Family(tied=True),
    "gpt_oss": Family(
        qkv_bias=Flag("attention_bias", True),
        out_bias=Flag("attention_bias", True),
        sinks=True,
        router_bias=True,
        expert_bias=True,
        window=2,
        defaults={"head_dim": 64, "sliding_window": 128},
    ),
    "smollm3": Family(tied=True),
    "olmo": Family(mlp_bias=NO, norm=0),
    "olmo2": OLMO2,
    "olmo3": Family(mlp_bias=NO, qk_norm="all", window=4, defaults={"sliding_window": 4096}),
    "olmoe": OLMO2,
    "glm": GLM,
    "glm4": Family(qkv_bias=Flag("attention_bias", True), out_bias=NO, mlp_bias=NO, n_norms=4),
    "glm4_moe": Family(out_bias=NO, mlp_bias=NO, qk_norm="head", has_qk_norm=Flag("use_qk_norm")),
    "granite": Family(),
    "granitemoe": Family(mlp_bias=NO),
    "cohere": COHERE,
    "cohere2": Family(
        tied=True, mlp_bias=NO, n_norms=1, window=4, defaults={"sliding_window": 4096}
    ),
    "starcoder2": Family(
        tied=True,
        qkv_bias=Flag("use_bias", True),
        out_bias=Flag("use_bias", True),
        mlp_bias=Flag("use_bias", True),
        gated_mlp=False,
        norm=2,
        window="all",
    ),
    "stablelm": Family(
        qkv_bias=Flag("use_qkv_bias"),
        out_bias=NO,
        mlp_bias=NO,
        norm=2,
        qk_norm="all",
        has_qk_norm=Flag("qk_layernorm"),
    ),
    "exaone4": Family(qkv_bias=NO, out_bias=NO, mlp_bias=NO, qk_norm="head", window=4),
    "seed_oss": Family(qkv_bias=Flag("attention_bias", True), out_bias=Flag("attention_out_bias")),
    "ernie4_5": Family(
        tied=True,
        qkv_bias=Flag("use_bias"),
        out_bias=Flag("use_bias"),
        mlp_bias=Flag("use_bias"),
        defaults={"head_dim": 128},
    ),
    "minimax_m2": Family(qkv_bias=NO, out_bias=NO, mlp_bias=NO, qk_norm="all"),
    "nemotron": Family(gated_mlp=False, norm=2),
    "arcee": Family(gated_mlp=False),
    "helium": Family(out_bias=NO),
    "gpt2": Family(
        tied=True,
        qkv_bias=YES,
        out_bias=YES,
        mlp_bias=YES,
        gated_mlp=False,
        norm=2,
        learned_positions=True,
    ),
    "gpt_neox": Family(
        qkv_bias=Flag("attention_bias", True),
        out_bias=Flag("attention_bias", True),
        mlp_bias=YES,
        gated_mlp=False,
        norm=2,
    ),
    "generic": Family(window="all"),
}
