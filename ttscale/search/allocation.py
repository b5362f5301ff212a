"""How many continuations each node of a frontier gets."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ttscale.search.scores import lowest_if_nan


def even_widths(n_nodes: int, width: int) -> list[int]:
    """`width` over nodes as evenly as it goes; the first ones get what is left over."""
    each, left = divmod(width, n_nodes)
    return [each + (place < left) for place in range(n_nodes)]


def rebase_widths(scores: ArrayLike, width: int, temperature: float) -> list[int]:
    """REBASE's widths: the softmax of scores, rounded up, served from the best node on.

    Node i, in descending order of scores (of equal ones the earlier first), gets
    ceil(w exp(R_i/T) / sum of exp(R_j/T) over the nodes not yet served) of the width w that is
    left (Wu et al., 2024, 2408.00724). Sums are suffix sums and the last node takes what is left,
    so the widths always sum to `width`, which a running subtraction misses now and then.

    Parameters
    ----------
    scores : (N,), N >= 1; a node of NaN or -inf gets nothing, unless all are.
    width : continuations to allot, >= 0.
    temperature : T > 0; small follows the scores, large is even.
    """
    values = lowest_if_nan(scores)
    assert len(values) > 0, "a width is allotted to at least one node"
    if np.isneginf(values).all():
        values = np.zeros_like(values)
    order = np.argsort(-values, kind="stable")
    order = order[~np.isneginf(values[order])]
    shares = np.exp((values[order] - values[order[0]]) / temperature)
    rest = np.cumsum(shares[::-1])[::-1]
    widths = [0] * len(values)
    left = width
    for node, share, total in zip(order[:-1], shares[:-1], rest[:-1], strict=True):
        # 1e-9: a share that is whole but for rounding is not rounded up.
        fraction = share / total if total > 0 else 0.0
        widths[node] = max(0, int(np.ceil(left * fraction - 1e-9)))
        left -= widths[node]
    widths[order[-1]] = left
    return widths
