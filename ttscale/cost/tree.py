"""Search trees: every node's tokens are stored once and read by all that come after them."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from ttscale.cost.architecture import Architecture
from ttscale.cost.sums import Counts
from ttscale.cost.work import Work, decode_work
from ttscale.errors import InputError


def tree_contexts(parent: npt.ArrayLike, n_tokens: npt.ArrayLike) -> Counts:
    """Tokens before each node: those of all its ancestors.

    Parameters
    ----------
    parent : index of each node's parent, below its own; -1 for a root.
    n_tokens : tokens of each node.

    Raises
    ------
    InputError : a parent that does not come before its child.
    """
    parents, tokens = np.asarray(parent, np.int64), np.asarray(n_tokens, np.int64)
    if np.any(parents >= np.arange(len(parents))) or np.any(parents < -1):
        raise InputError("every parent must come before its child, -1 for a root", where="parent")
    before = np.zeros(len(parents), np.int64)
    for node, above in enumerate(parents):
        if above >= 0:
            before[node] = before[above] + tokens[above]
    return before


def tree_decode_work(
    architecture: Architecture,
    parent: npt.ArrayLike,
    n_tokens: npt.ArrayLike,
    *,
    attention: str = "dense",
    batch: npt.ArrayLike = 1,
    shared_reads: bool = False,
) -> Work:
    """Decode every node of a tree but its roots, which are prompts already in the cache.

    Parameters
    ----------
    parent, n_tokens : the tree, as in `tree_contexts`.
    attention, batch : as in `decode_work`.
    shared_reads : a shared-prefix kernel: nodes of one depth decode together and every ancestor is
        read once per step for all below it that still run. Dense layers only: windows and sparse
        policies keep reading per sequence.
    """
    parents, tokens = np.asarray(parent, np.int64), np.asarray(n_tokens, np.int64)
    before = tree_contexts(parents, tokens)
    grown = parents >= 0
    work = decode_work(
        architecture,
        before[grown],
        tokens[grown],
        attention=attention,
        batch=batch,
    ).sum()
    if not shared_reads or attention != "dense":
        return work
    saved = int((before * tokens)[grown].sum()) - _ancestor_reads(parents, tokens)
    elements = sum(
        n * layer.cache_elements for layer, n in architecture.groups.items() if layer.window is None
    )
    n_bytes = saved * elements * architecture.precision.kv_bits / 8
    kept = dataclasses.replace(
        work.n_bytes, decode_attention=work.n_bytes.decode_attention - n_bytes
    )
    return dataclasses.replace(work, n_bytes=kept)


def _ancestor_reads(parents: Counts, tokens: Counts) -> int:
    """Ancestor entries read when one read serves all below: per depth, tokens × longest below."""
    depth = np.zeros(len(parents), np.int64)
    longest: dict[tuple[int, int], int] = {}
    for node, above in enumerate(parents):
        if above < 0:
            continue
        depth[node] = depth[above] + 1
        ancestor = above
        while ancestor >= 0:
            key = (int(ancestor), int(depth[node]))
            longest[key] = max(longest.get(key, 0), int(tokens[node]))
            ancestor = parents[ancestor]
    return sum(int(tokens[ancestor]) * steps for (ancestor, _), steps in longest.items())
