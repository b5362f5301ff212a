"""Best-first order: how promising a partial solution is."""

from __future__ import annotations

import math
from collections.abc import Sequence


def priority(values: Sequence[float], past: float = 0.0) -> float:
    """f of a partial solution: its value, plus `past` times the mean value of the steps before.

    `values` are the verifier's scores of the partial solution after each of its steps, the latest
    last. A first step has no past and counts its own value for it, so that short solutions are
    neither favoured nor held back. NaN gives -inf.
    """
    *before, value = values
    mean = math.fsum(before) / len(before) if before else value
    f = value + past * mean if past else value
    return -math.inf if math.isnan(f) else f
