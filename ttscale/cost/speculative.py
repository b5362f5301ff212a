"""Speculative decoding: a draft model proposes, the target checks (Leviathan et al., 2023)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ttscale.cost.architecture import Amount, Architecture
from ttscale.cost.sums import attended
from ttscale.cost.work import Split, Work, decode_work
from ttscale.errors import InputError


class SpeculativeWork(NamedTuple):
    """Work of both models."""

    target: Work
    draft: Work


def expected_tokens(acceptance: npt.ArrayLike, n_draft: npt.ArrayLike) -> Amount:
    """Mean tokens gained by one check: (1 - α^(γ+1)) / (1 - α), and γ + 1 at α = 1."""
    rate, n = np.asarray(acceptance, np.float64), np.asarray(n_draft, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (1 - rate ** (n + 1)) / (1 - rate)
    return np.where(rate == 1, n + 1, mean)


def speed_up(acceptance: npt.ArrayLike, n_draft: npt.ArrayLike, ratio: npt.ArrayLike) -> Amount:
    """Decode steps' speed-up where a check costs as much as a step and a draft token `ratio` of it.

    That holds while decoding is bound by memory; in large batches a check costs γ + 1 tokens, which
    `speculative_work` counts.
    """
    n = np.asarray(n_draft, np.float64)
    return expected_tokens(acceptance, n) / (n * np.asarray(ratio, np.float64) + 1)


def speculative_work(
    target: Architecture,
    draft: Architecture,
    n_prompt: int,
    n_generated: int,
    *,
    acceptance: float,
    n_draft: int,
    batch: float = 1.0,
) -> SpeculativeWork:
    """Generate `n_generated` tokens after `n_prompt`, `n_draft` proposed before each check.

    Parameters
    ----------
    target, draft : the models; attention is dense but for windows of their own.
    acceptance : chance that a proposed token is accepted, in [0, 1].
    n_draft : tokens proposed for each check, at least 1.
    batch : sequences in the same pass.

    Returns
    -------
    Work of the decode alone; both models prefill the prompt besides. There are g / E checks of
    γ + 1 tokens each, E the mean gain, at contexts E apart; what was rejected is paid for.
    """
    if not 0 <= acceptance <= 1:
        raise InputError("acceptance must be between 0 and 1", where="acceptance", got=acceptance)
    if n_draft < 1:
        raise InputError("at least one token must be proposed", where="n_draft", got=n_draft)
    gain = float(expected_tokens(acceptance, n_draft))
    n_checks = n_generated / gain
    starts = n_prompt + np.floor(gain * np.arange(np.ceil(n_checks)) + 1e-9).astype(np.int64)
    weights = np.minimum(1.0, n_checks - np.arange(len(starts)))  # the last check may be a part
    proposed = decode_work(draft, starts, n_draft, batch=batch) * weights
    return SpeculativeWork(
        _check_work(target, starts, n_draft + 1, batch, weights).sum(), proposed.sum()
    )


def _check_work(
    model: Architecture, starts: npt.NDArray[np.int64], n_tokens: int, batch: float, weights: Amount
) -> Work:
    """Passes of `n_tokens` tokens each after `starts`: the cache is read once for all of them."""
    flops, elements, token_flops = np.zeros(len(starts)), np.zeros(len(starts)), 0
    for layer, n in model.groups.items():
        end = starts + n_tokens
        seen = end if layer.window is None else np.minimum(end, layer.window + n_tokens - 1)
        flops = flops + n * layer.pair_flops * attended(starts, n_tokens, layer.window)
        elements = elements + n * layer.cache_elements * seen
        token_flops += n * layer.token_flops
    share = 1 / batch
    written = model.kv_bytes_per_token * n_tokens + model.state_bytes
    return (
        Work(
            flops=Split(
                decode_linear=np.asarray(float((2 * model.n_linear + token_flops) * n_tokens)),
                decode_attention=flops,
                decode_head=np.asarray(2.0 * model.n_head * n_tokens),
            ),
            n_bytes=Split(
                decode_linear=share * model.step_bytes(batch * n_tokens),
                decode_attention=elements * model.precision.kv_bits / 8
                + model.state_bytes
                + written,
                decode_head=np.asarray(share * model.head_bytes),
            ),
            n_bytes_written=np.asarray(written),
            n_decode_steps=np.asarray(share),
        )
        * weights
    )
