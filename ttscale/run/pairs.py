"""Working through pairs of a strategy and a problem: what every run does, here or on a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import NamedTuple

from ttscale.engine.protocol import EngineDied
from ttscale.errors import TTScaleError
from ttscale.run.attempt import attempt
from ttscale.run.config import Experiment
from ttscale.run.sweep import Arm
from ttscale.run.work import Outcome
from ttscale.session import Session
from ttscale.trace import Problem


class Pair(NamedTuple):
    """One strategy, as configured, and the problem it is to meet."""

    arm: Arm
    problem: Problem


Done = Callable[[Problem, Outcome], Awaitable[None]]
"""Told what one arm made of one problem."""


def all_pairs(arms: Iterable[Arm], problems: Iterable[Problem]) -> Iterator[Pair]:
    """Every arm on every problem, problem by problem.

    The arms of a problem come together, while the engine's cache holds its prompt, and a problem
    that all have met need not be kept in memory.
    """
    chosen = tuple(arms)
    return (Pair(arm, problem) for problem in problems for arm in chosen)


async def work_through(
    pairs: Iterable[Pair], experiment: Experiment, session: Session, done: Done, *, width: int
) -> None:
    """Attempt all pairs, `width` of them in flight; each outcome goes to `done`.

    A strategy's own failure is an outcome. Raises TTScaleError when the engine died or the journal
    could not be written; what was sampled until then is in the journal.
    """
    feed = iter(pairs)

    async def worker() -> None:
        for arm, problem in feed:
            await done(problem, await attempt(session, experiment, arm, problem))

    workers = [asyncio.create_task(worker()) for _ in range(width)]
    try:
        await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in workers:
            task.cancel()
        ends = await asyncio.gather(*workers, return_exceptions=True)
    for error in ends:
        if isinstance(error, EngineDied):
            raise TTScaleError(
                f"the engine died: {error}\n"
                "  try:   see engine.log in the run folder; the same command goes on from here"
            ) from error
        if isinstance(error, Exception):
            raise error
