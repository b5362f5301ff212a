"""Arms: the strategies of an experiment, with every list in a field spread out into a sweep."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from pydantic import ValidationError

from ttscale import registry
from ttscale.engine.protocol import Sampling
from ttscale.errors import InputError, closest
from ttscale.run.attention import policy_name
from ttscale.run.config import Experiment, SamplingConfig
from ttscale.strategy import Strategy, Verifier

RESERVED = ("name", "label", "verifier", "sampling", "attention")
"""Keys of a strategy's entry that are not the strategy's own fields."""


class Arm(NamedTuple):
    """One configured strategy, as it will be run.

    Attributes
    ----------
    label : unique in the run; the name in tables and in the ledger.
    strategy, verifier : the plug-ins.
    verifier_name : with what was set, for the pool's column: `prm(aggregate=min)`; None without.
    sampling : the experiment's parameters with this entry's changes.
    """

    label: str
    strategy: Strategy
    verifier: Verifier | None
    verifier_name: str | None
    sampling: Sampling

    @property
    def oracle(self) -> bool:
        """Whether the verifier looks at the reference answer."""
        return self.verifier is not None and self.verifier.oracle


def arms(experiment: Experiment) -> list[Arm]:
    """All arms of an experiment, in the order of the configuration.

    Raises InputError for what does not fit, naming the entry.
    """
    found = []
    for index, entry in enumerate(experiment.config.strategies):
        where = f"{experiment.source}: strategies[{index}]"
        for choice in _spread(entry, where, experiment.folder):
            found.append(_arm(choice, where, experiment))
    labels = [arm.label for arm in found]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(
                "two strategies have the same label",
                where=f"{experiment.source}: strategies",
                got=label,
                hint="drop one, or give one a `label:` of its own",
            )
    return found


def _spread(entry: Mapping[str, Any], where: str, folder: FilePath) -> Sequence[dict[str, Any]]:
    """Every combination of the values that are lists."""
    swept: dict[str, list[Any]] = {}
    for key, value in entry.items():
        if not isinstance(value, list) or key in {"name", "label"}:
            continue
        takes_list = key not in RESERVED and registry.holds_sequence(
            "strategies", entry["name"], key, folder
        )
        if takes_list and not (value and all(isinstance(item, list) for item in value)):
            continue
        if not value:
            raise InputError("a sweep needs at least one value", where=f"{where}.{key}", got=value)
        swept[key] = value
    for section in ("sampling", "attention"):  # mappings, in which lists are swept as well
        if isinstance(mapping := entry.get(section), Mapping):
            lists = {k: v for k, v in mapping.items() if isinstance(v, list) and k != "stop"}
            for key in (key for key, values in lists.items() if not values):
                raise InputError(
                    "a sweep needs at least one value", where=f"{where}.{section}.{key}", got=[]
                )
            if lists:
                swept[section] = [
                    {**mapping, **dict(zip(lists, values, strict=True))}
                    for values in itertools.product(*lists.values())
                ]
    combinations = []
    for values in itertools.product(*swept.values()):
        combinations.append({**entry, **dict(zip(swept, values, strict=True))})
    return combinations


def _arm(entry: Mapping[str, Any], where: str, experiment: Experiment) -> Arm:
    name, folder = entry["name"], experiment.folder
    fields = {key: value for key, value in entry.items() if key not in RESERVED}
    strategy = registry.build("strategies", name, fields, where=where, folder=folder)
    verifier_name, verifier = None, None
    if entry.get("verifier") is not None:
        verifier_name, verifier = build_verifier(entry["verifier"], f"{where}.verifier", folder)
    elif strategy.needs_verifier:
        raise InputError(
            f"{name} needs a verifier",
            where=where,
            hint=f"add `verifier:` with one of {', '.join(registry.names('verifiers'))}",
        )
    changes = entry.get("sampling") or {}
    attention = experiment.config.attention
    if entry.get("attention") is not None:
        attention = policy_name(entry["attention"], f"{where}.attention")
    sampling = replace(_sampling(changes, where, experiment), attention=attention)
    return Arm(_label(entry, changes), strategy, verifier, verifier_name, sampling)


class NamedVerifier(NamedTuple):
    """A verifier, and its name with what was set, for the pool's column."""

    name: str
    verifier: Verifier


def build_verifier(given: Any, where: str, folder: FilePath) -> NamedVerifier:
    """A verifier from its name, or from a mapping with a `name` and its fields."""
    spec = {"name": given} if isinstance(given, str) else dict(given)
    name = spec.pop("name", None)
    if not isinstance(name, str):
        raise InputError("a verifier needs a name", where=where, got=spec)
    verifier = registry.build("verifiers", name, spec, where=where, folder=folder)
    return NamedVerifier(shorthand(given), verifier)


def _sampling(changes: Any, where: str, experiment: Experiment) -> Sampling:
    config = experiment.config
    if not isinstance(changes, Mapping):
        raise InputError("sampling is a mapping", where=f"{where}.sampling", got=changes)
    valid = SamplingConfig.model_fields
    for key in changes:
        if key not in valid:
            raise InputError(
                "unknown key", where=f"{where}.sampling.{key}", hint=closest(key, valid)
            )
    try:
        merged = SamplingConfig.model_validate({**config.sampling.model_dump(), **changes})
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise InputError(
            problem["msg"], where=f"{where}.sampling.{key}", got=problem["input"]
        ) from error
    return merged.sampling(config.benchmark.prompt.stop)


def _label(entry: Mapping[str, Any], sampling: Mapping[str, Any]) -> str:
    """The given label, or the name with what was set: `best_of_n(n=16, mean_logprob)`."""
    if entry.get("label"):
        return str(entry["label"])
    parts = [f"{key}={shorthand(value)}" for key, value in entry.items() if key not in RESERVED]
    if entry.get("verifier"):
        parts.append(shorthand(entry["verifier"]))
    parts += [f"{key}={shorthand(value)}" for key, value in sampling.items()]
    if entry.get("attention"):
        parts.append(policy_name(entry["attention"], "attention"))
    return f"{entry['name']}({', '.join(parts)})" if parts else str(entry["name"])


def shorthand(value: Any) -> str:
    """A field's value or a plug-in as labels name it: `prm(aggregate=min)`."""
    if isinstance(value, Mapping):
        inner = dict(value)
        name = inner.pop("name", "")
        rest = ", ".join(f"{key}={shorthand(item)}" for key, item in inner.items())
        return f"{name}({rest})" if rest else str(name)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shorthand, value))}]"
    return str(value)
