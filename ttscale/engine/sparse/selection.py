"""Which blocks, or tokens, a decode step attends to: plain torch, on the tensors' own device.

Shapes: n sequences, h KV heads, g query heads to each of them, d the head's size, B blocks of a
sequence. All query heads of a group attend to the same: a block's score is the mean over them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Kind = Literal["block_topk", "quest"]
"""Policies that look for blocks, each with summaries of its own."""

SUMMARY_WIDTH: dict[Kind, int] = {"block_topk": 1, "quest": 2}
"""Head-sized vectors in a block's summary."""

RECENT = 2
"""Blocks at the end that are always attended: the one that is being filled, and the one before."""

_CURRENT, _FIRST, _RECENT = 3e30, 2e30, 1e30
"""What forced blocks score, the dearest first, far above what a product of vectors reaches."""


def summarise(kind: Kind, keys: Tensor) -> Tensor:
    """Summaries of full blocks, (…, d × width), from their keys, (…, tokens, d).

    For `block_topk` the mean key (Kinetics: Sadhukhan et al., 2025, 2506.05333), for `quest` the
    greatest and the least of each component (Tang et al., 2024, 2406.10774).
    """
    if kind == "block_topk":
        return keys.mean(-2)
    return torch.cat([keys.amax(-2), keys.amin(-2)], -1)


def probe(kind: Kind, query: Tensor) -> Tensor:
    """What is multiplied with summaries, (n, h, d × width), from the queries, (n, h, g, d).

    For `block_topk` the mean query, so that the product is the block's mean score. For `quest` the
    positive and the negative parts: the product bounds every score in the block from above.
    """
    if kind == "block_topk":
        return query.mean(2)
    return torch.cat([query.clamp(min=0).mean(2), query.clamp(max=0).mean(2)], -1)


def block_scores(probes: Tensor, summaries: Tensor, place: Tensor) -> Tensor:
    """The score of every block of every sequence, (n, h, B).

    Parameters
    ----------
    probes : (n, h, w).
    summaries : (h, U, w), of the blocks that some sequence has, each once: of a shared prompt the
        product is taken together.
    place : (n, B), where a sequence's blocks stand among the U.
    """
    products = torch.bmm(probes.transpose(0, 1), summaries.transpose(1, 2))  # (h, n, U)
    place = place[:, None].expand(-1, probes.shape[1], -1)
    return products.transpose(0, 1).gather(2, place)


def forced(n_blocks: Tensor, width: int) -> Tensor:
    """What is added to scores, (n, 1, width), for sequences of (n,) blocks.

    The current block comes before the first, the first before the one before the current, and
    these before all others; what lies beyond a sequence's end is never chosen.
    """
    place = torch.arange(width, device=n_blocks.device)
    last = (n_blocks - 1)[:, None]
    bias = torch.zeros(len(n_blocks), width, device=n_blocks.device)
    bias.masked_fill_(place > last - RECENT, _RECENT)
    bias[:, 0] = _FIRST
    bias.masked_fill_(place == last, _CURRENT)
    bias.masked_fill_(place > last, -torch.inf)
    return bias[:, None]


def choose(scores: Tensor, bias: Tensor, k: int) -> Tensor:
    """The k best blocks of each sequence and head, ascending: (n, h, k)."""
    best = (scores + bias).topk(k, dim=-1, sorted=False).indices
    return best.sort(dim=-1).values


def window_blocks(n_blocks: Tensor, k: int, n_sinks: int) -> Tensor:
    """The first `n_sinks` blocks and the last k − `n_sinks`, ascending: (n, k)."""
    place = torch.arange(k, device=n_blocks.device)
    return torch.where(place < n_sinks, place, n_blocks[:, None] - k + place)


class Attended(NamedTuple):
    """Exact attention over chosen tokens.

    Attributes
    ----------
    output : (h, g, d).
    tokens : the chosen ones, ascending, (h, k).
    """

    output: Tensor
    tokens: Tensor


def attend_to_best(
    query: Tensor, keys: Tensor, values: Tensor, budget: int, scale: float
) -> Attended:
    """Attention of one sequence over the tokens that weigh most in dense attention.

    The last token, and the budget − 1 others with the greatest weight, meant over the heads of a
    group: no other choice of so many keeps more of it.

    Parameters
    ----------
    query : (h, g, d).
    keys, values : (h, L, d).
    """
    logits = (query.float() @ keys.float().transpose(1, 2)) * scale  # (h, g, L)
    weight = logits.softmax(-1).mean(1)
    weight[:, -1] = 2.0  # above any mean of probabilities
    tokens = weight.topk(min(budget, keys.shape[1]), dim=-1, sorted=False).indices.sort(-1).values
    some = tokens[:, None].expand(-1, query.shape[1], -1)
    probabilities = logits.gather(2, some).softmax(-1)
    chosen = tokens[..., None].expand(-1, -1, values.shape[-1])
    output = probabilities @ values.float().gather(1, chosen)
    return Attended(output.to(query.dtype), tokens)
