"""Finding a cluster, and saying what is missing of it."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from ttscale.errors import InputError, TTScaleError, shorten
from ttscale.run.config import RayConfig
from ttscale.run.display import Display

AUTO = "auto"
"""The address that means: the cluster this machine belongs to, or one made of this machine."""

CONNECT_SECONDS = 10.0
"""How long a cluster's address has to answer."""


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
    _refuse_silence(address)
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        ray.init(address=address, **quiet)
    except ConnectionError as error:
        if address != AUTO:
            raise _no_cluster(address) from error
        display.say("no Ray cluster is running here: starting one on this machine")
        _start_here(ray, quiet)
        try:
            _refuse_small(ray, config)
        except InputError:
            ray.shutdown()
            raise
    try:
        yield ray
    finally:
        ray.shutdown()


def _start_here(ray: ModuleType, options: Mapping[str, Any]) -> None:
    """Make a cluster of this machine. Raises TTScaleError where Ray's processes do not come up."""
    try:
        ray.init(address="local", include_dashboard=False, **options)
    except Exception as error:  # Ray raises nothing narrower when its own processes are too slow
        ray.shutdown()
        raise TTScaleError(
            f"Ray could not be started on this machine\n  got:   {shorten(str(error))}\n"
            "  try:   again when less runs here, or `ray start --head` first"
        ) from error


def _refuse_silence(address: str) -> None:
    """Nobody listens: said at once, where Ray would try for minutes. Raises InputError."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise _no_cluster(address) from error


def _no_cluster(address: str) -> InputError:
    return InputError(
        "there is no Ray cluster at this address",
        where="--ray",
        got=address,
        hint="HOST:PORT of the head node, as `ray start --head` prints it; "
        "--ray alone for this machine",
    )


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
