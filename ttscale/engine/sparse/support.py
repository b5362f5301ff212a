"""Whether a model in vLLM can serve a policy, said before anything is sampled."""

from __future__ import annotations

from typing import Any

from ttscale.cost.policy import AttentionPolicy, parse_policy
from ttscale.errors import InputError


def check(policy: str, vllm_config: Any, where: str = "attention") -> None:
    """Raise InputError unless a loaded model can attend by a policy.

    Parameters
    ----------
    policy : as in `Sampling.attention`.
    vllm_config : vLLM's whole configuration of the engine.
    where : the place to name.
    """
    parsed = parse_policy(policy, where)
    if parsed.budget is None:
        return
    if reason := _unsupported(vllm_config):
        raise InputError(
            f"sparse attention is not supported for {reason}",
            where=where,
            got=policy,
            hint="attention: dense",
        )
    _check_blocks(parsed, policy, vllm_config.cache_config.block_size, where)
    n_layers = vllm_config.model_config.get_num_layers(vllm_config.parallel_config)
    if parsed.n_dense_layers >= n_layers:
        raise InputError(
            "every layer would stay dense",
            where=where,
            got=policy,
            hint=f"the model has {n_layers} layers; leave dense_layers below that",
        )


def _unsupported(config: Any) -> str | None:
    """What about a model or engine rules sparse attention out; None if nothing does."""
    model = config.model_config
    text = model.hf_text_config
    reasons = {
        "a model with latent attention": model.use_mla,
        "a model with sliding-window attention": model.get_sliding_window() is not None
        or "sliding_attention" in (getattr(text, "layer_types", None) or ()),
        "a model with chunked attention": bool(getattr(text, "attention_chunk_size", None)),
        "a model that has layers without a KV cache": model.is_hybrid or model.is_attention_free,
        "an encoder-decoder model": model.is_encoder_decoder,
        "a model with ALiBi, which needs every token's distance": model.uses_alibi,
        "a quantised KV cache": config.cache_config.cache_dtype not in {"auto", "float32"}
        and "fp8" in config.cache_config.cache_dtype,
        "speculative decoding": config.speculative_config is not None,
        "vLLM's second model runner (VLLM_USE_V2_MODEL_RUNNER=0 takes the first)": getattr(
            config, "use_v2_model_runner", False
        ),
        "context parallelism": config.parallel_config.decode_context_parallel_size > 1,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _check_blocks(parsed: AttentionPolicy, policy: str, block: int, where: str) -> None:
    """The engine reads whole blocks of its cache; only `topk` chooses tokens."""
    if parsed.kind == "topk":
        return
    if parsed.kind != "window" and parsed.block != block:
        raise InputError(
            f"the engine's KV cache has blocks of {block} tokens, the policy's have {parsed.block}",
            where=where,
            got=policy,
            hint=f"block: {block}, or model.options: {{block_size: {parsed.block}}}",
        )
    for name, tokens in (("budget", parsed.budget), ("sinks", parsed.sinks)):
        if tokens is not None and tokens % block:
            raise InputError(
                f"a {name} of {tokens} is no multiple of the engine's block of {block} tokens",
                where=where,
                got=policy,
                hint=f"{name}: {max(block, tokens // block * block)}",
            )
