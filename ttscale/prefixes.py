"""How much of a sequence others have begun with: ideal prefix reuse, whatever the scheduling."""

from __future__ import annotations

import bisect
from array import array

import numpy as np

from ttscale.trace import TOKEN

_WIDTH = array(TOKEN).itemsize


class Prefixes:
    """Sequences of token ids, in an order in which the longest common prefix is a neighbour's."""

    def __init__(self) -> None:
        self._sorted: list[bytes] = []

    def add(self, token_ids: array[int]) -> int:
        """Add a sequence; returns how many of its first tokens an earlier one began with."""
        own = token_ids.tobytes()
        place = bisect.bisect_left(self._sorted, own)
        neighbours = self._sorted[max(place - 1, 0) : place + 1]
        shared = max((_common(own, other) for other in neighbours), default=0)
        if shared < len(token_ids):
            self._sorted.insert(place, own)
        return shared


def _common(one: bytes, other: bytes) -> int:
    """Tokens in the common prefix."""
    n_bytes = min(len(one), len(other))
    same = np.frombuffer(one, np.int32, n_bytes // _WIDTH) == np.frombuffer(
        other, np.int32, n_bytes // _WIDTH
    )
    return len(same) if same.all() else int(np.argmin(same))
