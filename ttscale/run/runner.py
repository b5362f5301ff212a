"""Run every arm on every problem, all in flight together, and write down what came of it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from ttscale.benchmark.item import Item
from ttscale.errors import TTScaleError
from ttscale.record.files import write_json
from ttscale.record.journal import NAME, Journal
from ttscale.record.ledger import Ledgers
from ttscale.run import folder as folders
from ttscale.run.books import Books
from ttscale.run.config import Experiment
from ttscale.run.display import Display
from ttscale.run.interrupt import Interrupt
from ttscale.run.judging import Judge
from ttscale.run.models import start_models
from ttscale.run.outputs import read_summary, write_outputs
from ttscale.run.pairs import all_pairs, work_through
from ttscale.run.prepare import prepare
from ttscale.run.settle import Desk
from ttscale.run.shards import PATIENCE_SECONDS, WORKERS, reclaim, refuse_living
from ttscale.run.summary import INEXACT, exact_tokens
from ttscale.run.sweep import Arm, arms
from ttscale.run.work import Outcome, Work
from ttscale.session import Session
from ttscale.trace import Problem


class Sheet(NamedTuple):
    """What is to be run, and where it is written."""

    experiment: Experiment
    arms: list[Arm]
    items: Sequence[Item]
    folder: FilePath
    fresh: bool
    interrupt: Interrupt


Way = Callable[[Sheet, Display], Coroutine[Any, Any, None]]
"""How a sheet is worked through: `here`, or on a cluster."""


def run(
    experiment: Experiment,
    results: FilePath,
    display: Display,
    *,
    fresh: bool,
    way: Way | None = None,
    interrupt: Interrupt | None = None,
) -> FilePath:
    """Run, or resume, an experiment; returns its folder.

    In the main thread Ctrl-C stops it in order; from another thread `interrupt.press` does.

    Raises InputError for what the user can mend, Interrupted after Ctrl-C, and TTScaleError when
    the run failed. In every case what was sampled is in the journal.
    """
    from ttscale.benchmark.source import load as load_items

    chosen = arms(experiment)
    items = load_items(experiment.config.benchmark, folder=experiment.folder)
    with folders.claim(experiment, results, fresh=fresh) as folder:
        if (before := read_summary(folder)) and before["complete"] and not before["n_failed"]:
            display.say(f"{folders.show(folder)} is complete (--fresh runs it anew)")
            return folder
        sheet = Sheet(experiment, chosen, items, folder, fresh, interrupt or Interrupt())
        asyncio.run(_listening(way or here, sheet, display))
        return folder


async def _listening(way: Way, sheet: Sheet, display: Display) -> None:
    sheet.interrupt.listen()
    await way(sheet, display)


async def here(sheet: Sheet, display: Display) -> None:
    """Work a sheet through in this process, with engines of its own."""
    experiment, chosen, items, folder, fresh, interrupt = sheet
    config = experiment.config
    async with AsyncExitStack() as stack:
        journal = stack.enter_context(open_journal(folder, display))
        judge = await stack.enter_async_context(Judge(config, journal))
        models = await start_models(stack, config, folder, display)
        say_inexact(models.provenance(), display)
        engine = models.policy
        borrow(journal, folder, engine.fingerprint, display, fresh=fresh)
        problems = prepare(experiment, engine, items, chosen, display)
        ledgers = Ledgers()
        session = Session(
            engine,
            journal,
            ledgers,
            judge,
            seed=config.seed,
            engines=models.engines,
            scorers=models.scorers,
        )
        work = Work(
            experiment,
            chosen,
            [problem.id for problem in problems],
            note_provenance(experiment, folder, models.provenance()),
            engine.simulated,
        )
        books = stack.enter_context(Books(folder, score_names(chosen)))
        desk = Desk(chosen, judge, ledgers, books.add)

        async def done(problem: Problem, outcome: Outcome) -> None:
            work.note(outcome)
            await desk.note(problem, outcome)
            display.done(work.n_failed)

        started = time.monotonic()
        display.begin(work.n_pairs, session, engine)
        try:
            with interrupt.ending(display, lambda: f"{len(work.outcomes)} of {work.n_pairs}"):
                await work_through(
                    all_pairs(chosen, problems),
                    experiment,
                    session,
                    done,
                    width=min(config.run.concurrency, work.n_pairs),
                )
        finally:
            display.end()
            journal.commit()
            work.seconds = time.monotonic() - started
            work.n_fresh_tokens = session.n_fresh_tokens
            work.step_ends = dict(session.step_ends)
            if work.outcomes:
                await desk.close(problems)
                write_outputs(work, books, folder)
    refuse_failure(work)


@contextmanager
def open_journal(folder: FilePath, display: Display) -> Iterator[Journal]:
    """A run's journal, what an earlier session's workers on a cluster left behind merged into it.

    Raises InputError when such a worker is still at work.
    """
    journal = Journal(folder / NAME)
    try:
        reclaim(journal, folder / WORKERS, PATIENCE_SECONDS)
        refuse_living(folder / WORKERS)
        if (n_calls := journal.n_calls()) > 0:
            display.say(f"resuming {folders.show(folder)}: {n_calls:,} samples are in its journal")
        yield journal
    finally:
        journal.close()


def refuse_failure(work: Work) -> None:
    """A run in which nothing went well is no run. Raises TTScaleError."""
    if work.n_failed == len(work.outcomes):
        first = next(iter(work.outcomes.values()))
        raise TTScaleError(f"every problem failed; the first with: {first.error}")


def score_names(chosen: Sequence[Arm]) -> list[str]:
    """The verifiers whose scores a run's samples may have."""
    return [arm.verifier_name for arm in chosen if arm.verifier_name is not None]


def note_provenance(
    experiment: Experiment, folder: FilePath, models: Mapping[str, Any]
) -> dict[str, Any]:
    """Write where a run's numbers come from into its folder, and return it."""
    provenance = {
        **_provenance(experiment),
        "folder": os.path.relpath(experiment.folder, folder),
        **models,
    }
    write_json(provenance, folder / "provenance.json")
    return provenance


def say_inexact(provenance: Mapping[str, Any], display: Display) -> None:
    """Say so where token ids are not those that the models wrote."""
    if not exact_tokens(provenance):
        display.say(f"warning: {INEXACT}")


def borrow(
    journal: Journal, folder: FilePath, fingerprint: str, display: Display, *, fresh: bool
) -> bool:
    """Let the journal read samples of the runs beside it, unless the run was begun fresh.

    Returns whether there are any.
    """
    alone = journal.read_fact(b"alone")
    if alone is None:
        alone = b"1" if fresh else b"0"
        journal.write_fact(b"alone", alone)
        journal.commit()
    if alone == b"0" and (runs := folders.siblings(folder, fingerprint)):
        journal.borrow_from(runs)
        names = ", ".join(run.name for run in runs)
        display.say(f"samples that {names} has are not asked for again (--fresh samples anew)")
        return True
    return False


def _provenance(experiment: Experiment) -> dict[str, Any]:
    """What can change a result, apart from the engine."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version()}
    for package in ("ttscale", "numpy", "math-verify", "sympy", "reasoning-gym", "datasets"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "config_hash": experiment.hash,
        "seed": experiment.config.seed,
        "software": versions,
        "platform": platform.platform(),
        "command": " ".join(["ttscale", *sys.argv[1:]]),
    }
