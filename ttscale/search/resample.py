"""Particles: their weights, how evenly these are spread, and drawing anew by them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ttscale.search.scores import log_odds

Scheme = Literal["multinomial", "systematic"]
"""How particles are drawn: each by itself, or all with one random offset (less variance)."""

Schedule = Literal["constant", "entropic"]
"""Whether the weights are flattened while few particles hold most of the weight."""


def particle_weights(
    scores: ArrayLike, temperature: float = 1.0, *, probabilities: bool = True
) -> NDArray[np.float64]:
    """softmax(logit(r) / temperature): at temperature 1 in proportion to the odds r / (1 - r).

    Of the current scores alone, as fits resampling at every step (Puri et al., 2025, 2502.01618).
    (N,) in, (N,) out; NaN weighs nothing, unless all are NaN, which weigh the same.
    """
    logits = log_odds(scores, probabilities=probabilities) / temperature
    if np.isneginf(logits).all():
        return np.full(len(logits), 1 / len(logits))
    odds = np.exp(logits - logits.max())
    weights: NDArray[np.float64] = odds / odds.sum()
    return weights


def effective_size(weights: ArrayLike) -> float:
    """1 / sum of squared weights: how many equally weighted particles they are worth."""
    return float(1 / np.square(np.asarray(weights, dtype=np.float64)).sum())


def entropic_temperature(weights: ArrayLike, progress: float) -> float:
    """By how much to flatten weights early on: max(1, (1 - progress) / (ESS / N)), else 1.

    While less than half of the particles are effective and less than half of the steps are taken;
    `progress` is the share of the steps taken. The rule is that of its_hub's entropic filter.
    """
    share = effective_size(weights) / np.size(weights)
    if share >= 0.5 or progress >= 0.5:
        return 1.0
    return max(1.0, (1 - progress) / share)


def resample(
    weights: ArrayLike, n: int, rng: np.random.Generator, scheme: Scheme = "multinomial"
) -> list[int]:
    """n indices drawn with replacement by weights, ascending; node i is expected n w_i times.

    Systematic resampling draws each index either floor(n w_i) or ceil(n w_i) times.
    """
    cumulative = np.cumsum(np.asarray(weights, dtype=np.float64))
    cumulative /= cumulative[-1]
    if scheme == "multinomial":
        points = np.sort(rng.random(n))
    else:
        points = (rng.random() + np.arange(n)) / n
    indices: list[int] = np.searchsorted(cumulative, points, side="right").tolist()
    return indices
