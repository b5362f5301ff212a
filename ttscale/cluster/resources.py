"""Finding a cluster, and saying what is missing of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from ttscale.errors import InputError
from ttscale.run.config import RayConfig
from ttscale.run.display import Display

AUTO = "auto"
"""The address that means: the cluster this machine belongs to, or one made of this machine."""


def import_ray() -> ModuleType:
    """Ray, or an InputError that says how to get it."""
    try:
        import ray
    except ImportError as error:
        raise InputError(
            "a run on a cluster needs Ray, which is not installed",
            where="--ray",
            hint="pip install 'ttscale[ray]', the same version as on the cluster",
        ) from error
    found: ModuleType = ray
    return found


@contextmanager
def connected(address: str, config: RayConfig, display: Display) -> Iterator[ModuleType]:
    """Ray, connected to a cluster until the block ends; a cluster that was made for it ends too.

    Raises InputError where there is no cluster, or one too small that will not grow.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    if address.startswith("ray://"):
        raise InputError(
            "the driver runs on a node of the cluster: the run's journal is there",
            where="--ray",
            got=address,
            hint="`ray job submit -- ttscale run CONFIG --ray auto`, or log in to a node",
        )
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        ray.init(address=address, **quiet)
    except ConnectionError as error:
        if address != AUTO:
            raise InputError(
                "there is no Ray cluster at this address",
                where="--ray",
                got=address,
                hint="HOST:PORT of the head node, as `ray start --head` prints it; "
                "--ray alone for this machine",
            ) from error
        display.say("no Ray cluster is running here: starting one on this machine")
        ray.init(address="local", include_dashboard=False, **quiet)
        try:
            _refuse_small(ray, config)
        except InputError:
            ray.shutdown()
            raise
    try:
        yield ray
    finally:
        ray.shutdown()


def demand(config: RayConfig) -> dict[str, float]:
    """What one worker needs, by the names that Ray has for it; without zeros."""
    wanted = {"CPU": config.cpus, "GPU": config.gpus, **config.resources}
    return {name: amount for name, amount in wanted.items() if amount}


def no_room(ray: ModuleType, config: RayConfig) -> InputError:
    """The message for a cluster that has no room for a worker."""
    there = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    names = [*dict.fromkeys(["CPU", "GPU", *config.resources])]
    free = ray.available_resources()
    nodes = "; ".join(_amounts({name: node.get(name, 0) for name in names}) for node in there)
    return InputError(
        "the cluster has no room for a worker",
        where="run.ray",
        got=f"{_amounts(demand(config)) or 'nothing'} asked for each of {config.workers} workers; "
        f"its nodes have {nodes or 'nothing'}; "
        f"free now: {_amounts({name: free.get(name, 0) for name in names})}",
        hint="--set run.ray.cpus=0.5, run.ray.gpus or run.ray.workers; or a larger cluster",
    )


def _refuse_small(ray: ModuleType, config: RayConfig) -> None:
    """A cluster made here does not grow."""
    wanted, there = demand(config), ray.cluster_resources()
    if any(there.get(name, 0) < amount * config.workers for name, amount in wanted.items()):
        raise no_room(ray, config)


def _amounts(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in resources.items())
