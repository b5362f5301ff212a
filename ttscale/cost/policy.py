"""Attention policies by name: what a decode step attends to, and what finding it costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast, get_args

from ttscale.errors import InputError, closest

Kind = Literal["dense", "window", "topk", "block_topk", "quest"]
BLOCK = 32  # tokens in a block where the policy does not say: what the engine's KV cache uses here
OPTIONS = {
    "dense": set[str](),
    "window": {"sinks", "dense_layers"},
    "topk": {"search", "dense_layers"},
    "block_topk": {"block", "dense_layers"},
    "quest": {"block", "dense_layers"},
}


@dataclass(frozen=True)
class AttentionPolicy:
    """What a decode step attends to. Prefill is dense under every policy.

    Attributes
    ----------
    kind : `dense`; `window`, the last `budget` tokens and `sinks` more at the beginning; `topk`,
        `budget` chosen tokens; `block_topk`, blocks chosen by one representative key each; `quest`,
        blocks chosen by two bounds each.
    budget : tokens attended per layer; None for dense.
    sinks : tokens at the beginning that a window keeps besides.
    block : tokens in a block; 1 for `topk`.
    n_search_vectors : key-sized vectors read per block to choose: 1 for `block_topk`, 2 for
        `quest`, 0 for `topk` (an oracle, as in Kinetics) unless `search=1` asks for the scan of all
        keys that an exact choice takes.
    n_dense_layers : so many first layers stay dense.
    """

    kind: Kind = "dense"
    budget: int | None = None
    sinks: int = 0
    block: int = 1
    n_search_vectors: int = 0
    n_dense_layers: int = 0

    def __str__(self) -> str:
        """As `parse_policy` reads it, with what differs from the defaults."""
        if self.budget is None:
            return self.kind
        parts = [self.kind, str(self.budget)]
        if self.sinks:
            parts.append(f"sinks={self.sinks}")
        if self.kind in {"block_topk", "quest"} and self.block != BLOCK:
            parts.append(f"block={self.block}")
        if self.kind == "topk" and self.n_search_vectors:
            parts.append(f"search={self.n_search_vectors}")
        if self.n_dense_layers:
            parts.append(f"dense_layers={self.n_dense_layers}")
        return ":".join(parts)

    @property
    def limit(self) -> int | None:
        """The most tokens one step attends to in a sparse layer."""
        return None if self.budget is None else self.budget + self.sinks

    @property
    def shares_prefix(self) -> bool:
        """Whether siblings read the same of a common prefix, so that one read can serve all."""
        return self.kind in {"dense", "window"}


DENSE = AttentionPolicy()


@lru_cache(maxsize=1024)
def parse_policy(text: str, where: str = "attention") -> AttentionPolicy:
    """Read `dense`, `window:1024`, `window:1024:sinks=4`, `topk:512`, `block_topk:1024:block=64` ….

    Raises
    ------
    InputError : unknown name or option, a missing or bad budget, a budget of less than one block.
    """
    name, *rest = text.strip().split(":")
    hint = (
        "dense, window:1024, window:1024:sinks=4, topk:1024, block_topk:1024:block=64, quest:1024"
    )
    if name not in get_args(Kind):
        raise InputError(
            f"unknown attention policy {name!r}",
            where=where,
            got=text,
            hint=f"{closest(name, get_args(Kind))} For example {hint}",
        )
    kind = cast(Kind, name)
    if kind == "dense":
        if rest:
            raise InputError("dense attention takes no budget", where=where, got=text, hint="dense")
        return DENSE
    if not rest:
        raise InputError(f"{name} needs a budget in tokens", where=where, got=text, hint=hint)
    budget = _count(rest[0], text, where, least=1)
    options: dict[str, int] = {}
    for part in rest[1:]:
        key, equals, value = part.partition("=")
        if not equals or key not in OPTIONS[kind]:
            valid = ", ".join(f"{option}=" for option in sorted(OPTIONS[kind]))
            raise InputError(
                f"{name} has no option {part!r}", where=where, got=text, hint=f"one of {valid}"
            )
        options[key] = _count(value, text, where, least=1 if key == "block" else 0)
    block = options.get("block", BLOCK) if kind in {"block_topk", "quest"} else 1
    if budget < block:
        raise InputError(
            "the budget is below one block", where=where, got=text, hint=f"at least {block} tokens"
        )
    vectors = {"block_topk": 1, "quest": 2, "topk": options.get("search", 0)}.get(kind, 0)
    return AttentionPolicy(
        kind=kind,
        budget=budget,
        sinks=options.get("sinks", 0),
        block=block,
        n_search_vectors=vectors,
        n_dense_layers=options.get("dense_layers", 0),
    )


def _count(value: str, text: str, where: str, *, least: int) -> int:
    if not value.isascii() or not value.isdigit() or int(value) < least:
        raise InputError(
            f"{value!r} is not a whole number of at least {least}", where=where, got=text
        )
    return int(value)
