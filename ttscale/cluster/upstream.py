"""A worker's way to the driver's journal.

Ray's workers are called by the driver and cannot call it: what flows to the driver waits here
until it is fetched, and so do questions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ttscale.record.rows import Rows, Span
from ttscale.trace import Finish

NOTHING = Rows([], [])
ROWS_AT_ONCE = 4_000
"""Rows that one parcel holds, about."""


class Question(NamedTuple):
    """What a worker wants to know of the driver's journal."""

    number: int
    spans: tuple[Span, ...]
    facts: tuple[bytes, ...]


class Parcel(NamedTuple):
    """What the driver fetches from a worker.

    Attributes
    ----------
    number : of the last commit in it; fetching the next parcel with it says that this one is kept.
    commits : rows in the order of commits.
    questions : to be answered with `Upstream.answer`.
    n_fresh_tokens, running, waiting, step_ends : the worker's gauges.
    """

    number: int
    commits: list[Rows]
    questions: list[Question]
    n_fresh_tokens: int = 0
    running: int = 0
    waiting: int = 0
    step_ends: Mapping[Finish, int] = Counter()


EMPTY = Parcel(0, [], [])


class Upstream:
    """Implements `ttscale.record.rows.Upstream`, used from one event loop."""

    def __init__(self) -> None:
        self.asks = False
        """Whether the driver's journal may know something that this worker's does not."""
        self._n_committed = self._n_delivered = 0
        self._commits: deque[Rows] = deque()
        self._questions: list[Question] = []
        self._n_questions = 0
        self._answers: dict[int, asyncio.Future[Rows]] = {}
        self._news = asyncio.Event()
        self._delivery = asyncio.Condition()

    def committed(self, rows: Rows) -> None:
        """Take what was committed, for the next parcel."""
        if rows.calls or rows.facts:
            self._n_committed += 1
            self._commits.append(rows)
            self._news.set()

    async def lookup(self, spans: Sequence[Span], facts: Sequence[bytes]) -> Rows:
        """Ask the driver, if it can know anything."""
        if not self.asks:
            return NOTHING
        number = self._n_questions
        self._n_questions += 1
        self._answers[number] = asyncio.get_running_loop().create_future()
        self._questions.append(Question(number, tuple(spans), tuple(facts)))
        self._news.set()
        return await self._answers[number]

    def answer(self, answers: Mapping[int, Rows]) -> None:
        """What the driver knows, by the question's number."""
        for number, rows in answers.items():
            self._answers.pop(number).set_result(rows)

    async def take(self, delivered: int, seconds: float) -> Parcel:
        """The next parcel, waited for up to `seconds`; all up to commit `delivered` are kept."""
        async with self._delivery:
            self._n_delivered = delivered
            self._delivery.notify_all()
        if not self._commits and not self._questions:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), seconds)
        taken: list[Rows] = []
        n_rows = 0
        while self._commits and n_rows < ROWS_AT_ONCE:
            taken.append(self._commits.popleft())
            n_rows += len(taken[-1].calls) + len(taken[-1].facts)
        questions, self._questions = self._questions, []
        return Parcel(self._n_committed - len(self._commits), taken, questions)

    async def delivered(self) -> None:
        """Wait until the driver has kept everything that is committed now."""
        wanted = self._n_committed
        async with self._delivery:
            await self._delivery.wait_for(lambda: self._n_delivered >= wanted)
