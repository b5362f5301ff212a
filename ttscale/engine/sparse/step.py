"""One forward step, split by policy: all of it that does not depend on the layer, computed once.

Every generated token of a sparse request is a row: one token that attends to what came before it.
In decoding a request has one row; where a preempted request's own tokens are computed again, one
for each of them, so that they come out as they were. What is not in a row is attended densely, and
so is a row whose context the budget holds.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ttscale.cost.policy import AttentionPolicy
from ttscale.engine.sparse import selection
from ttscale.engine.sparse.requests import Counts, Requests

ALWAYS = "TTSCALE_SPARSE_ALWAYS"
"""Environment variable for tests: rows go through selection even where the budget holds them."""

SPREAD = 1.25
"""Blocks that lie this close, in a span of so many times their number, are read without a copy."""


class Geometry(NamedTuple):
    """A layer's shape, the same in all layers.

    Attributes
    ----------
    block : tokens in a block of the KV cache.
    heads : KV heads.
    pages : single-headed blocks from one block of the cache to the next, in the view of it that has
        only these; at least `heads`.
    """

    block: int
    heads: int
    pages: int


class Rows:
    """The rows under one policy that have equally many blocks to choose.

    Attributes
    ----------
    policy : theirs.
    k : blocks that each attends to; tokens for `topk`.
    tokens : their places among the step's tokens, (n,).
    lengths : tokens that each may attend to, itself included, (n,).
    table : their blocks, (n, B), int32.
    """

    def __init__(
        self,
        policy: AttentionPolicy,
        k: int,
        tokens: Counts,
        lengths: Counts,
        table: Tensor,
        geometry: Geometry,
    ) -> None:
        self.policy, self.k, self.lengths, self.geometry = policy, k, lengths, geometry
        self.tokens, self._device = Places(tokens, table.device), table.device
        self.n_blocks = -(-lengths // geometry.block)
        table = table[:, : int(self.n_blocks.max())]
        beyond = torch.arange(table.shape[1], device=table.device) >= self._n_blocks[:, None]
        self.table = torch.where(beyond, table[:, :1], table)  # what stands there is another's

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def _n_blocks(self) -> Tensor:
        return torch.from_numpy(self.n_blocks).to(self._device)

    @cached_property
    def _distinct(self) -> tuple[slice | Tensor, Tensor]:
        blocks, place = torch.unique(self.table, return_inverse=True)
        low, high = int(blocks[0]), int(blocks[-1]) + 1
        if high - low <= SPREAD * len(blocks):
            return slice(low, high), self.table.long() - low
        return blocks.long(), place

    @property
    def blocks(self) -> slice | Tensor:
        """The U blocks that are scored: each that some row has, once, or the span of them all."""
        return self._distinct[0]

    @property
    def place(self) -> Tensor:
        """Where each row's blocks stand among `blocks`, (n, B)."""
        return self._distinct[1]

    @cached_property
    def bias(self) -> Tensor:
        """What forces blocks in, (n, 1, B)."""
        return selection.forced(self._n_blocks, self.table.shape[1])

    @cached_property
    def by_head(self) -> Tensor:
        """Each head's blocks in the cache seen as one of single-headed blocks, (n, h, B), int32."""
        heads = self.geometry.heads
        head = torch.arange(heads, dtype=torch.int32, device=self.table.device)
        return self.table[:, None] * self.geometry.pages + head[:, None]

    @cached_property
    def window(self) -> Tensor:
        """A window's table, the same in all layers, (n h, k), int32."""
        sinks = self.policy.sinks // self.geometry.block
        chosen = selection.window_blocks(self._n_blocks, self.k, sinks)
        chosen = chosen[:, None].expand(-1, self.geometry.heads, -1)
        return self.by_head.gather(2, chosen).flatten(0, 1)

    @cached_property
    def attended(self) -> Tensor:
        """Tokens in the chosen blocks, for each row and head, (n h,), int32.

        All chosen blocks are full but the last.
        """
        block = self.geometry.block
        attended = self.k * block - (self.n_blocks * block - self.lengths)
        attended = np.repeat(attended, self.geometry.heads).astype(np.int32)
        return torch.from_numpy(attended).to(self.table.device)

    @cached_property
    def starts(self) -> Tensor:
        """Where each row and head begins among the queries, (n h + 1,), int32."""
        n = len(self) * self.geometry.heads
        return torch.arange(n + 1, dtype=torch.int32, device=self.table.device)


class Places:
    """Places of tokens: a view where they follow each other, a gathered copy where they do not."""

    def __init__(self, places: Counts, device: torch.device) -> None:
        first, self.n = int(places[0]), len(places)
        n = self.n
        self._index: Tensor | None = None
        self._slice = slice(first, first + n)
        if not np.array_equal(places, np.arange(first, first + n)):
            self._index = torch.from_numpy(places).to(device)

    def of(self, tensor: Tensor) -> Tensor:
        """The tensor's rows at these places."""
        return tensor[self._slice] if self._index is None else tensor.index_select(0, self._index)

    def put(self, output: Tensor, values: Tensor) -> None:
        """Write rows at these places; nothing to do where they are a view of the output."""
        if self._index is not None:
            output.index_copy_(0, self._index, values)

    def write(self, output: Tensor, values: Tensor) -> None:
        """Write rows at these places."""
        if self._index is None:
            output[self._slice] = values
        else:
            output.index_copy_(0, self._index, values)

    def room(self, output: Tensor) -> Tensor:
        """Where to write the rows before `put`."""
        if self._index is None:
            return output[self._slice]
        return output.new_empty((self.n, *output.shape[1:]))


class Dense(NamedTuple):
    """Requests of a step that stay dense.

    Attributes
    ----------
    tokens : their places among the step's tokens.
    starts : where each begins among these, (m + 1,), int32.
    lengths : of each with this step's tokens, (m,), int32.
    table : (m, B), int32.
    longest, longest_query : tokens.
    """

    tokens: Places
    starts: Tensor
    lengths: Tensor
    table: Tensor
    longest: int
    longest_query: int


class Step:
    """A step with at least one sparse row.

    Parameters
    ----------
    requests : the batch.
    table : its block table, (requests, B), int32.
    geometry : the layers' shape.

    Attributes
    ----------
    rows : by policy and number of blocks to choose.
    """

    def __init__(self, requests: Requests, table: Tensor, geometry: Geometry) -> None:
        self._requests, self._table = requests, table
        self._dense: dict[int, Dense | None] = {}
        self.rows: list[Rows] = []
        ends = np.cumsum(requests.n_new)
        self._starts = ends - requests.n_new
        found: dict[tuple[AttentionPolicy, int], list[tuple[int, int, int]]] = {}
        always = ALWAYS in os.environ
        for i, policy in enumerate(requests.policies):
            if policy.budget is None:
                continue
            before = int(requests.n_computed[i])
            first = max(int(requests.n_prompt[i]), before)
            for position in range(first, before + int(requests.n_new[i])):
                held, k = _held(policy, position + 1, geometry.block)
                if not held or always:
                    row = (i, int(self._starts[i]) + position - before, position + 1)
                    found.setdefault((policy, k), []).append(row)
        for (policy, k), members in found.items():
            which, tokens, lengths = np.array(members, np.int64).T.copy()
            own = table[torch.from_numpy(which).to(table.device)]
            self.rows.append(Rows(policy, k, tokens, lengths, own, geometry))
        n_rows = Counter(member[0] for members in found.values() for member in members)
        self._whole = {i: requests.policies[i] for i in n_rows if n_rows[i] == requests.n_new[i]}

    def active(self, layer: int) -> list[Rows]:
        """The rows that are sparse in a layer."""
        return [rows for rows in self.rows if layer >= rows.policy.n_dense_layers]

    def dense(self, layer: int) -> Dense | None:
        """The requests of which some token stays dense in a layer, None if there are none.

        Their sparse tokens, if they have any, are to be overwritten.
        """
        depths = sorted({rows.policy.n_dense_layers for rows in self.rows})
        depth = sum(layer >= d for d in depths)  # the same set of policies, the same answer
        if depth not in self._dense:
            sparse = {i for i, policy in self._whole.items() if layer >= policy.n_dense_layers}
            rest = [i for i in range(len(self._requests.policies)) if i not in sparse]
            self._dense[depth] = self._stay(rest) if rest else None
        return self._dense[depth]

    def _stay(self, which: Sequence[int]) -> Dense:
        requests, table = self._requests, self._table
        picked = np.array(which, np.int64)
        n_new = requests.n_new[picked]
        lengths = requests.n_computed[picked] + n_new
        starts = np.concatenate([[0], np.cumsum(n_new)])
        tokens = np.repeat(self._starts[picked] - starts[:-1], n_new) + np.arange(starts[-1])

        def on_device(counts: npt.NDArray[np.int64]) -> Tensor:
            return torch.from_numpy(counts.astype(np.int32)).to(table.device)

        return Dense(
            Places(tokens, table.device),
            on_device(starts),
            on_device(lengths),
            table[torch.from_numpy(picked).to(table.device)],
            int(lengths.max()),
            int(n_new.max()),
        )


def _held(policy: AttentionPolicy, length: int, block: int) -> tuple[bool, int]:
    """Whether the budget holds a context, and how many blocks, or tokens, are to be chosen."""
    assert policy.budget is not None and policy.limit is not None, "dense rows are not asked about"
    if policy.kind == "topk":
        return length <= policy.budget, policy.budget
    k, n = policy.limit // block, -(-length // block)
    return n <= k, min(k, n)
