"""The tree under a frontier: which nodes its paths share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ttscale.trace import Path


class Ancestry(NamedTuple):
    """The nodes strictly between the prompt and some leaves.

    Attributes
    ----------
    nodes : the M distinct nodes, by first occurrence.
    above : (N, M), whether leaf i lies under node j.
    """

    nodes: list[Path]
    above: NDArray[np.bool_]


def ancestry(leaves: Sequence[Path]) -> Ancestry:
    """The nodes above leaves, without the prompt, which is above all of them."""
    lines = [list(leaf.lineage())[1:-1] for leaf in leaves]
    place = {
        node: j for j, node in enumerate(dict.fromkeys(node for line in lines for node in line))
    }
    above = np.zeros((len(leaves), len(place)), dtype=np.bool_)
    for i, line in enumerate(lines):
        above[i, [place[node] for node in line]] = True
    return Ancestry(list(place), above)
