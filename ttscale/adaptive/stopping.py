"""Whether enough answers have been seen: pure functions of their counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal

Rule = Literal["beta", "dirichlet", "share", "window"]
"""`beta`: the two most frequent answers; `dirichlet`: all; `share`: of the most frequent one;
`window`: the last so many agree."""


def beta_confidence(first: int, second: int) -> float:
    """Chance that the more frequent of two answers would stay ahead: P(p > 1/2).

    p has the posterior Beta(first + 1, second + 1). Adaptive consistency (Aggarwal et al., 2023,
    2305.11860), in closed form: 1 - 2^-m sum over j <= second of C(m, j), m = first + second + 1.
    """
    m = first + second + 1
    return 1.0 - sum(math.comb(m, j) for j in range(second + 1)) / 2.0**m


def dirichlet_confidence(counts: Sequence[int]) -> float:
    """Chance that the most frequent answer is the likeliest, under Dirichlet(counts + 1).

    As many answers are thought possible as were seen, and at least two. With two it is
    `beta_confidence`. The integral over the largest share is taken by Gauss-Legendre quadrature
    in its quantile, to about 1e-6.
    """
    import numpy as np
    from scipy.special import gammainc, gammaincinv

    first, *others = sorted(counts, reverse=True) if counts else [0]
    others = others or [0]
    nodes, weights = np.polynomial.legendre.leggauss(200)
    largest = gammaincinv(first + 1, (nodes + 1) / 2)
    below = np.prod([gammainc(count + 1, largest) for count in others], axis=0)
    return float(weights @ below / 2)


def enough(classes: Sequence[int | None], rule: Rule, threshold: float, window: int = 1) -> bool:
    """Whether to stop after these answers, in the order they were sampled.

    Parameters
    ----------
    classes : equivalence class of each answer; None abstains and counts for nobody, but counts
        among all for a share, and breaks the agreement of a window.
    rule, threshold : the confidence or the share to be reached; a window has no threshold.
    window : answers that must agree, for the rule `window` (Li et al., 2024, 2401.10480).
    """
    counts = sorted(Counter(one for one in classes if one is not None).values(), reverse=True)
    if rule == "window":
        last = list(classes[-window:])
        return len(last) == window and last[0] is not None and len(set(last)) == 1
    if not counts:
        return False
    if rule == "share":
        return counts[0] >= threshold * len(classes)
    if rule == "beta":
        first, second = [*counts, 0][:2]
        return beta_confidence(first, second) >= threshold
    return dirichlet_confidence(counts) >= threshold
