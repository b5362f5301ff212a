"""The view of a GPU's cache by head: every page is that head's tokens of the block."""

from __future__ import annotations

import pytest
import torch

from ttscale.engine.sparse.pages import Pages


@pytest.mark.parametrize("heads_outside", [True, False])
def test_a_page_is_one_head_of_one_block(heads_outside: bool) -> None:
    n_blocks, heads, tokens, d = 5, 3, 4, 8
    cache = torch.randn(n_blocks, heads, tokens, 2 * d)
    if not heads_outside:  # the same tensor, its memory with heads inside tokens
        cache = cache.transpose(1, 2).contiguous().transpose(1, 2)
    pages = Pages(cache)
    keys, values = pages.by_head
    for block in range(n_blocks):
        for head in range(heads):
            page = block * pages.geometry.pages + head
            assert torch.equal(keys[page, :, 0], cache[block, head, :, :d])
            assert torch.equal(values[page, :, 0], cache[block, head, :, d:])
    some = torch.tensor([4, 0])
    assert torch.equal(pages.keys(some), cache[some][..., :d])
    assert torch.equal(pages.values(some), cache[some][..., d:])
    assert keys.data_ptr() == cache.data_ptr(), "nothing is copied"
