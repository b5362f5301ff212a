"""Clusters of texts that say nearly the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def ngram_counts(texts: Sequence[str], size: int = 3) -> NDArray[np.float64]:
    """How often each character n-gram occurs in each text; (number of texts, number of n-grams).

    White space counts as one blank, and the ends of a text as blanks. A stand-in for a sentence
    encoder that needs no model: it sees spelling, not meaning.
    """
    padded = [" " * (size - 1) + " ".join(text.split()) + " " * (size - 1) for text in texts]
    counts = [Counter(text[i : i + size] for i in range(len(text) - size + 1)) for text in padded]
    column = {gram: j for j, gram in enumerate(dict.fromkeys(g for count in counts for g in count))}
    table = np.zeros((len(texts), len(column)))
    for i, count in enumerate(counts):
        for gram, n in count.items():
            table[i, column[gram]] = n
    return table


def cluster(vectors: NDArray[np.float64], cut: float) -> NDArray[np.int64]:
    """Clusters by average linkage of cosine distances, up to distance `cut`.

    Parameters
    ----------
    vectors : (N, D), none of them zero.
    cut : clusters further apart than this stay apart.

    Returns (N,) numbers 0, 1, … by first occurrence.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(vectors) == 1:
        return np.zeros(1, dtype=np.int64)
    labels = fcluster(linkage(vectors, "average", "cosine"), cut, "distance")
    number = {label: k for k, label in enumerate(dict.fromkeys(labels.tolist()))}
    return np.array([number[label] for label in labels.tolist()], dtype=np.int64)
