"""Votes over equivalence classes of answers: pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Vote(NamedTuple):
    """The outcome of a vote.

    Attributes
    ----------
    winner : index of the first candidate of the winning class; None when all abstained.
    share : the winning class's share of all weight, abstentions' weight included.
    tied : number of classes that shared the top place (1 without a tie).
    abstained : number of candidates without an answer.
    """

    winner: int | None
    share: float
    tied: int
    abstained: int


def plurality(
    classes: Sequence[int | None],
    rng: np.random.Generator,
    weights: Sequence[float] | None = None,
) -> Vote:
    """The class with the most votes, or with the largest sum of weights.

    Sums are exact (compensated), so the result cannot depend on the order of the candidates. Ties
    are broken uniformly at random by `rng`; abstentions (None) never win. Self-consistency (Wang et
    al., 2023) without weights, weighted best-of-N (Li et al., 2023) with them.

    Parameters
    ----------
    classes : equivalence class of each candidate's answer, None for an abstention.
    rng : breaks ties.
    weights : one finite, non-negative weight for each candidate; 1 when left out.
    """
    weights = [1.0] * len(classes) if weights is None else weights
    assert len(weights) == len(classes), "one weight for each candidate"
    ballots: dict[int, list[float]] = {}
    for answer_class, weight in zip(classes, weights, strict=True):
        if answer_class is not None:
            ballots.setdefault(answer_class, []).append(weight)
    abstained = sum(answer_class is None for answer_class in classes)
    if not ballots:
        return Vote(None, 0.0, 0, abstained)
    sums = {answer_class: math.fsum(ballots[answer_class]) for answer_class in sorted(ballots)}
    best = max(sums.values())
    top = [answer_class for answer_class, total in sums.items() if total == best]
    winner = top[0] if len(top) == 1 else top[int(rng.integers(len(top)))]
    everything = math.fsum(weights)
    share = best / everything if everything > 0 else 0.0
    return Vote(list(classes).index(winner), share, len(top), abstained)


def argmax(scores: Sequence[float], rng: np.random.Generator) -> Vote:
    """The candidate with the highest score, as a vote; NaN never wins, ties break at random."""
    values = np.asarray(scores, dtype=np.float64)
    finite = ~np.isnan(values)
    if not finite.any():
        return Vote(None, 0.0, 0, len(values))
    best = values[finite].max()
    top = np.flatnonzero(finite & (values == best))
    winner = int(top[0] if len(top) == 1 else top[rng.integers(len(top))])
    return Vote(winner, float(best), len(top), int((~finite).sum()))
