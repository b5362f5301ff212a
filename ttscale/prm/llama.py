"""The forward pass of a Llama model over trees of tokens, with an adapter on its upper layers.

Written out by hand, on plain tensors: transformers' model neither takes a tree nor starts in the
middle of its layers. What it computes is what transformers and vLLM compute on each path of the
tree from the merged weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

Tensor = Any
"""A torch tensor; torch is imported where it is used, so that the command line starts without."""

MAPS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The linear maps of a layer, all of which get an adapter."""

HEAD = "score.weight"
"""The head's name in a sequence classification checkpoint; it has no bias, as vLLM's has none."""


def full_name(layer: int, name: str) -> str:
    """A linear map's name in a checkpoint, without `.weight`."""
    part = "mlp" if name in {"gate_proj", "up_proj", "down_proj"} else "self_attn"
    return f"model.layers.{layer}.{part}.{name}"


class Shape(msgspec.Struct, frozen=True):
    """What a Llama `config.json` says about the forward pass."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    rms_norm_eps: float
    rope_theta: float

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads


class Segment(NamedTuple):
    """One tree in a batch: its rows in the batch, and what each attends to after the prefix.

    `mask` is (n, n_prefix + n), true where a row's token attends to a column's.
    """

    rows: slice
    mask: Tensor


@dataclass(frozen=True)
class Llama:
    """Frozen weights of a folder, and the forward pass over them."""

    shape: Shape
    weights: Mapping[str, Tensor]

    @classmethod
    def load(cls, folder: Path, depth: int | None = None) -> Llama:
        """Read a folder in Hugging Face's layout, in float32; of its layers the first `depth`."""
        from safetensors.torch import load_file

        shape = msgspec.json.decode((folder / "config.json").read_bytes(), type=Shape)
        if depth is not None:
            shape = msgspec.structs.replace(shape, num_hidden_layers=depth)
        tensors = load_file(folder / "model.safetensors")
        return cls(shape, {name: tensor.float() for name, tensor in tensors.items()})

    def embed(self, token_ids: Tensor) -> Tensor:
        """(n, hidden) of (n,)."""
        return self.weights["model.embed_tokens.weight"][token_ids]

    def rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines, (n, head size), of positions (n,)."""
        import torch

        size = self.shape.head_size
        exponents = torch.arange(0, size, 2, dtype=torch.int64).float() / size
        angles = positions.float()[:, None] / self.shape.rope_theta**exponents
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos(), angles.sin()

    def norm(self, name: str, x: Tensor) -> Tensor:
        """RMS norm."""
        import torch

        weight = self.weights[f"{name}.weight"]
        return torch.nn.functional.rms_norm(x, weight.shape, weight, self.shape.rms_norm_eps)

    def next_token(self, hidden: Tensor) -> Tensor:
        """Logits of the next token, (n, vocabulary), of what came out of the last norm."""
        name = "model.embed_tokens.weight"  # tied, unless the folder has a head of its own
        return hidden @ self.weights.get("lm_head.weight", self.weights[name]).T

    def layer(
        self,
        number: int,
        x: Tensor,
        rotation: tuple[Tensor, Tensor],
        n_prefix: int,
        segments: Sequence[Segment],
        adapter: Mapping[str, Tensor],
        past: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One layer over the shared prefix and the trees behind it.

        Parameters
        ----------
        number : of the layer.
        x : (n, hidden); its first rows are the prefix, unless `past` holds that.
        rotation : of the rows' positions.
        n_prefix : rows that are the prefix; 0 with `past`.
        segments : the trees.
        adapter : `<map>.lora_A` (rank, in) and `.lora_B` (out, rank) by full name; empty for none.
        past : the prefix's keys and values from an earlier pass, each (kv heads, n_prefix, size).

        Returns the layer's output and the prefix's keys and values.
        """
        import torch

        name = f"model.layers.{number}"
        heads, kv_heads = self.shape.num_attention_heads, self.shape.num_key_value_heads

        def linear(part: str, h: Tensor) -> Tensor:
            full = full_name(number, part)
            out = h @ self.weights[f"{full}.weight"].T
            if (down := adapter.get(f"{full}.lora_A")) is not None:
                out = out + (h @ down.T) @ adapter[f"{full}.lora_B"].T
            return out

        def split(h: Tensor, n: int) -> Tensor:
            return h.view(len(h), n, -1).transpose(0, 1)

        h = self.norm(f"{name}.input_layernorm", x)
        query = _rotate(split(linear("q_proj", h), heads), rotation)
        key = _rotate(split(linear("k_proj", h), kv_heads), rotation)
        value = split(linear("v_proj", h), kv_heads)
        mixed = []
        if past is None:
            past = key[:, :n_prefix], value[:, :n_prefix]
            mixed.append(_attend(query[:, :n_prefix], *past, is_causal=True))
        for rows, mask in segments:
            keys = torch.cat([past[0], key[:, rows]], dim=1)
            values = torch.cat([past[1], value[:, rows]], dim=1)
            mixed.append(_attend(query[:, rows], keys, values, attn_mask=mask))
        joined = torch.cat(mixed, dim=1).transpose(0, 1).reshape(len(x), -1)
        x = x + linear("o_proj", joined)
        h = self.norm(f"{name}.post_attention_layernorm", x)
        gated = torch.nn.functional.silu(linear("gate_proj", h)) * linear("up_proj", h)
        return x + linear("down_proj", gated), past


def _rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary position embedding on (heads, n, size), the two halves of a pair half a head apart."""
    import torch

    cos, sin = rotation
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def _attend(query: Tensor, key: Tensor, value: Tensor, **how: Any) -> Tensor:
    """Attention of (heads, n, size) on (kv heads, m, size); several query heads share a key's."""
    import torch

    n_shares = len(query) // len(key)
    key, value = (t.repeat_interleave(n_shares, dim=0)[None] for t in (key, value))
    # with a batch axis: without one, the slow path is taken
    return torch.nn.functional.scaled_dot_product_attention(query[None], key, value, **how)[0]
