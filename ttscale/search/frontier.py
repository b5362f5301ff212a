"""A frontier: the partial solutions that a search may go on from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ttscale.search.scores import lowest_if_nan
from ttscale.trace import Path

T = TypeVar("T")


def top(items: Sequence[T], scores: ArrayLike, k: int) -> list[T]:
    """The k items with the highest scores, best first; of equal ones the earlier, NaN last."""
    order = np.argsort(-lowest_if_nan(scores), kind="stable")
    return [items[i] for i in order[:k]]


def distinct(paths: Sequence[Path]) -> list[Path]:
    """The paths without those whose text an earlier one has."""
    first: dict[str, Path] = {}
    for path in paths:
        first.setdefault(path.response, path)
    return list(first.values())


def repeated(items: Sequence[T], counts: Sequence[int]) -> list[T]:
    """Every item as often as its count says, copies side by side."""
    return [item for item, count in zip(items, counts, strict=True) for _ in range(count)]
