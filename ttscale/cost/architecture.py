"""A decoder's shape as the numbers its price depends on: no weights, no torch."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ttscale.cost.precision import Precision, bits_of

Amount = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Experts:
    """The routed experts of a layer: `n_total` of `n_matrix` weights, `n_active` to each token."""

    n_total: int
    n_active: int
    n_matrix: int
    n_vector: int = 0

    def n_distinct(self, n_tokens: npt.ArrayLike) -> Amount:
        """Expected experts hit by `n_tokens` tokens routed uniformly: E(1 - (1 - k/E)^B).

        Real routing is skewed and hits fewer.
        """
        missed = (1 - self.n_active / self.n_total) ** np.asarray(n_tokens, np.float64)
        return self.n_total * (1 - missed)


@dataclass(frozen=True)
class Layer:
    """One decoder layer.

    Attributes
    ----------
    n_matrix : weights of the matrices every token is multiplied with, shared experts among them.
    n_router : the same for routers and gates, which stay wide when the rest is quantised.
    n_vector : norms, biases, sinks and other weights that are in no matrix product.
    experts : the routed experts, None in a dense layer.
    cache_elements : KV elements stored per token (2 KV d; rank + rope for latent attention).
    key_elements : elements of one key-sized vector, as a search over blocks reads them.
    pair_flops : attention FLOPs for one query and one cached token while decoding (4 H d).
    prefill_pair_flops : the same in prefill; latent attention is expanded there.
    search_flops : FLOPs for one query and one key-sized vector (2 H d).
    expand_flops : FLOPs to expand one cached token in a prefill (latent attention only).
    token_flops : FLOPs per token of a recurrent layer's state update, whatever the context.
    state_elements : elements of a recurrent layer's state, read and written at every step.
    window : the most tokens attended to; None for all.
    """

    n_matrix: int
    n_router: int = 0
    n_vector: int = 0
    experts: Experts | None = None
    cache_elements: int = 0
    key_elements: int = 0
    pair_flops: int = 0
    prefill_pair_flops: int = 0
    search_flops: int = 0
    expand_flops: int = 0
    token_flops: int = 0
    state_elements: int = 0
    window: int | None = None


@dataclass(frozen=True)
class Architecture:
    """A decoder-only language model.

    Attributes
    ----------
    name, family : what it is called, and its `model_type`.
    layers : every decoder layer, in order.
    n_embedding : input embedding, learned positions included.
    n_head : the output matrix (vocabulary × hidden).
    n_vector : the final norm, and a bias of the head.
    is_tied : the head is the embedding, stored once.
    n_context : the longest context, None where the config does not say.
    precision : bits per weight and per KV element.
    notes : what the count leaves out, such as a vision tower.
    """

    name: str
    family: str
    layers: tuple[Layer, ...]
    n_embedding: int
    n_head: int
    n_vector: int = 0
    is_tied: bool = False
    n_context: int | None = None
    precision: Precision = field(default_factory=Precision)
    notes: tuple[str, ...] = ()

    @staticmethod
    def from_config(source: Mapping[str, Any] | str | Path) -> Architecture:
        """Read a Hugging Face `config.json`: its contents, its path, its folder, or a known name.

        Raises
        ------
        InputError : no such name or file, an unknown `model_type` (with the fields that describe it
            by hand), a missing, non-numeric, negative or contradictory field.
        """
        from ttscale.cost.catalog import load_architecture

        return load_architecture(source)

    def with_precision(
        self, weights: str | None = None, kv: str | None = None, where: str = "precision"
    ) -> Architecture:
        """The same model stored otherwise, such as `weights='int4:group=128', kv='fp8'`.

        16 bits and more hold for all weights and for the arithmetic; fewer for the layers' matrices
        only, with the arithmetic in fp8 or int8 where the weights are and as before where they are
        narrower still.
        """
        p = self.precision
        if weights is not None:
            bits, name = bits_of(weights, f"{where}: weights")
            wide = bits if bits >= 16 else max(p.wide_bits, 16.0)
            compute = name if bits >= 16 or name in {"fp8", "int8"} else p.compute
            kv_bits = bits if bits >= 16 else p.kv_bits
            p = Precision(bits, bits, wide, kv_bits, compute)
        if kv is not None:
            p = dataclasses.replace(p, kv_bits=bits_of(kv, f"{where}: kv")[0])
        return dataclasses.replace(self, precision=p)

    @cached_property
    def groups(self) -> Counter[Layer]:
        """Distinct layers and how many there are of each."""
        return Counter(self.layers)

    @cached_property
    def n_parameters(self) -> int:
        """All stored weights; a tied head counts once."""
        return self._n_parameters(active=False)

    @cached_property
    def n_active_parameters(self) -> int:
        """The weights without the experts that a token is not routed to."""
        return self._n_parameters(active=True)

    def _n_parameters(self, *, active: bool) -> int:
        total = self.n_embedding + self.n_vector + (0 if self.is_tied else self.n_head)
        for layer, n in self.groups.items():
            total += n * (layer.n_matrix + layer.n_router + layer.n_vector)
            if layer.experts is not None:
                each = layer.experts.n_matrix + layer.experts.n_vector
                total += n * each * (layer.experts.n_active if active else layer.experts.n_total)
        return total

    @cached_property
    def n_linear(self) -> int:
        """Weights a token is multiplied with in the layers: P_lin without the head."""
        return sum(
            n
            * (
                layer.n_matrix
                + layer.n_router
                + (layer.experts.n_active * layer.experts.n_matrix if layer.experts else 0)
            )
            for layer, n in self.groups.items()
        )

    @cached_property
    def kv_bytes_per_token(self) -> float:
        """KV cache bytes of one token over all layers, windowed layers included."""
        elements = sum(n * layer.cache_elements for layer, n in self.groups.items())
        return elements * self.precision.kv_bits / 8

    @cached_property
    def state_bytes(self) -> float:
        """Bytes of one sequence's recurrent state, kept in float32; 0 without recurrent layers."""
        return 4.0 * sum(n * layer.state_elements for layer, n in self.groups.items())

    @cached_property
    def head_bytes(self) -> float:
        """Bytes read to compute logits: the head and the final norm."""
        return (self.n_head + self.n_vector) * self.precision.wide_bits / 8

    @cached_property
    def weight_bytes(self) -> float:
        """Bytes of all stored weights, quantisation scales included."""
        embedding = (0 if self.is_tied else self.n_embedding) * self.precision.wide_bits / 8
        return embedding + self.head_bytes + float(self._layer_bytes(None))

    def step_bytes(self, n_tokens: npt.ArrayLike) -> Amount:
        """Bytes of layer weights that one forward step over `n_tokens` tokens reads.

        All of them for a dense model; of the experts, those expected to be hit.
        """
        return self._layer_bytes(n_tokens)

    def _layer_bytes(self, n_tokens: npt.ArrayLike | None) -> Amount:
        p = self.precision
        total = np.zeros(() if n_tokens is None else np.shape(n_tokens))
        for layer, n in self.groups.items():
            wide = (layer.n_router + layer.n_vector) * p.wide_bits
            total = total + n * (layer.n_matrix * p.matrix_bits + wide) / 8
            if layer.experts is not None:
                e = layer.experts
                each = (e.n_matrix * p.expert_bits + e.n_vector * p.wide_bits) / 8
                hit = e.n_total if n_tokens is None else e.n_distinct(n_tokens)
                total = total + n * each * hit
        return total

    def kv_bytes(self, n_tokens: npt.ArrayLike) -> Amount:
        """Bytes one sequence of `n_tokens` holds: windowed layers no more than their window."""
        tokens = np.asarray(n_tokens, np.float64)
        total = np.zeros(tokens.shape) + self.state_bytes
        for layer, n in self.groups.items():
            held = tokens if layer.window is None else np.minimum(tokens, layer.window)
            total = total + n * layer.cache_elements * held * self.precision.kv_bits / 8
        return total

    def context_warning(self, n_tokens: int) -> str | None:
        """A sentence where `n_tokens` is beyond the model's context, None where it is not."""
        if self.n_context is None or n_tokens <= self.n_context:
            return None
        return (
            f"{n_tokens:,} tokens are beyond the context of {self.name} "
            f"({self.n_context:,}): the price holds, but the model was not made for it"
        )
