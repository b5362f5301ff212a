"""The CPU backend: vLLM's own kernel, handed the chosen blocks in place of all of them.

The cache of h heads is seen as one of h times as many blocks of a single head, so that every KV
head has a block table of its own and the kernel needs no change.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from vllm import _custom_ops as ops
from vllm import envs
from vllm.model_executor.models.utils import extract_layer_index
from vllm.v1.attention.backends.cpu_attn import (
    CPUAttentionBackend,
    CPUAttentionBackendImpl,
    CPUAttentionMetadata,
    CPUAttentionMetadataBuilder,
)

from ttscale.engine.sparse.layer import best_tokens, chosen_table
from ttscale.engine.sparse.requests import now
from ttscale.engine.sparse.step import Dense, Geometry, Rows, Step
from ttscale.engine.sparse.summaries import Summaries, filled_blocks


class SparseCPUBackend(CPUAttentionBackend):  # type: ignore[misc]
    """vLLM's CPU attention, sparse where a request asks for it."""

    @staticmethod
    def get_impl_cls() -> type[CPUAttentionBackendImpl]:
        """The layers' part."""
        return SparseCPUImpl

    @staticmethod
    def get_builder_cls() -> type[CPUAttentionMetadataBuilder]:
        """The step's part."""
        return SparseCPUBuilder


@dataclass
class SparseCPUMetadata(CPUAttentionMetadata):  # type: ignore[misc]
    """vLLM's metadata of a step, and what is sparse in it.

    Attributes
    ----------
    step : None if nothing is.
    filled : blocks that the step fills.
    builder : makes the kernel's schedule for a part of the step.
    schedules : those made so far, by part.
    """

    step: Step | None = None
    filled: Tensor | None = None
    builder: SparseCPUBuilder | None = None
    schedules: dict[int, Tensor] | None = None

    def schedule(self, part: Rows | Dense) -> Tensor:
        """The kernel's schedule of a part of the step, the same in all layers."""
        assert self.schedules is not None and self.builder is not None, "the step is sparse"
        if id(part) not in self.schedules:
            self.schedules[id(part)] = self.builder.schedule(part)
        return self.schedules[id(part)]


class SparseCPUBuilder(CPUAttentionMetadataBuilder):  # type: ignore[misc]
    """Splits each step by policy."""

    def build(
        self, common_prefix_len: int, common_attn_metadata: Any, fast_build: bool = False
    ) -> CPUAttentionMetadata:
        """The step's metadata; vLLM's own if no token of it is sparse and no block is filled."""
        plain = super().build(common_prefix_len, common_attn_metadata, fast_build)
        requests = now()
        if requests is None or self.is_cross_attention or self.is_encoder_only_attention:
            return plain
        geometry = Geometry(self.block_size, self.num_kv_heads, pages=self.num_kv_heads)
        step = Step(requests, plain.block_table, geometry)
        filled = filled_blocks(requests, plain.block_table, self.block_size)
        if not step.rows and filled is None:
            return plain
        own = {field.name: getattr(plain, field.name) for field in fields(plain)}
        return SparseCPUMetadata(
            **own, step=step if step.rows else None, filled=filled, builder=self, schedules={}
        )

    def schedule(self, part: Rows | Dense) -> Tensor:
        """The kernel's schedule for a part of a step."""
        sparse = isinstance(part, Rows)
        lengths = part.attended if isinstance(part, Rows) else part.lengths
        schedule: Tensor = ops.cpu_attn_get_scheduler_metadata(
            num_reqs=len(lengths),
            num_heads=self.num_heads // self.num_kv_heads if sparse else self.num_heads,
            num_kv_heads=1 if sparse else self.num_kv_heads,
            head_dim=self.head_dim,
            seq_lens=lengths,
            dtype=self.dtype,
            query_start_loc=part.starts,
            causal=True,
            sliding_window_size=-1,
            isa=self.isa,
            enable_kv_split=envs.VLLM_CPU_ATTN_SPLIT_KV,
            kv_cache_dtype=self.kv_cache_dtype,
        )
        return schedule


class SparseCPUImpl(CPUAttentionBackendImpl):  # type: ignore[misc]
    """One layer's attention."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._summaries = Summaries()
        self._layer: int | None = None

    def forward(
        self,
        layer: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        kv_cache: Tensor,
        attn_metadata: CPUAttentionMetadata | None,
        output: Tensor,
        output_scale: Tensor | None = None,
        output_block_scale: Tensor | None = None,
    ) -> Tensor:
        """Attention of the step's tokens, (tokens, heads, d), written into `output`."""
        if isinstance(attn_metadata, SparseCPUMetadata):
            if self._layer is None:
                self._layer = extract_layer_index(layer.layer_name)
            cache = _Cache(kv_cache, layer.isa)
            self._summaries.refresh(attn_metadata.filled, cache.keys)
            step = attn_metadata.step
            if step and (active := step.active(self._layer)):
                if dense := step.dense(self._layer):
                    self._attend_densely(cache, query, output, dense, attn_metadata.schedule(dense))
                for rows in active:
                    self._attend_sparsely(cache, query, output, rows, attn_metadata)
                return output
        return super().forward(
            layer,
            query,
            key,
            value,
            kv_cache,
            attn_metadata,
            output,
            output_scale,
            output_block_scale,
        )

    def _attend_densely(
        self, cache: _Cache, query: Tensor, output: Tensor, dense: Dense, schedule: Tensor
    ) -> None:
        room = dense.tokens.room(output)
        self._run(
            cache.data,
            dense.tokens.of(query),
            room,
            dense.starts,
            dense.lengths,
            dense.table,
            schedule,
        )
        dense.tokens.put(output, room)

    def _attend_sparsely(
        self,
        cache: _Cache,
        query: Tensor,
        output: Tensor,
        rows: Rows,
        metadata: SparseCPUMetadata,
    ) -> None:
        n, h, d = len(rows), self.num_kv_heads, self.head_size
        queries = rows.tokens.of(query).reshape(n, h, -1, d)
        if rows.policy.kind == "topk":
            rows.tokens.write(output, best_tokens(rows, queries, cache, self.scale))
            return
        table = chosen_table(rows, queries, cache, self._summaries)
        room = rows.tokens.room(output)
        self._run(
            cache.by_head,
            queries.reshape(n * h, -1, d),
            room.view(n * h, -1, d),
            rows.starts,
            rows.attended,
            table,
            metadata.schedule(rows),
        )
        rows.tokens.put(output, room)

    def _run(
        self,
        data: Tensor,
        query: Tensor,
        output: Tensor,
        starts: Tensor,
        lengths: Tensor,
        table: Tensor,
        schedule: Tensor,
    ) -> None:
        """vLLM's kernel over a cache (blocks, heads, 2 × tokens, d), keys and then values."""
        keys, values = data.chunk(2, dim=2)
        ops.cpu_attention_with_kv_cache(
            query=query,
            key_cache=keys,
            value_cache=values,
            output=output,
            query_start_loc=starts,
            seq_lens=lengths,
            scale=self.scale,
            causal=True,
            alibi_slopes=None,
            sliding_window=-1,
            block_table=table,
            softcap=self.logits_soft_cap,
            scheduler_metadata=schedule,
            s_aux=None,
        )


class _Cache:
    """A layer's KV cache, (blocks, heads, tokens, 2 d) as vLLM allocates it.

    In it the kernel lays down the keys of a block and head, in an order of its own, and then the
    values, tokens × d.
    """

    def __init__(self, kv_cache: Tensor, isa: str) -> None:
        self.n_blocks, self._heads, self._tokens, width = kv_cache.shape
        self._d, self._isa = width // 2, isa
        self.data = kv_cache.view(self.n_blocks, self._heads, 2 * self._tokens, self._d)

    @property
    def by_head(self) -> Tensor:
        """Seen as blocks of a single head, (blocks × heads, 1, 2 × tokens, d)."""
        return self.data.view(-1, 1, 2 * self._tokens, self._d)

    def keys(self, blocks: Tensor) -> Tensor:
        """The keys of blocks, (m, heads, tokens, d)."""
        keys = self.data[:, :, : self._tokens].index_select(0, blocks)
        order = _key_order(self._isa, self._tokens, self._d, keys.dtype)
        if order is None:
            return keys.view(len(blocks), self._heads, self._d, self._tokens).transpose(2, 3)
        return keys.flatten(2)[..., order].view_as(keys)

    def values(self, blocks: Tensor) -> Tensor:
        """The values of blocks, (m, heads, tokens, d)."""
        return self.data[:, :, self._tokens :].index_select(0, blocks)


@lru_cache(maxsize=64)
def _key_order(isa: str, tokens: int, d: int, dtype: torch.dtype) -> Tensor | None:
    """Where a block's keys lie: the place of each of tokens × d numbers; None for d × tokens.

    Found by having the kernel write a block of numbers that say where they belong.
    """
    assert tokens <= 256 and d <= 256, "half precision holds whole numbers up to 256"
    token, component = (
        _written(isa, numbers.expand(tokens, d).to(dtype)).long()
        for numbers in (torch.arange(tokens)[:, None], torch.arange(d))
    )
    order = torch.empty(tokens * d, dtype=torch.long)
    order[token * d + component] = torch.arange(tokens * d)
    plain = torch.arange(tokens * d).view(d, tokens).T.flatten()
    return None if torch.equal(order, plain) else order


def _written(isa: str, keys: Tensor) -> Tensor:
    """One head's keys of a block, (tokens, d), as the kernel lays them down, (tokens × d,)."""
    tokens, d = keys.shape
    block = torch.zeros(1, 1, 2 * tokens, d, dtype=keys.dtype)
    own, values = block.chunk(2, dim=2)
    given = keys[:, None].contiguous()
    ops.cpu_attn_reshape_and_cache(given, given, own, values, torch.arange(tokens), isa)
    return own.flatten()
