"""`ttscale run --ray`: one run, its problems spread over the workers of a cluster."""

from __future__ import annotations

import secrets
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path as FilePath

from ttscale.cluster.crew import Crew, Hooks
from ttscale.cluster.resources import connected
from ttscale.cluster.worker import About
from ttscale.record.journal import Journal
from ttscale.run.books import Books
from ttscale.run.config import Experiment
from ttscale.run.display import Display
from ttscale.run.outputs import write_outputs
from ttscale.run.runner import (
    Sheet,
    borrow,
    note_provenance,
    open_journal,
    refuse_failure,
    run,
    say_inexact,
    score_names,
)
from ttscale.run.settle import Settled
from ttscale.run.shards import PATIENCE_SECONDS, WORKERS, mark, reclaim
from ttscale.run.work import Work


def run_on_ray(
    experiment: Experiment, results: FilePath, display: Display, *, fresh: bool, address: str
) -> FilePath:
    """As `ttscale.run.runner.run`, on a Ray cluster.

    Parameters
    ----------
    address : of the cluster, as Ray has it; `auto` for the one this machine belongs to, or one made
        of this machine.
    """
    return run(experiment, results, display, fresh=fresh, way=partial(_drive, address))


async def _drive(address: str, sheet: Sheet, display: Display) -> None:
    """Work a sheet through with a crew of workers."""
    experiment, chosen, items, folder, fresh, interrupt = sheet
    work = Work(experiment, chosen, [item.id for item in items], {}, simulated=False)
    with ExitStack() as stack:
        journal = stack.enter_context(open_journal(folder, display))
        token = _token(journal)
        mark(folder, token)
        books = stack.enter_context(Books(folder, score_names(chosen)))
        ray = stack.enter_context(connected(address, experiment.config.run.ray, display))

        started: float | None = None

        def joined(about: About) -> bool:
            nonlocal started
            started = time.monotonic()
            work.provenance = note_provenance(experiment, folder, about.provenance)
            say_inexact(work.provenance, display)
            work.simulated = about.simulated
            borrowing = borrow(journal, folder, about.fingerprint, display, fresh=fresh)
            display.begin(work.n_pairs, crew, crew)
            return borrowing or journal.n_calls() > 0

        def settled(one: Settled) -> None:
            books.add(one)
            for outcome in one.outcomes:
                work.note(outcome)
                display.done(work.n_failed)

        hooks = Hooks(joined, settled, lambda: reclaim(journal, folder / WORKERS))
        crew = Crew(ray, sheet, token, journal, display, hooks)
        display.say(f"asking the cluster for {experiment.config.run.ray.workers} workers …")
        try:
            with interrupt.ending(display, lambda: f"{len(work.outcomes)} of {work.n_pairs}"):
                await crew.work_through()
        finally:
            display.end()
            reclaim(journal, folder / WORKERS, PATIENCE_SECONDS)
            work.seconds = 0.0 if started is None else time.monotonic() - started
            work.n_fresh_tokens = crew.n_fresh_tokens
            work.step_ends = crew.step_ends
            if work.outcomes:
                write_outputs(work, books, folder)
    refuse_failure(work)


def _token(journal: Journal) -> str:
    """A name of this run that no other has, made once."""
    if (kept := journal.read_fact(b"token")) is None:
        kept = secrets.token_hex(8).encode()
        journal.write_fact(b"token", kept)
        journal.commit()
    return kept.decode()
