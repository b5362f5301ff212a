"""A Hugging Face config's fields, read with a check and a message for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ttscale.cost.families import Flag
from ttscale.errors import InputError

ALIASES = {
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_inner": "intermediate_size",
    "n_positions": "max_position_embeddings",
    "num_local_experts": "n_experts",
    "num_experts": "n_experts",
    "n_routed_experts": "n_experts",
    "num_experts_per_token": "num_experts_per_tok",
    "_sliding_window_pattern": "sliding_window_pattern",
}
REQUIRED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
BY_HAND = (
    "model_type: generic with hidden_size, num_hidden_layers, num_attention_heads, vocab_size, "
    "intermediate_size; where they apply num_key_value_heads, head_dim, tie_word_embeddings, "
    "attention_bias, mlp_bias, sliding_window, layer_types, num_experts with num_experts_per_tok "
    "and moe_intermediate_size, kv_lora_rank with q_lora_rank, qk_nope_head_dim, qk_rope_head_dim "
    "and v_head_dim"
)


class Fields:
    """The fields of one config under their canonical names.

    Parameters
    ----------
    config : the contents of a `config.json`.
    where : its path or name, for messages.
    """

    def __init__(self, config: Mapping[str, Any], where: str) -> None:
        self.where = where
        self.values: dict[str, Any] = {}
        for key, value in config.items():
            name = ALIASES.get(key, key)
            if value is not None or name not in self.values:
                self.values[name] = value

    def require(self, *keys: str) -> None:
        """Raise one message naming every field that is missing."""
        missing = [key for key in keys if self.values.get(key) is None]
        if missing:
            raise InputError(
                f"the config lacks {', '.join(missing)}",
                where=self.where,
                hint="add the missing fields; heads, sizes and layers cannot be guessed",
            )

    def has(self, key: str) -> bool:
        """Whether the field is there and not null."""
        return self.values.get(key) is not None

    def count(self, key: str, default: int | None = None, *, least: int = 1) -> int:
        """A whole number of at least `least`; `default` where the field is absent or null."""
        value = self.values.get(key)
        if value is None:
            if default is None:
                self.require(key)
            value = default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(
                f"{key} must be a whole number of at least {least}",
                where=f"{self.where}: {key}",
                got=value,
            )
        return value

    def flag(self, flag: Flag) -> bool:
        """A yes-or-no field."""
        value = self.values.get(flag.key) if flag.key else None
        if value is None:
            return flag.default
        if not isinstance(value, bool | int):
            raise InputError(
                f"{flag.key} must be true or false", where=f"{self.where}: {flag.key}", got=value
            )
        return bool(value)

    def per_layer(self, key: str, n_layers: int) -> list[str] | None:
        """A list with one name for each layer, None where the field is absent."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != n_layers:
            raise InputError(
                f"{key} must have one entry for each of the {n_layers} layers",
                where=f"{self.where}: {key}",
                got=value,
            )
        return [str(entry) for entry in value]
