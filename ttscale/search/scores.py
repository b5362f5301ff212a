"""Scores of a verifier, as probabilities and as log-odds.

A process reward model gives the probability that a partial solution is right; other verifiers give
numbers without bounds (a reward model's logit, a mean log-probability). Scores are taken as
probabilities if all that were given for the problem so far lie in [0, 1], else as log-odds.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import ArrayLike, NDArray

EPSILON = 1e-7
"""Probabilities are kept this far from 0 and 1 before their log-odds are taken."""


def are_probabilities(scores: Collection[float]) -> bool:
    """Whether every score lies in [0, 1]; NaN does not count."""
    values = np.array(list(scores), dtype=np.float64)
    values = values[~np.isnan(values)]
    return bool(((values >= 0) & (values <= 1)).all())


def log_odds(scores: ArrayLike, *, probabilities: bool) -> NDArray[np.float64]:
    """log(r / (1 - r)) of probabilities, clipped to [1e-7, 1 - 1e-7]; else the scores themselves.

    NaN gives -inf.
    """
    values = np.asarray(scores, dtype=np.float64)
    if probabilities:
        clipped = np.clip(values, EPSILON, 1 - EPSILON)
        values = np.log(clipped) - np.log1p(-clipped)
    return lowest_if_nan(values)


def vote_weights(scores: ArrayLike, *, probabilities: bool) -> NDArray[np.float64]:
    """What each score weighs in a vote: itself, or its sigmoid if it is log-odds; NaN weighs 0."""
    values = lowest_if_nan(scores)
    if probabilities:
        return np.maximum(values, 0.0)
    weights: NDArray[np.float64] = np.exp(-np.logaddexp(0.0, -values))
    return weights


def lowest_if_nan(scores: ArrayLike) -> NDArray[np.float64]:
    """The scores with -inf in place of NaN."""
    values = np.asarray(scores, dtype=np.float64)
    return np.where(np.isnan(values), -np.inf, values)
