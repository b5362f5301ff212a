"""Exact sums over the steps of a decode, in closed form and over arrays.

Step t = 1 … g of a decode that began after L tokens attends to L + t entries, its own among them.
All counts are integers; every function broadcasts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


def attended(
    n_before: npt.ArrayLike, n_steps: npt.ArrayLike, limit: npt.ArrayLike | None
) -> Counts:
    """Entries attended over all steps: the sum over t = 1 … g of min(limit, L + t).

    Parameters
    ----------
    n_before : L, tokens in the cache before the first step.
    n_steps : g, steps; for a causal prefill, the new tokens.
    limit : B, the most entries one step attends to; None for no bound.

    Notes
    -----
    The triangle gL + g(g + 1)/2 less what the bound cuts off it: with e = max(0, L + g - B) the
    last k = min(g, e) steps lose e, e - 1, …, e - k + 1.
    """
    before, steps = np.asarray(n_before, np.int64), np.asarray(n_steps, np.int64)
    full: Counts = steps * before + steps * (steps + 1) // 2
    if limit is None:
        return full
    excess = np.maximum(0, before + steps - np.asarray(limit, np.int64))
    cut = np.minimum(steps, excess)
    bounded: Counts = full - (cut * excess - cut * (cut - 1) // 2)
    return bounded


def blocks_attended(
    n_before: npt.ArrayLike, n_steps: npt.ArrayLike, block: int, limit: int | None
) -> Counts:
    """Whole blocks in reach over all steps: the sum of floor(min(limit, L + t) / block)."""
    before, steps = np.asarray(n_before, np.int64), np.asarray(n_steps, np.int64)
    after = before + steps
    if limit is None:
        free: Counts = _floors(after, block) - _floors(before, block)
        return free
    growing = _floors(np.minimum(after, limit), block) - _floors(np.minimum(before, limit), block)
    n_full = np.minimum(steps, np.maximum(0, after - limit))
    bounded: Counts = growing + n_full * (limit // block)
    return bounded


def _floors(n: Counts, block: int) -> Counts:
    """The sum over i = 1 … n of floor(i / block)."""
    whole, rest = n // block, n % block
    return block * (whole * (whole - 1) // 2) + whole * (rest + 1)


def compressed_reads(
    n_before: npt.ArrayLike, n_steps: npt.ArrayLike, window: int, kept: float
) -> npt.NDArray[np.float64]:
    """Entries read when all but the last `window` are thinned to a fraction `kept` (FORMULAS 5.7).

    Łańcucki et al., 2025 (dynamic memory sparsification): S(w) + kept (S(∞) - S(w)).
    """
    near = attended(n_before, n_steps, window)
    reads: npt.NDArray[np.float64] = near + kept * (attended(n_before, n_steps, None) - near)
    return reads


def compressed_peak(
    n_before: npt.ArrayLike, n_steps: npt.ArrayLike, window: int, kept: float
) -> npt.NDArray[np.float64]:
    """Entries held at the end under the same thinning: w + kept (L + g - w)."""
    total = np.asarray(n_before, np.int64) + np.asarray(n_steps, np.int64)
    near = np.minimum(total, window)
    held: npt.NDArray[np.float64] = near + kept * (total - near)
    return held
