"""What fits: bytes of weights and KV cache against a machine's memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ttscale.cost.architecture import Architecture
from ttscale.cost.hardware import Hardware

RESERVE = 0.1  # of memory, for activations and the engine itself


class Capacity(NamedTuple):
    """How a model fills a machine.

    Attributes
    ----------
    weight_bytes : all weights.
    kv_bytes_per_sequence : cache of one sequence at the length asked for.
    free_bytes : left for caches after weights and reserve; below zero where the model does not fit.
    n_sequences : sequences of that length that fit at once.
    n_tokens : cached tokens that fit, at that sequence's mean bytes per token.
    """

    weight_bytes: float
    kv_bytes_per_sequence: float
    free_bytes: float
    n_sequences: int
    n_tokens: int


def capacity(
    architecture: Architecture, hardware: Hardware, n_tokens: int, reserve: float = RESERVE
) -> Capacity:
    """What fits of sequences of `n_tokens` (prompt and generation) beside the weights.

    Parameters
    ----------
    reserve : share of the memory kept for activations and the engine.
    """
    each = float(np.asarray(architecture.kv_bytes(n_tokens)))
    free = hardware.memory * (1 - reserve) - architecture.weight_bytes
    n_sequences = int(max(0.0, free) // each) if each else 0
    tokens = int(max(0.0, free) // (each / n_tokens)) if each and n_tokens else 0
    return Capacity(architecture.weight_bytes, each, free, n_sequences, tokens)
