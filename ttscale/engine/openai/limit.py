"""How many requests are in flight on one server: as many as keep its queue short but never empty.

A server that says how many requests run and wait (vLLM's `/metrics`) is followed by these numbers.
Of another the limit is found as TCP finds its window: doubled until the server first refuses
(429, 503), then halved at a refusal and raised by one for each window of answers (Jacobson, 1988,
"Congestion avoidance and control").
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

FIRST = 64
"""Requests in flight to begin with."""

QUEUE_SHARE = 1 / 16
"""The queue aimed at, as a share of what runs."""


class Limit:
    """A number of slots that adapts, and who waits for one, first come first served.

    Parameters
    ----------
    most : never more slots than this.
    """

    def __init__(self, most: int) -> None:
        self._most, self._n = most, float(min(FIRST, most))
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._threshold, self._follows = float(most), False
        self._n_begun = self._judged = 0
        self.n_running = 0

    @property
    def n(self) -> int:
        """Slots now."""
        return int(self._n)

    @property
    def n_waiting(self) -> int:
        """How many wait for a slot."""
        return sum(not waiter.done() for waiter in self._waiting)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[int]:
        """Hold a slot, waited for if need be; gives the request's number."""
        if self.n_running < self.n:
            self.n_running += 1
        else:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter  # whoever resolves it has counted it as running
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._give_back()
                raise
        self._n_begun += 1
        try:
            yield self._n_begun
        finally:
            self._give_back()

    def _give_back(self) -> None:
        self.n_running -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self.n_running < self.n:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self.n_running += 1
                waiter.set_result(None)

    def note_answer(self) -> None:
        """A request was answered."""
        if not self._follows:
            self._set(self._n + (1 if self._n < self._threshold else 1 / self._n))

    def note_refusal(self, number: int) -> None:
        """The server had too much to do for a request.

        Those that were in flight when the limit was halved say nothing of the new one.
        """
        if number > self._judged:
            self._judged = self._n_begun
            self._threshold = max(1.0, self._n / 2)
            self._set(self._threshold)

    def note_queue(self, running: int, waiting: int) -> None:
        """The server says what runs and what waits there, others' requests included."""
        self._follows = True
        wanted = max(2, int(running * QUEUE_SHARE))
        if waiting > 2 * wanted:
            self._set(self.n_running - (waiting - wanted))
        elif not waiting and self._waiting:
            self._set(max(self._n, 1.5 * self.n_running))

    def _set(self, n: float) -> None:
        self._n = min(float(self._most), max(1.0, n))
        self._admit()
