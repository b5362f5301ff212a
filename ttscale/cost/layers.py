"""From a config to layers: attention, feed-forward and experts of every decoder layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ttscale.cost.architecture import Architecture, Experts, Layer
from ttscale.cost.config_fields import BY_HAND, REQUIRED, Fields
from ttscale.cost.families import FAMILIES, Family
from ttscale.cost.precision import precision_of
from ttscale.errors import InputError, closest

DELTA_NET_FLOPS = 6  # per state element and token: read by the key, update, read by the query


def read_config(config: Mapping[str, Any], *, name: str, where: str) -> Architecture:
    """Build the architecture a Hugging Face config describes.

    Parameters
    ----------
    config : contents of a `config.json`; of a multimodal one, the text model is counted.
    name : what to call it.
    where : its path, for messages.

    Raises
    ------
    InputError : see `Architecture.from_config`.
    """
    notes: tuple[str, ...] = ()
    text = config.get("text_config")
    if isinstance(text, Mapping):
        notes = ("the text model alone: encoders of other modalities are not counted",)
        inherited = ("dtype", "torch_dtype", "quantization_config", "tie_word_embeddings")
        config = {key: config[key] for key in inherited if key in config} | dict(text)
    model_type = str(config.get("model_type") or "")
    if model_type not in FAMILIES:
        raise InputError(
            f"unknown architecture {model_type!r}",
            where=f"{where}: model_type",
            hint=f"{closest(model_type, FAMILIES)} Or describe it by hand: {BY_HAND}",
        )
    family = FAMILIES[model_type]
    given = {key: value for key, value in config.items() if value is not None}
    fields = Fields({**family.defaults, **given}, where)
    fields.require(*REQUIRED)
    n_layers, hidden = fields.count("num_hidden_layers"), fields.count("hidden_size")
    head = fields.count("vocab_size") * hidden
    n_context = (
        fields.count("max_position_embeddings") if fields.has("max_position_embeddings") else None
    )
    positions = (n_context or 0) * hidden if family.learned_positions else 0
    head_bias = fields.count("vocab_size") if fields.flag(family.head_bias) else 0
    tied = fields.values.get("tie_word_embeddings")
    blocks = LayerReader(fields, family)
    return Architecture(
        name=name,
        family=model_type,
        layers=tuple(blocks.layer(index) for index in range(n_layers)),
        n_embedding=head + positions,
        n_head=head,
        n_vector=family.norm * hidden + head_bias,
        is_tied=family.tied if tied is None else bool(tied),
        n_context=n_context,
        precision=precision_of(config, where),
        notes=notes,
    )


@dataclass(frozen=True)
class Mixer:
    """The token-mixing half of a layer, as `Layer` fields."""

    n_matrix: int
    n_vector: int
    cost: Mapping[str, int]


class LayerReader:
    """Reads one layer at a time out of a config, as its family arranges them."""

    def __init__(self, fields: Fields, family: Family) -> None:
        self.fields, self.family = fields, family
        self.n_layers = fields.count("num_hidden_layers")
        self.hidden = fields.count("hidden_size")
        self.types = self._layer_types()
        self.sparse = self._sparse_layers()

    def layer(self, index: int) -> Layer:
        """The layer at `index`, counted from 0."""
        kind = self.types[index]
        if kind == "linear_attention":
            mixer = self._delta_net()
        elif self.fields.has("kv_lora_rank"):
            mixer = self._latent()
        else:
            mixer = self._grouped()
        matrix, router, vector, experts = self._feed_forward(self.sparse[index])
        norms = self.family.n_norms * self.family.norm * self.hidden
        return Layer(
            n_matrix=mixer.n_matrix + matrix,
            n_router=router,
            n_vector=mixer.n_vector + vector + norms,
            experts=experts,
            window=self._window(kind),
            **mixer.cost,
        )

    def _grouped(self) -> Mixer:
        """Multi-head, grouped-query or multi-query attention."""
        fields, family, hidden = self.fields, self.family, self.hidden
        heads = fields.count("num_attention_heads")
        kv_heads = fields.count("num_key_value_heads", heads)
        if heads % kv_heads:
            self._contradiction(
                "num_attention_heads is not a multiple of num_key_value_heads",
                f"{heads} heads, {kv_heads} key-value heads",
            )
        if not fields.has("head_dim") and hidden % heads:
            self._contradiction(
                "hidden_size is not a multiple of num_attention_heads, and there is no head_dim",
                f"{hidden} channels, {heads} heads",
            )
        size = fields.count("head_dim", hidden // heads)
        query, key = heads * size, kv_heads * size
        made = query * (2 if family.gated_query else 1) + 2 * key
        vector = made if fields.flag(family.qkv_bias) else 0
        vector += hidden if fields.flag(family.out_bias) else 0
        vector += heads if family.sinks else 0
        if family.qk_norm is not None and fields.flag(family.has_qk_norm):
            vector += 2 * size * family.norm if family.qk_norm == "head" else query + key
        return Mixer(
            n_matrix=hidden * made + query * hidden,
            n_vector=vector,
            cost={
                "cache_elements": 2 * key,
                "key_elements": key,
                "pair_flops": 4 * query,
                "prefill_pair_flops": 4 * query,
                "search_flops": 2 * query,
            },
        )

    def _latent(self) -> Mixer:
        """Multi-head latent attention (DeepSeek-V2, section 2.1).

        Decoding is absorbed: queries meet the cached latent itself, so scores take rank + rope and
        mixing rank multiply-adds per head. Prefill is expanded to full heads.
        """
        fields, hidden = self.fields, self.hidden
        fields.require("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
        heads, rank = fields.count("num_attention_heads"), fields.count("kv_lora_rank")
        nope, rope = fields.count("qk_nope_head_dim"), fields.count("qk_rope_head_dim")
        value = fields.count("v_head_dim")
        expand = rank * heads * (nope + value)
        matrix = hidden * (rank + rope) + expand + heads * value * hidden
        vector = rank + ((rank + rope + hidden) if fields.flag(self.family.qkv_bias) else 0)
        if fields.has("q_lora_rank"):
            query_rank = fields.count("q_lora_rank")
            matrix += hidden * query_rank + query_rank * heads * (nope + rope)
            vector += query_rank * (2 if fields.flag(self.family.qkv_bias) else 1)
        else:
            matrix += hidden * heads * (nope + rope)
        return Mixer(
            n_matrix=matrix,
            n_vector=vector,
            cost={
                "cache_elements": rank + rope,
                "key_elements": rank + rope,
                "pair_flops": 2 * heads * (2 * rank + rope),
                "prefill_pair_flops": 2 * heads * (nope + rope + value),
                "search_flops": 2 * heads * (rank + rope),
                "expand_flops": 2 * expand,
            },
        )

    def _delta_net(self) -> Mixer:
        """A gated delta net (Qwen3-Next): a state of fixed size in place of a cache."""
        fields, hidden = self.fields, self.hidden
        key_heads = fields.count("linear_num_key_heads")
        key_size = fields.count("linear_key_head_dim")
        value_heads = fields.count("linear_num_value_heads")
        value_size = fields.count("linear_value_head_dim")
        kernel = fields.count("linear_conv_kernel_dim")
        key, value = key_heads * key_size, value_heads * value_size
        channels = 2 * key + value
        state = value_heads * key_size * value_size
        return Mixer(
            n_matrix=hidden * (2 * key + 2 * value + 2 * value_heads) + value * hidden,
            n_vector=channels * kernel + 2 * value_heads + value_size,
            cost={
                "token_flops": DELTA_NET_FLOPS * state + 2 * kernel * channels,
                "state_elements": state + (kernel - 1) * channels,
            },
        )

    def _feed_forward(self, is_sparse: bool) -> tuple[int, int, int, Experts | None]:
        """Matrix, router and vector weights outside the experts, and the experts."""
        fields, family, hidden = self.fields, self.family, self.hidden
        n_matrices = 3 if family.gated_mlp else 2
        if not is_sparse:
            size = fields.count("intermediate_size_mlp", self._intermediate())
            bias = (n_matrices - 1) * size + hidden if fields.flag(family.mlp_bias) else 0
            return n_matrices * hidden * size, 0, bias, None
        n_experts, n_active = fields.count("n_experts"), fields.count("num_experts_per_tok")
        if n_active > n_experts:
            self._contradiction("more active experts than experts", f"{n_active} of {n_experts}")
        size = fields.count("moe_intermediate_size", self._intermediate())
        shared = fields.count("shared_expert_intermediate_size", 0, least=0)
        shared += size * fields.count("n_shared_experts", 0, least=0)
        gate = hidden if family.shared_gate and shared else 0
        bias = (n_matrices - 1) * size + hidden if family.expert_bias else 0
        experts = Experts(n_experts, n_active, n_matrices * hidden * size, bias)
        vector = n_experts if family.router_bias else 0
        if shared and fields.flag(family.mlp_bias):
            vector += (n_matrices - 1) * shared + hidden
        return n_matrices * hidden * shared, n_experts * hidden + gate, vector, experts

    def _intermediate(self) -> int:
        fields = self.fields
        if self.family.learned_positions and not fields.has("intermediate_size"):
            return 4 * self.hidden
        if fields.has("n_experts") and fields.has("moe_intermediate_size"):
            return fields.count("intermediate_size", fields.count("moe_intermediate_size"))
        return fields.count("intermediate_size")

    def _sparse_layers(self) -> list[bool]:
        """Which layers hold experts."""
        fields, n = self.fields, self.n_layers
        if not fields.has("n_experts"):
            return [False] * n
        fields.require("num_experts_per_tok")
        named = fields.per_layer("mlp_layer_types", n)
        if named is not None:
            return [name != "dense" for name in named]
        first = fields.count("first_k_dense_replace", 0, least=0)
        step = fields.count("decoder_sparse_step", fields.count("moe_layer_freq", 1))
        dense = set(fields.values.get("mlp_only_layers") or [])
        if fields.has("moe_layer_freq"):
            return [index >= first and index % step == 0 for index in range(n)]
        return [
            index >= first and (index + 1) % step == 0 and index not in dense for index in range(n)
        ]

    def _layer_types(self) -> list[str]:
        """`full_attention`, `sliding_attention` or `linear_attention` for every layer."""
        fields, n = self.fields, self.n_layers
        named = fields.per_layer("layer_types", n)
        if named is not None:
            known = {"full_attention", "sliding_attention", "linear_attention"}
            unknown = set(named) - known
            if unknown:
                raise InputError(
                    f"unknown layer type {min(unknown)!r}",
                    where=f"{fields.where}: layer_types",
                    hint=f"one of {', '.join(sorted(known))}",
                )
            return named
        if fields.has("full_attention_interval"):
            period = fields.count("full_attention_interval")
            return [
                "linear_attention" if (index + 1) % period else "full_attention"
                for index in range(n)
            ]
        return ["sliding_attention" if slides else "full_attention" for slides in self._sliding()]

    def _sliding(self) -> list[bool]:
        """Which layers slide over a window, where `layer_types` is not given."""
        fields, rule, n = self.fields, self.family.window, self.n_layers
        if rule == "none" or not fields.has("sliding_window"):
            return [False] * n
        if rule == "all":
            return [True] * n
        if rule == "late":
            slides = bool(fields.values.get("use_sliding_window"))
            first = fields.count("max_window_layers", n, least=0) if slides else n
            return [index >= first for index in range(n)]
        pattern = fields.values.get("sliding_window_pattern")
        if isinstance(pattern, str) and pattern:  # EXAONE's "LLLG"
            period = len(pattern)
        else:
            period = fields.count("sliding_window_pattern", rule)
        return [(index + 1) % period != 0 for index in range(n)]

    def _window(self, kind: str) -> int | None:
        if kind != "sliding_attention":
            return None
        self.fields.require("sliding_window")
        return self.fields.count("sliding_window")

    def _contradiction(self, what: str, got: str) -> None:
        raise InputError(what, where=self.fields.where, got=got)
