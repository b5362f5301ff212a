"""PUCT: which child of a node a tree search looks at next."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def puct(
    values: ArrayLike,
    priors: ArrayLike,
    visits: ArrayLike,
    n_parent: int,
    c_init: float = 1.25,
    c_base: float = 19652,
) -> NDArray[np.float64]:
    """Q + c P sqrt(N_parent) / (1 + N), c = log((N_parent + c_base + 1) / c_base) + c_init.

    As in AlphaZero (Silver et al., 2018). `values` Q, `priors` P and `visits` N are (children,);
    visits include those still under way.
    """
    c = np.log((n_parent + c_base + 1) / c_base) + c_init
    seen = np.asarray(visits, dtype=np.float64)
    bonus: NDArray[np.float64] = c * np.asarray(priors) * np.sqrt(n_parent) / (1 + seen)
    return np.asarray(values, dtype=np.float64) + bonus
