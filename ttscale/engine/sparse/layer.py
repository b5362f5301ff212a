"""One layer's sparse part, whatever its kernel: the blocks chosen, or the reference by tokens."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ttscale.engine.sparse import selection
from ttscale.engine.sparse.step import Rows
from ttscale.engine.sparse.summaries import Summaries


class Cache(Protocol):
    """A layer's KV cache, however its kernel lays it out."""

    @property
    def n_blocks(self) -> int:
        """Physical blocks."""

    def keys(self, blocks: Tensor) -> Tensor:
        """The keys of blocks (m,), (m, h, tokens, d)."""

    def values(self, blocks: Tensor) -> Tensor:
        """The values of blocks (m,), (m, h, tokens, d)."""


def chosen_table(rows: Rows, queries: Tensor, cache: Cache, summaries: Summaries) -> Tensor:
    """The blocks that every row and head attends to, (n h, k), int32; queries (n, h, g, d)."""
    kind = rows.policy.kind
    if kind == "window":
        return rows.window
    assert kind in {"block_topk", "quest"}, f"no blocks are chosen under {kind}"
    kept = summaries.of(kind, cache.keys, cache.n_blocks, queries.device)
    probes = selection.probe(kind, queries)
    blocks = rows.blocks
    found = kept[:, blocks] if isinstance(blocks, slice) else kept.index_select(1, blocks)
    scores = selection.block_scores(probes, found, rows.place)
    chosen = selection.choose(scores, rows.bias, rows.k)
    return rows.by_head.gather(2, chosen).flatten(0, 1)


def best_tokens(rows: Rows, queries: Tensor, cache: Cache, scale: float) -> Tensor:
    """Exact attention over the best tokens of every row, (n, h g, d); a reference, row by row."""
    outputs = []
    for row, length in enumerate(rows.lengths.tolist()):
        blocks = rows.table[row, : int(rows.n_blocks[row])].long()
        keys, values = (
            found.transpose(0, 1).flatten(1, 2)[:, :length]  # (h, length, d)
            for found in (cache.keys(blocks), cache.values(blocks))
        )
        best = selection.attend_to_best(queries[row], keys, values, rows.k, scale)
        outputs.append(best.output.flatten(0, 1))
    return torch.stack(outputs)
