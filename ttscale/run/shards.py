"""Where workers keep their journals, and what becomes of those that a lost worker leaves."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path as FilePath

from filelock import FileLock, Timeout

from ttscale.errors import InputError
from ttscale.record.journal import NAME, Journal
from ttscale.run.folder import show

WORKERS = "workers"
"""The folder in a run's folder where each worker has one of its own, if it sees it."""

LOCK = ".lock"
PATIENCE_SECONDS = 30.0
"""How long the worker of an ended session has to go away."""


def mark(folder: FilePath, token: str) -> None:
    """Leave a sign in the run's folder by which workers know that they see the same one."""
    place = folder / WORKERS
    place.mkdir(exist_ok=True)
    for old in place.glob(".run-*"):
        old.unlink()
    (place / f".run-{token}").touch()


def place_of(folder: FilePath, token: str) -> FilePath:
    """Where this node's workers keep their journals: in the run's folder, or a temporary one."""
    if (folder / WORKERS / f".run-{token}").exists():
        return folder / WORKERS
    place = FilePath(tempfile.gettempdir()) / f"ttscale-{token}"
    place.mkdir(exist_ok=True)
    return place


def open_shard(place: FilePath, number: int) -> tuple[FilePath, FileLock]:
    """Make a worker's folder, and hold it as long as the process lives."""
    folder = place / f"{number}-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / LOCK)
    lock.acquire(timeout=PATIENCE_SECONDS)
    return folder, lock


@contextmanager
def abandoned(place: FilePath, seconds: float) -> Iterator[list[FilePath]]:
    """Folders whose worker is gone and left a journal, held until the block ends.

    `seconds` is how long each worker has to go; folders of those that stay are left out.
    """
    with ExitStack() as stack:
        found = []
        for folder in sorted(path.parent for path in place.glob(f"*/{NAME}")):
            try:
                stack.enter_context(FileLock(folder / LOCK).acquire(timeout=seconds))
            except Timeout:
                continue
            if (folder / NAME).exists():  # nobody took it over meanwhile
                found.append(folder)
        yield found


def reclaim(journal: Journal, place: FilePath, seconds: float = 0.0) -> int:
    """Merge into the driver's journal what lost workers left; how many calls were new.

    `seconds` is how long each worker has to go, if it is still there.
    """
    n_new = 0
    with abandoned(place, seconds) as folders:
        for folder in folders:
            n_new += journal.merge(folder / NAME)
            discard(folder)
    return n_new


def refuse_living(place: FilePath) -> None:
    """What a worker of an earlier session still holds would be paid for again. InputError."""
    for path in place.glob(f"*/{NAME}"):
        raise InputError(
            "a worker of an earlier session is still at work",
            where=show(path.parent),
            hint="wait until Ray has ended it, or end it",
        )


def discard(folder: FilePath) -> None:
    """Delete a worker's journal, all of which is upstream; its logs stay."""
    for path in folder.glob(f"{NAME}*"):
        path.unlink()
    if all(path.name == LOCK for path in folder.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)
