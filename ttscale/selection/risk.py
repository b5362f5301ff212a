"""How much a candidate has in common with evidence: the utilities of minimum Bayes risk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ttscale.search.clusters import ngram_counts


def same_answer(
    candidates: Sequence[int | None], evidence: Sequence[int | None]
) -> NDArray[np.float64]:
    """1 where the answers are of one class, 0 where not; (candidates, evidence)."""
    rows = np.array([-1 if one is None else one for one in candidates])
    columns = np.array([-2 if one is None else one for one in evidence])
    equal: NDArray[np.float64] = (rows[:, None] == columns).astype(np.float64)
    return equal


def overlap(
    candidates: Sequence[str], evidence: Sequence[str], size: int = 6, beta: float = 2.0
) -> NDArray[np.float64]:
    """Character n-gram F-score (chrF; Popović, 2015): mean over n = 1 … size; (C, E).

    Recall, the share of the evidence's n-grams that the candidate has, counts `beta` times as much
    as precision. White space counts as one blank.
    """
    texts = [*candidates, *evidence]
    n_candidates = len(candidates)
    scores = np.zeros((size, n_candidates, len(evidence)))
    for n in range(1, size + 1):
        counts = ngram_counts(texts, n)
        mine, theirs = counts[:n_candidates], counts[n_candidates:]
        common = np.array([np.minimum(row, theirs).sum(axis=1) for row in mine])
        total = beta**2 * theirs.sum(axis=1) + mine.sum(axis=1)[:, None]
        scores[n - 1] = (1 + beta**2) * common / np.maximum(total, 1)
    mean: NDArray[np.float64] = scores.mean(axis=0)
    return mean
