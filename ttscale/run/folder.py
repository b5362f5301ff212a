"""A run's folder: made, locked, and checked against the configuration it belongs to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path as FilePath

import yaml
from filelock import FileLock, Timeout

from ttscale.errors import InputError, TTScaleError
from ttscale.record.files import replacing
from ttscale.record.journal import NAME, readable
from ttscale.run.config import Experiment, differences, dump

MAX_SIBLINGS = 8
"""How many other runs' journals are looked into, the latest first."""


@contextmanager
def claim(experiment: Experiment, results: FilePath, *, fresh: bool) -> Iterator[FilePath]:
    """The folder of a run, held by this process until the block ends.

    A folder of the same configuration is resumed; `fresh` moves it aside first, under the name with
    the next free number.

    Raises InputError when another process holds it or when it belongs to another configuration.
    """
    folder = results / experiment.config.name
    try:
        results.mkdir(parents=True, exist_ok=True)
        lock = FileLock(results / f".{folder.name}.lock")
    except OSError as error:
        raise TTScaleError(
            f"the results folder cannot be made: {error.strerror}\n  where: {results}"
        ) from error
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(
            "another process is running this experiment",
            where=str(folder),
            hint="wait for it, or choose another folder with --results",
        ) from error
    try:
        if fresh and folder.exists():
            folder.rename(_free_name(folder))
        folder.mkdir(exist_ok=True)
        _settle_config(experiment, folder)
        yield folder
    finally:
        lock.release()


def siblings(folder: FilePath, fingerprint: str) -> list[FilePath]:
    """Other runs of the same model beside this one, the latest first."""
    runs = [path.parent for path in folder.parent.glob(f"*/{NAME}") if path.parent != folder]
    runs.sort(key=lambda run: (run / NAME).stat().st_mtime, reverse=True)
    return [run for run in runs if _is_of(run, fingerprint) and readable(run / NAME)][:MAX_SIBLINGS]


def _is_of(run: FilePath, fingerprint: str) -> bool:
    """Whether a run's provenance names this model."""
    try:
        provenance = json.loads((run / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(provenance.get("fingerprint") == fingerprint)


def _settle_config(experiment: Experiment, folder: FilePath) -> None:
    """Write the resolved configuration, or check that the one there is the same."""
    path = folder / "config.yaml"
    if not path.exists():
        with replacing(path) as temporary:
            temporary.write_text(dump(experiment), encoding="utf-8")
        return
    try:
        old = yaml.safe_load(path.read_text(encoding="utf-8"))
        old_hash = old.pop("hash")
    except (yaml.YAMLError, AttributeError, KeyError, OSError) as error:
        raise InputError(
            "the run folder's config.yaml cannot be read",
            where=str(path),
            hint="start anew with --fresh, which keeps this folder under another name",
        ) from error
    if old_hash != experiment.hash:
        new = yaml.safe_load(dump(experiment))
        changed = [key for key in differences(old, new) if not key.startswith(("hash", "run."))]
        raise InputError(
            "this run folder belongs to another configuration",
            where=str(folder),
            got=f"hash {old_hash} there, {experiment.hash} here; differing: {', '.join(changed)}",
            hint="give the experiment another `name:`, use another --results folder, "
            "or start anew with --fresh, which keeps this folder under another name",
        )


def _free_name(folder: FilePath) -> FilePath:
    taken = {path.name for path in folder.parent.iterdir()}
    number = next(i for i in range(1, len(taken) + 2) if f"{folder.name}.{i}" not in taken)
    return folder.with_name(f"{folder.name}.{number}")


def show(path: FilePath) -> str:
    """A path as a user would type it: relative when that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
