"""The GPU backend: FlashAttention's paged kernel, handed the chosen blocks. Not yet measured.

No GPU has run it. What it shares with the CPU backend (selection, summaries, the split of a step)
is tested there; its own view of the cache is tested on a CPU, its calls of the kernel are not.

The cache is seen as one of single-headed pages, so that every KV head has a block table of its own,
shared by the query heads of its group. Steps are not captured in a full CUDA graph, since what is
sparse in them changes; vLLM then captures the pieces between the attention layers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from torch import Tensor
from vllm.model_executor.models.utils import extract_layer_index
from vllm.v1.attention.backend import AttentionCGSupport
from vllm.v1.attention.backends.fa_utils import flash_attn_varlen_func
from vllm.v1.attention.backends.flash_attn import (
    FlashAttentionBackend,
    FlashAttentionImpl,
    FlashAttentionMetadata,
    FlashAttentionMetadataBuilder,
)

from ttscale.engine.sparse.layer import best_tokens, chosen_table
from ttscale.engine.sparse.pages import Pages
from ttscale.engine.sparse.requests import now
from ttscale.engine.sparse.step import Dense, Geometry, Rows, Step
from ttscale.engine.sparse.summaries import Summaries, filled_blocks


class SparseFlashBackend(FlashAttentionBackend):  # type: ignore[misc]
    """vLLM's FlashAttention, sparse where a request asks for it."""

    @staticmethod
    def get_impl_cls() -> type[FlashAttentionImpl]:
        """The layers' part."""
        return SparseFlashImpl

    @staticmethod
    def get_builder_cls() -> type[FlashAttentionMetadataBuilder]:
        """The step's part."""
        return SparseFlashBuilder


@dataclass
class SparseFlashMetadata(FlashAttentionMetadata):  # type: ignore[misc]
    """vLLM's metadata of a step, and what is sparse in it.

    Attributes
    ----------
    requests : what a step is split by, once a layer's cache says how its pages lie.
    filled : blocks that the step fills.
    step : made by the first layer.
    """

    requests: Any = None
    filled: Tensor | None = None
    step: Step | None = None

    def split(self, geometry: Geometry) -> Step:
        """The step, split by policy."""
        if self.step is None:
            self.step = Step(self.requests, self.block_table, geometry)
        return self.step

    def of(self, dense: Dense) -> FlashAttentionMetadata:
        """vLLM's metadata of the requests that stay dense."""
        own = {field.name: getattr(self, field.name) for field in fields(FlashAttentionMetadata)}
        return replace(
            FlashAttentionMetadata(**own),
            num_actual_tokens=int(dense.tokens.n),
            max_query_len=dense.longest_query,
            query_start_loc=dense.starts,
            max_seq_len=dense.longest,
            seq_lens=dense.lengths,
            block_table=dense.table,
            scheduler_metadata=None,
            max_num_splits=0,
        )


class SparseFlashBuilder(FlashAttentionMetadataBuilder):  # type: ignore[misc]
    """Takes note of each step's requests."""

    supports_update_block_table = False
    _cudagraph_support: ClassVar[AttentionCGSupport] = AttentionCGSupport.NEVER

    @classmethod
    def get_cudagraph_support(cls, *_: Any, **__: Any) -> AttentionCGSupport:
        """None of whole steps: what is sparse in them changes."""
        return AttentionCGSupport.NEVER

    def build(
        self, common_prefix_len: int, common_attn_metadata: Any, fast_build: bool = False
    ) -> FlashAttentionMetadata:
        """The step's metadata; vLLM's own in its trial runs."""
        plain = super().build(common_prefix_len, common_attn_metadata, fast_build)
        requests = now()
        if requests is None:
            return plain
        own = {field.name: getattr(plain, field.name) for field in fields(plain)}
        filled = filled_blocks(requests, plain.block_table, self.block_size)
        return SparseFlashMetadata(**own, requests=requests, filled=filled)


class SparseFlashImpl(FlashAttentionImpl):  # type: ignore[misc]
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
        attn_metadata: FlashAttentionMetadata,
        output: Tensor,
        output_scale: Tensor | None = None,
        output_block_scale: Tensor | None = None,
    ) -> Tensor:
        """Attention of the step's tokens, (tokens, heads, d), written into `output`."""

        def attend(query: Tensor, metadata: FlashAttentionMetadata, output: Tensor) -> Tensor:
            return super(SparseFlashImpl, self).forward(
                layer,
                query,
                key,
                value,
                kv_cache,
                metadata,
                output,
                output_scale,
                output_block_scale,
            )

        if not isinstance(attn_metadata, SparseFlashMetadata):
            return attend(query, attn_metadata, output)
        if self._layer is None:
            self._layer = extract_layer_index(layer.layer_name)
        pages = Pages(kv_cache)
        self._summaries.refresh(attn_metadata.filled, pages.keys)
        step = attn_metadata.split(pages.geometry)
        active = step.active(self._layer)
        if not active:
            return attend(query, attn_metadata, output)
        if dense := step.dense(self._layer):
            room = dense.tokens.room(output)
            attend(dense.tokens.of(query), attn_metadata.of(dense), room)
            dense.tokens.put(output, room)
        for rows in active:
            self._attend_sparsely(pages, query, output, rows)
        return output

    def _attend_sparsely(self, pages: Pages, query: Tensor, output: Tensor, rows: Rows) -> None:
        n, h, d = len(rows), self.num_kv_heads, self.head_size
        queries = rows.tokens.of(query).reshape(n, h, -1, d)
        if rows.policy.kind == "topk":
            rows.tokens.write(output, best_tokens(rows, queries, pages, self.scale))
            return
        table = chosen_table(rows, queries, pages, self._summaries)
        room = rows.tokens.room(output)
        flash_attn_varlen_func(
            q=queries.reshape(n * h, -1, d),
            k=pages.by_head[0],
            v=pages.by_head[1],
            out=room.view(n * h, -1, d),
            cu_seqlens_q=rows.starts,
            max_seqlen_q=1,
            seqused_k=rows.attended,
            max_seqlen_k=rows.k * rows.geometry.block,
            softmax_scale=self.scale,
            causal=True,
            block_table=table,
            softcap=self.logits_soft_cap,
            fa_version=self.vllm_flash_attn_version,
        )
        rows.tokens.put(output, room)
