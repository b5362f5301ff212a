"""Bits per number, scales included, of weights and KV caches; what a config's quantisation means.

4-bit weights take more than half a byte: every group carries a scale, and what is not quantised
(embeddings, head, norms, routers) keeps its own width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ttscale.errors import InputError, closest

BITS = {
    "fp64": 64.0,
    "fp32": 32.0,
    "bf16": 16.0,
    "fp16": 16.0,
    "fp8": 8.0,
    "int8": 8.0,
    "fp6": 6.0,
    "int4": 4.0,
    "fp4": 4.0,
    "nf4": 4.0,
}
TORCH_NAMES = {
    "float64": "fp64",
    "float32": "fp32",
    "float": "fp32",
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    "float8_e4m3fn": "fp8",
    "float8_e5m2": "fp8",
}
SCALE_BITS = 16.0


@dataclass(frozen=True)
class Precision:
    """How a model is stored and computed.

    Attributes
    ----------
    matrix_bits, expert_bits : per weight of the layers' dense matrices and of their experts.
    wide_bits : per weight of embeddings, head, norms, biases and routers.
    kv_bits : per element of the KV cache.
    compute : the number format of the matrix products, a key of a hardware sheet's `flops`.
    """

    matrix_bits: float = 16.0
    expert_bits: float = 16.0
    wide_bits: float = 16.0
    kv_bits: float = 16.0
    compute: str = "bf16"


def bits_of(text: str, where: str = "precision") -> tuple[float, str]:
    """Bits per number and format of `bf16`, `int4:group=128` …; a group adds 16 bits of scale.

    Raises
    ------
    InputError : an unknown format or a bad group.
    """
    name, colon, option = text.strip().lower().partition(":")
    name = TORCH_NAMES.get(name.removeprefix("torch."), name)
    if name not in BITS:
        raise InputError(
            f"unknown number format {name!r}", where=where, got=text, hint=closest(name, BITS)
        )
    if not colon:
        return BITS[name], name
    key, _, size = option.partition("=")
    if key != "group" or not size.isdigit() or int(size) < 1:
        raise InputError(
            "cannot read the group size", where=where, got=text, hint=f"{name}:group=128"
        )
    return BITS[name] + SCALE_BITS / int(size), name


def precision_of(config: Mapping[str, Any], where: str) -> Precision:
    """Read `dtype` (or `torch_dtype`) and `quantization_config` of a Hugging Face config.

    Scales are counted as the formats store them: GPTQ and AWQ one 16-bit scale and one packed zero
    per group; block fp8 one 32-bit scale per 128 × 128; MXFP4 one 8-bit scale per 32, experts only;
    bitsandbytes one 32-bit scale per 64 weights. A config without a dtype is taken as bf16.

    Raises
    ------
    InputError : a quantisation this cannot read.
    """
    dtype = config.get("dtype") or config.get("torch_dtype") or "bfloat16"
    wide, compute = bits_of(str(dtype), where=f"{where}: dtype")
    kv_bits = wide
    quantization = config.get("quantization_config")
    if not quantization:
        return Precision(wide, wide, wide, wide, compute)
    at = f"{where}: quantization_config"
    if not isinstance(quantization, Mapping):
        raise InputError("quantization_config must be a mapping", where=at, got=quantization)
    method = str(quantization.get("quant_method", "")).lower()
    experts_only = False
    if method in {"gptq", "gptqmodel", "awq", "auto-round"}:
        bits, group = _number(quantization, "bits", at), int(quantization.get("group_size", 128))
        matrix = bits if group <= 0 else bits + (SCALE_BITS + bits) / group
    elif method == "fp8":
        rows, columns = quantization.get("weight_block_size") or (0, 0)
        matrix, compute = 8 + (32 / (rows * columns) if rows else 0.0), "fp8"
    elif method == "mxfp4":
        matrix, experts_only = 4 + 8 / 32, True
    elif method == "bitsandbytes":
        four = bool(quantization.get("load_in_4bit") or quantization.get("_load_in_4bit"))
        matrix = 4 + 32 / 64 if four else 8.0
    elif method == "compressed-tensors":
        matrix, compute, kv_bits = _compressed_tensors(quantization, compute, kv_bits, at)
    else:
        raise InputError(
            f"cannot read the quantisation {method!r}",
            where=at,
            hint="one of gptq, awq, fp8, mxfp4, bitsandbytes, compressed-tensors; or remove it and "
            "say how the weights are stored, such as int4:group=128",
        )
    return Precision(wide if experts_only else matrix, matrix, wide, kv_bits, compute)


def _compressed_tensors(
    quantization: Mapping[str, Any], compute: str, kv_bits: float, where: str
) -> tuple[float, str, float]:
    groups = list((quantization.get("config_groups") or {}).values())
    if not groups or not groups[0].get("weights"):
        raise InputError("config_groups has no weights", where=where)
    weights, inputs = groups[0]["weights"], groups[0].get("input_activations")
    bits, size = _number(weights, "num_bits", where), int(weights.get("group_size") or 0)
    matrix = bits + (SCALE_BITS / size if size > 0 else 0.0)
    if inputs and inputs.get("num_bits") == 8:
        compute = "fp8" if inputs.get("type", "int") == "float" else "int8"
    cache = quantization.get("kv_cache_scheme") or {}
    return matrix, compute, float(cache.get("num_bits", kv_bits))


def _number(config: Mapping[str, Any], key: str, where: str) -> float:
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise InputError("must be a number above zero", where=f"{where}.{key}", got=value)
    return float(value)
