"""The attention policy of an experiment or of one of its strategies, as configurations give it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from ttscale.cost.policy import BLOCK, OPTIONS, Kind, parse_policy
from ttscale.engine.protocol import AttendsSparsely, Engine
from ttscale.errors import InputError, closest

if TYPE_CHECKING:
    from ttscale.run.sweep import Arm


def policy_name(given: Any, where: str) -> str:
    """A policy as `Sampling.attention` names it, alike for all ways of writing it.

    Parameters
    ----------
    given : `block_topk:1024`, or a mapping with `policy`, `budget` and the policy's options. A
        mapping's window has one block of sinks unless it says otherwise.
    where : file and key, for complaints.

    Raises InputError; a budget of blocks is a multiple of the block.
    """
    policy = parse_policy(_text(given, where), where)
    for name, tokens in (("budget", policy.budget), ("sinks", policy.sinks)):
        block = BLOCK if policy.kind == "window" else policy.block
        if tokens is not None and tokens % block:
            raise InputError(
                f"a {name} of {tokens} is no multiple of the block of {block} tokens",
                where=where,
                got=given,
                hint=f"{name}: {max(1, tokens // block) * block}",
            )
    if policy.kind == "topk":
        policy = replace(policy, n_search_vectors=1)  # what the engine does, so what is priced
    return str(policy)


def _text(given: Any, where: str) -> str:
    """A policy in the grammar of `parse_policy`."""
    if isinstance(given, str):
        return given
    if not isinstance(given, Mapping):
        raise InputError(
            "attention is a policy's name or a mapping",
            where=where,
            got=given,
            hint="dense, block_topk:1024, or {policy: block_topk, budget: 1024}",
        )
    options = dict(given)
    kind = options.pop("policy", None)
    kinds = get_args(Kind)
    if kind not in kinds:
        raise InputError(
            "unknown attention policy" if kind else "attention needs a policy",
            where=f"{where}.policy",
            got=kind if kind else given,
            hint=f"{closest(str(kind), kinds) if kind else ''} one of {', '.join(kinds)}".strip(),
        )
    valid = ["policy", "budget", *sorted(OPTIONS[kind] - {"search"})]
    for key, value in options.items():
        if key not in valid:
            raise InputError(
                "unknown key",
                where=f"{where}.{key}",
                got=value,
                hint=f"{closest(key, valid)} Valid for {kind}: {', '.join(valid)}",
            )
    if kind == "window":
        options.setdefault("sinks", BLOCK)
    budget = options.pop("budget", None)
    head = [kind] if budget is None else [kind, str(budget)]
    return ":".join([*head, *(f"{key}={value}" for key, value in options.items())])


def check_attention(engine: Engine, arms: Sequence[Arm], source: str) -> None:
    """Raise InputError if a started engine cannot attend as an arm wants it."""
    for arm in arms:
        policy, where = arm.sampling.attention, f"{source}: strategy {arm.label}: attention"
        if isinstance(engine, AttendsSparsely):
            engine.check_attention(policy, where)
        elif policy != "dense":
            raise InputError(
                "this engine has no attention policies: they act inside vLLM",
                where=where,
                got=f"{policy}, on {engine.model}",
                hint="attention: dense, or a model on `engine: vllm`",
            )
