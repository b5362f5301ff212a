"""Weights of votes: pure functions from what is known of the candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def shortness(classes: Sequence[int | None], lengths: Sequence[int]) -> list[float]:
    """1 / log of the mean length of a candidate's answer: a class of c weighs c / log(mean length).

    Shortest majority vote (Zeng et al., 2025, 2502.12215, eq. 1). Lengths below 2, whose logarithm
    would not be positive, count as 2. An abstention weighs 0.

    Parameters
    ----------
    classes : equivalence class of each candidate's answer, None for an abstention.
    lengths : tokens of each candidate.
    """
    totals: dict[int, list[int]] = {}
    for answer_class, length in zip(classes, lengths, strict=True):
        if answer_class is not None:
            totals.setdefault(answer_class, []).append(length)
    weight = {
        answer_class: 1.0 / float(np.log(max(sum(mine) / len(mine), 2.0)))
        for answer_class, mine in totals.items()
    }
    return [0.0 if answer_class is None else weight[answer_class] for answer_class in classes]


def borda(scores: ArrayLike, power: float) -> NDArray[np.float64]:
    """(N - rank + 1)^power of each of N scores, the highest having rank 1.

    Borda voting (Kang et al., 2025, 2502.18581). Equal scores share their mean rank; NaN ranks
    last. A power of 0 is one vote each, a large one follows the scores.
    """
    values = np.asarray(scores, dtype=np.float64)
    values = np.where(np.isnan(values), -np.inf, values)
    below = (values[:, None] > values).sum(axis=1)
    equal = (values[:, None] == values).sum(axis=1)
    points: NDArray[np.float64] = (below + (equal + 1) / 2) ** power
    return points
