"""Estimates with intervals, from weighted draws of a clustered bootstrap."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ttscale.laws.grid import Array


class Estimate(NamedTuple):
    """A value with its interval; an end that the data do not bound is infinite."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float | None]:
        """As JSON values: None where the number is not finite."""
        return {name: finite(number) for name, number in self._asdict().items()}


class Prediction(NamedTuple):
    """Values of a curve with pointwise intervals, each of shape (K,)."""

    value: Array
    low: Array
    high: Array


def finite(number: float) -> float | None:
    """A float that JSON can hold; None for an infinite or undefined one."""
    return float(number) if np.isfinite(number) else None


def weighted_quantiles(draws: Array, weights: Array, levels: tuple[float, ...]) -> Array:
    """Quantiles of the columns of `draws` (B, K) under `weights` (B,), shape (len(levels), K).

    The smallest draw with at least `level` of the weight at or below it: never a value between
    draws, so quantiles of rising curves rise, and infinite draws need no care.
    """
    order = np.argsort(draws, axis=0)
    ordered = np.take_along_axis(draws, order, axis=0)
    shares = np.cumsum(weights[order] / weights.sum(), axis=0)
    reached = [(shares >= level - 1e-9).argmax(axis=0)[None] for level in levels]
    return np.concatenate([np.take_along_axis(ordered, first, axis=0) for first in reached])


def resample_counts(n_problems: Array, n_resamples: int, rng: np.random.Generator) -> Array:
    """How often each group of problems is drawn, shape (B, G), when all problems are resampled."""
    total = int(n_problems.sum())
    return rng.multinomial(total, n_problems / total, size=n_resamples).astype(np.float64)
