"""Problems from reasoning-gym's generators, and its generators for the grading worker."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import fields
from types import ModuleType
from typing import Any, Literal

from ttscale.benchmark.item import Item
from ttscale.errors import InputError, closest

DEFAULT_SIZE = 500
"""How many problems reasoning-gym's own datasets have."""

DECIMAL_TASKS = frozenset({"chain_sum", "products"})
"""Tasks whose scorer compares decimal numbers, so that none is needed to grade them."""

Scoring = Literal["string", "decimal", "own"]

_REFUSALS = (AssertionError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


def generate(task: str, params: Mapping[str, Any], seed: int, n: int) -> list[Item]:
    """The first `n` problems with different questions that a generator makes.

    Raises
    ------
    InputError : no such task, parameters it refuses, or fewer than `n` different questions among
        10 n + 100.
    """
    n_tries = 10 * n + 100
    dataset = generator(task, params, seed, n_tries)
    scoring = _scoring(task, dataset)
    found: dict[str, Item] = {}
    for index in range(n_tries):
        try:
            entry = dataset[index]
        except _REFUSALS as error:
            raise _refused(task, params, error) from error
        question = entry["question"]
        if question in found:
            continue
        answer = entry["answer"]
        metadata = {"task": task, "scoring": scoring, "entry": entry}
        reference = None if answer is None else str(answer)
        found[question] = Item(f"{task}-seed{seed}-{index}", question, reference, metadata)
        if len(found) == n:
            return list(found.values())
    raise InputError(
        f"The generator {task} made only {len(found)} different problems in {n_tries} tries.",
        where="benchmark.size",
        got=n,
        hint=f"size plus offset of at most {len(found)}, or parameters with more variety",
    )


def generator(task: str, params: Mapping[str, Any], seed: int, size: int) -> Any:
    """A `ProceduralDataset` of reasoning-gym.

    Raises
    ------
    InputError : reasoning-gym is not installed, has no such task, or refuses the parameters.
    """
    factory = _import_factory()
    if task not in factory.DATASETS:
        raise InputError(
            "reasoning-gym has no such task.",
            where="benchmark.reasoning_gym.task",
            got=task,
            hint=closest(task, factory.DATASETS),
        )
    params = dict(params)
    valid = {field.name for field in fields(factory.DATASETS[task][1])} - {"seed", "size"}
    if unknown := sorted(set(params) - valid):
        raise InputError(
            f"The task {task} has no such parameter.",
            where="benchmark.reasoning_gym.params",
            got=unknown[0],
            hint="seed and size stand beside reasoning_gym, not in it"
            if unknown[0] in ("seed", "size")
            else closest(unknown[0], valid),
        )
    try:
        if task == "composite":
            spec = importlib.import_module("reasoning_gym.composite").DatasetSpec
            parts = params.get("datasets", ())
            params["datasets"] = [spec(**{"config": {}, **part}) for part in parts]
        return factory.create_dataset(task, seed=seed, size=size, **params)
    except _REFUSALS as error:
        raise _refused(task, params, error) from error


def _refused(task: str, params: Mapping[str, Any], error: Exception) -> InputError:
    return InputError(
        f"The task {task} refuses its parameters: {error}",
        where="benchmark.reasoning_gym.params",
        got=dict(params),
    )


def _scoring(task: str, dataset: Any) -> Scoring:
    """What makes an answer right: the reference's string, its value, or a scorer's judgement."""
    if task in DECIMAL_TASKS:
        return "decimal"
    plain = importlib.import_module("reasoning_gym.dataset").ProceduralDataset.score_answer
    return "string" if type(dataset).score_answer is plain else "own"


def _import_factory() -> ModuleType:
    """`reasoning_gym.factory`, without pycosat where that could not be built."""
    try:
        importlib.import_module("pycosat")
    except ImportError:
        sys.modules["pycosat"] = NoSatSolver("pycosat")
    try:
        return importlib.import_module("reasoning_gym.factory")
    except ImportError as error:
        raise InputError(
            f"reasoning-gym cannot be imported: {error}",
            where="benchmark.reasoning_gym",
            hint="pip install 'ttscale[reasoning]'",
        ) from error


class NoSatSolver(ModuleType):
    """Stands in for pycosat, which needs a C compiler and which only zebra_puzzles uses."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise InputError(
            "zebra_puzzles needs pycosat, which is not installed.",
            where="benchmark.reasoning_gym.task",
            hint="pip install pycosat (needs a C compiler), or another task",
        )
