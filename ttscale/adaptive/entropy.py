"""Semantic entropy of a round of answers, and when it tells to stop."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence


def semantic_entropy(classes: Sequence[int | None]) -> float:
    """Entropy of answers over their equivalence classes, in nats; 0 … log N.

    An abstention agrees with nobody: it is a class of its own.
    """
    shares = [n / len(classes) for n in Counter(c for c in classes if c is not None).values()]
    shares += [1 / len(classes)] * sum(one is None for one in classes)
    return -math.fsum(share * math.log(share) for share in shares) + 0.0


def secretary_stops(entropies: Sequence[float], n_rounds: int) -> bool:
    """Whether the last round is the first below all of the first n_rounds / e, at least one.

    The secretary problem's rule, which needs no threshold (SEAT; Xu et al., 2025, 2507.06829).
    """
    n_watched = max(1, int(n_rounds / math.e))
    return len(entropies) > n_watched and entropies[-1] < min(entropies[:n_watched])
