"""FLOPs and bytes of forward passes: prefill and decode; linear layers, attention, output head.

Everything broadcasts over arrays of sequences and is exact where the architecture is: matrix
products as 2 FLOPs a multiply-add, attention summed over every step. Left out are softmax, norms,
activations, position codes and the embedding lookup.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ttscale.cost.architecture import Amount, Architecture, Layer
from ttscale.cost.policy import DENSE, AttentionPolicy, parse_policy
from ttscale.cost.sums import attended, blocks_attended
from ttscale.errors import InputError

ZERO = cast(Amount, np.float64(0))


@dataclass(frozen=True)
class Split:
    """An amount by phase and part; each field a float64 scalar or an array of sequences."""

    prefill_linear: Amount = ZERO
    prefill_attention: Amount = ZERO
    prefill_head: Amount = ZERO
    decode_linear: Amount = ZERO
    decode_attention: Amount = ZERO
    decode_head: Amount = ZERO

    @property
    def prefill(self) -> Amount:
        """All of the prefill."""
        return self.prefill_linear + self.prefill_attention + self.prefill_head

    @property
    def decode(self) -> Amount:
        """All of the decode."""
        return self.decode_linear + self.decode_attention + self.decode_head

    @property
    def linear(self) -> Amount:
        """The layers' matrices, both phases."""
        return self.prefill_linear + self.decode_linear

    @property
    def attention(self) -> Amount:
        """Attention over the cache, both phases."""
        return self.prefill_attention + self.decode_attention

    @property
    def head(self) -> Amount:
        """The output head, both phases."""
        return self.prefill_head + self.decode_head

    @property
    def total(self) -> Amount:
        """Everything."""
        return self.prefill + self.decode

    def arrays(self) -> tuple[Amount, ...]:
        """The six fields in order."""
        return tuple(getattr(self, name) for name in SPLIT_FIELDS)

    def as_dict(self) -> dict[str, float]:
        """`prefill`, `decode`, `linear`, `attention`, `head` and `total`, summed."""
        names = ("prefill", "decode", "linear", "attention", "head", "total")
        return {name: float(np.sum(getattr(self, name))) for name in names}


SPLIT_FIELDS = tuple(f.name for f in dataclasses.fields(Split))


@dataclass(frozen=True)
class Work:
    """What forward passes take.

    Attributes
    ----------
    flops : floating-point operations.
    n_bytes : memory traffic. `linear` and `head` are reads of weights, `attention` is reads and
        writes of the KV cache and of representatives searched.
    n_bytes_written : of those, KV cache writes.
    n_prefill_steps, n_decode_steps : forward passes, each shared among the sequences in it.
    """

    flops: Split = Split()
    n_bytes: Split = Split()
    n_bytes_written: Amount = ZERO
    n_prefill_steps: Amount = ZERO
    n_decode_steps: Amount = ZERO

    def arrays(self) -> tuple[Amount, ...]:
        """Every number: the fields of `flops`, those of `n_bytes`, then the rest in order."""
        rest = (self.n_bytes_written, self.n_prefill_steps, self.n_decode_steps)
        return (*self.flops.arrays(), *self.n_bytes.arrays(), *rest)

    @staticmethod
    def of(arrays: Iterable[Amount]) -> Work:
        """The inverse of `arrays`."""
        values, n = tuple(arrays), len(SPLIT_FIELDS)
        return Work(Split(*values[:n]), Split(*values[n : 2 * n]), *values[2 * n :])

    def __add__(self, other: Work) -> Work:
        return Work.of(a + b for a, b in zip(self.arrays(), other.arrays(), strict=True))

    def __mul__(self, factor: npt.ArrayLike) -> Work:
        scale = np.asarray(factor, np.float64)
        return Work.of(values * scale for values in self.arrays())

    def __getitem__(self, where: Any) -> Work:
        """The sequences at a mask, an index or a slice."""
        return Work.of(values[where] for values in self.arrays())

    def sum(self) -> Work:
        """The same, summed over all sequences."""
        return Work.of(np.asarray(values).sum() for values in self.arrays())

    def as_dict(self) -> dict[str, dict[str, float]]:
        """Sums by phase and part; bytes also as `weights`, `kv` and, of that, `kv_written`."""
        n_bytes = self.n_bytes.as_dict()
        n_bytes["weights"] = n_bytes["linear"] + n_bytes["head"]
        n_bytes["kv"] = n_bytes["attention"]
        n_bytes["kv_written"] = float(np.sum(self.n_bytes_written))
        return {"flops": self.flops.as_dict(), "n_bytes": n_bytes}


def prefill_work(
    architecture: Architecture,
    n_new: npt.ArrayLike,
    n_cached: npt.ArrayLike = 0,
    *,
    chunk: int | None = None,
    batch: npt.ArrayLike = 1,
    head: bool | npt.NDArray[np.bool_] = True,
) -> Work:
    """Process `n_new` tokens at once after `n_cached` that are in the cache already.

    Parameters
    ----------
    architecture : the model.
    n_new, n_cached : tokens, broadcast against each other.
    chunk : the most new tokens in one forward pass; each pass reads the weights, and the cache
        before it, again. None for one pass.
    batch : prompts processed in the same pass: weight reads are shared among them.
    head : whether logits of the last position are computed; not for a reward model.

    Notes
    -----
    A causal token at position i attends to i + 1 tokens, so with m new and s cached attention takes
    4 H d (m s + m(m + 1)/2) FLOPs per layer: half of the full square. Keys and values of the pass
    itself stay on the chip and are written once. A verifier that scores a response is one such
    pass.
    """
    new, cached = _counts("n_new", n_new), _counts("n_cached", n_cached)
    size = new if chunk is None else np.minimum(new, chunk)
    passes = np.ceil(new / np.maximum(size, 1)).astype(np.int64)
    group = np.maximum(np.asarray(batch, np.float64), 1)
    p, steps = architecture.precision, passes / group
    pairs, reads, token_flops = ZERO, ZERO, 0
    for layer, n in architecture.groups.items():
        pairs = pairs + n * layer.prefill_pair_flops * attended(cached, new, layer.window)
        pairs = pairs + n * layer.expand_flops * np.where(new > 0, cached, 0)
        most = None if layer.window is None else layer.window - 1
        reads = reads + n * layer.cache_elements * _rereads(cached, passes, size, most)
        token_flops += n * layer.token_flops
    written = architecture.kv_bytes_per_token * new + architecture.state_bytes * passes
    logits = np.where(np.asarray(head), new > 0, False)
    return Work(
        flops=Split(
            prefill_linear=(2 * architecture.n_linear + token_flops) * new.astype(np.float64),
            prefill_attention=pairs,
            prefill_head=2.0 * architecture.n_head * logits,
        ),
        n_bytes=Split(
            prefill_linear=steps * architecture.step_bytes(size * group),
            prefill_attention=reads * p.kv_bits / 8 + architecture.state_bytes * passes + written,
            prefill_head=architecture.head_bytes * logits / group,
        ),
        n_bytes_written=written,
        n_prefill_steps=steps,
    )


def decode_work(
    architecture: Architecture,
    n_prompt: npt.ArrayLike,
    n_generated: npt.ArrayLike,
    *,
    attention: str | AttentionPolicy = DENSE,
    batch: npt.ArrayLike = 1,
    sharers: npt.ArrayLike = 1,
) -> Work:
    """Generate `n_generated` tokens one at a time after a prompt of `n_prompt`, per sequence.

    Parameters
    ----------
    architecture : the model.
    n_prompt, n_generated : tokens, broadcast against each other.
    attention : the policy, by name or parsed.
    batch : mean number of sequences decoded in the same pass. A pass reads the weights once, so
        each sequence carries 1/batch of that read; of a layer's experts, those hit by `batch`
        tokens.
    sharers : sequences whose common prompt one read serves. 1 is plain paged attention, which
        shares storage but reads the prompt for every sequence; a shared-prefix (cascade) kernel
        serves all siblings at once. Choices made per sequence (top-k) share nothing but the search
        over the prompt's representatives.

    Notes
    -----
    Step t attends to n_prompt + t entries, its own token's among them, and computes one row of
    logits. An engine whose prefill emits the first token runs one step fewer: pass
    `n_generated - 1`.
    """
    policy = parse_policy(attention) if isinstance(attention, str) else attention
    before, steps = _counts("n_prompt", n_prompt), _counts("n_generated", n_generated)
    together = np.maximum(np.asarray(batch, np.float64), 1)
    siblings = np.maximum(np.asarray(sharers, np.float64), 1)
    flops, elements, token_flops = ZERO, ZERO, 0
    for (layer, is_sparse), n in _groups(architecture, policy).items():
        seen = policy if is_sparse else DENSE
        layer_flops, layer_elements = _attend(layer, seen, before, steps, siblings)
        flops, elements = flops + n * layer_flops, elements + n * layer_elements
        token_flops += n * layer.token_flops
    tokens, share = steps.astype(np.float64), steps / together
    written = (architecture.kv_bytes_per_token + architecture.state_bytes) * tokens
    reads = elements * architecture.precision.kv_bits / 8 + architecture.state_bytes * tokens
    return Work(
        flops=Split(
            decode_linear=(2 * architecture.n_linear + token_flops) * tokens,
            decode_attention=flops,
            decode_head=2.0 * architecture.n_head * tokens,
        ),
        n_bytes=Split(
            decode_linear=share * architecture.step_bytes(together),
            decode_attention=reads + written,
            decode_head=share * architecture.head_bytes,
        ),
        n_bytes_written=written,
        n_decode_steps=share,
    )


def mean_batch(n_generated: npt.ArrayLike) -> float:
    """Mean batch of sequences that start together and drop out as they end: sum over longest.

    With it the weight reads add up to one per step of the longest sequence.
    """
    lengths = _counts("n_generated", n_generated)
    return float(lengths.sum() / max(1, lengths.max(initial=0)))


def _groups(
    architecture: Architecture, policy: AttentionPolicy
) -> Mapping[tuple[Layer, bool], int]:
    """Distinct layers, each with whether the policy holds there."""
    if policy.n_dense_layers == 0:
        return {(layer, True): n for layer, n in architecture.groups.items()}
    return Counter(
        (layer, index >= policy.n_dense_layers) for index, layer in enumerate(architecture.layers)
    )


def _attend(
    layer: Layer,
    policy: AttentionPolicy,
    before: npt.NDArray[np.int64],
    steps: npt.NDArray[np.int64],
    siblings: Amount,
) -> tuple[Amount, Amount]:
    """FLOPs and cache elements read by one layer's attention over all steps."""
    is_windowed = layer.window is not None and (policy.limit is None or layer.window < policy.limit)
    limit = layer.window if is_windowed else policy.limit
    pairs = attended(before, steps, limit)
    flops = layer.pair_flops * pairs.astype(np.float64)
    reads = pairs.astype(np.float64)
    if (policy.shares_prefix or is_windowed) and np.any(siblings > 1):
        sinks = 0 if is_windowed else policy.sinks
        near = None if limit is None else limit - sinks + np.maximum(0, sinks - before)
        own = attended(0, steps, near)
        reads = own + (pairs - own) / siblings
    elements = layer.cache_elements * reads
    if policy.n_search_vectors and not is_windowed:
        blocks = blocks_attended(before, steps, policy.block, layer.window)
        flops = flops + layer.search_flops * policy.n_search_vectors * blocks
        common = ZERO if layer.window else (before // policy.block * steps).astype(np.float64)
        searched = blocks - common + common / siblings
        elements = elements + layer.key_elements * policy.n_search_vectors * searched
    return flops, elements


def _rereads(
    cached: npt.NDArray[np.int64],
    passes: npt.NDArray[np.int64],
    size: npt.NDArray[np.int64],
    most: int | None,
) -> Amount:
    """Cached tokens read by all passes: the sum over c < passes of min(most, cached + c size)."""
    short = passes
    if most is not None:
        short = np.clip(-((cached - most) // np.maximum(size, 1)), 0, passes)
    growing = short * cached + size * (short * (short - 1) // 2)
    reads: Amount = (growing + (passes - short) * (most or 0)).astype(np.float64)
    return reads


def _counts(name: str, value: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Token counts as int64; whole numbers of at least 0 and at most 1e9."""
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or (array.dtype.kind == "f" and np.any(array != array // 1)):
        raise InputError(f"{name} must hold whole numbers of tokens", where=name, got=value)
    if np.any(array < 0) or np.any(array > 1e9):
        raise InputError(
            f"{name} must be between 0 and a thousand million tokens", where=name, got=value
        )
    return array.astype(np.int64)
