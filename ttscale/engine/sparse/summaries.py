"""A layer's block summaries: made when a policy first asks for them, kept up as blocks fill.

A summary is made of the keys that stand in the cache when its block is full, and belongs to the
physical block. So it does not matter in what chunks a prompt was computed, whose prompt it was, or
who had the block before; and an engine that serves no sparse request keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ttscale.engine.sparse.requests import Requests
from ttscale.engine.sparse.selection import Kind, summarise

CHUNK = 1024
"""Blocks summarised together when all of them are."""

KeysOf = Callable[[Tensor], Tensor]
"""The keys of blocks, (m, h, tokens, d)."""


class Summaries:
    """One layer's."""

    def __init__(self) -> None:
        self._kept: dict[Kind, Tensor] = {}

    def of(self, kind: Kind, keys_of: KeysOf, n_blocks: int, device: torch.device) -> Tensor:
        """Summaries of all blocks of the cache, (h, blocks, w); of blocks not full, anything."""
        if kind not in self._kept:
            chunks = torch.arange(n_blocks, device=device).split(CHUNK)
            made = [summarise(kind, keys_of(chunk)) for chunk in chunks]
            self._kept[kind] = torch.cat(made).transpose(0, 1).contiguous()
        return self._kept[kind]

    def refresh(self, filled: Tensor | None, keys_of: KeysOf) -> None:
        """Take in blocks that this step filled."""
        if not self._kept or filled is None:
            return
        keys = keys_of(filled)
        for kind, kept in self._kept.items():
            kept[:, filled] = summarise(kind, keys).transpose(0, 1)


def filled_blocks(requests: Requests, table: Tensor, block: int) -> Tensor | None:
    """The physical blocks that a step fills, (m,); None for none."""
    first = requests.n_computed // block
    n = (requests.n_computed + requests.n_new) // block - first
    if not n.any():
        return None
    rows = np.repeat(np.arange(len(n)), n)
    columns = np.repeat(first - (np.cumsum(n) - n), n) + np.arange(len(rows))
    device = table.device
    found = table[torch.from_numpy(rows).to(device), torch.from_numpy(columns).to(device)]
    return found.long()
