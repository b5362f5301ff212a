"""A GPU's KV cache as pages of a single head, whichever way its memory is laid out."""

from __future__ import annotations

from torch import Tensor

from ttscale.engine.sparse.step import Geometry


class Pages:
    """A layer's KV cache, (blocks, heads, tokens, 2 d), in whatever order its memory has.

    Attributes
    ----------
    by_head : keys and values as single-headed pages, (pages, tokens, 1, d): page
        `block × geometry.pages + head` is that head's of the block. Where heads lie inside tokens
        the pages overlap, which reading does not mind.
    """

    def __init__(self, kv_cache: Tensor) -> None:
        self._cache = kv_cache
        self.n_blocks, heads, tokens, width = kv_cache.shape
        self._d = width // 2
        block_stride, head_stride, token_stride, _ = kv_cache.stride()
        assert block_stride % head_stride == 0, "a block is a whole number of its heads' strides"
        per_block = block_stride // head_stride
        self.geometry = Geometry(tokens, heads, per_block)
        n_pages = (self.n_blocks - 1) * per_block + heads
        data = kv_cache.as_strided(
            (n_pages, tokens, 1, width), (head_stride, token_stride, width, 1)
        )
        self.by_head: tuple[Tensor, Tensor] = (data[..., : self._d], data[..., self._d :])

    def keys(self, blocks: Tensor) -> Tensor:
        """The keys of blocks, (m, heads, tokens, d)."""
        return self._cache.index_select(0, blocks)[..., : self._d]

    def values(self, blocks: Tensor) -> Tensor:
        """The values of blocks, (m, heads, tokens, d)."""
        return self._cache.index_select(0, blocks)[..., self._d :]
