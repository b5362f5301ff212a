"""How many requests are answered at once, how many wait, and when one more is turned away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ttscale.serve.refusal import busy


class Gate:
    """The places of a server.

    Parameters
    ----------
    concurrency : requests that are answered at once.
    queue : requests that wait beside them; the next one is turned away.

    Attributes
    ----------
    running : how many are answered now.
    """

    def __init__(self, concurrency: int, queue: int) -> None:
        self._places = asyncio.Semaphore(concurrency)
        self._most = concurrency + queue
        self._n_inside = 0
        self.running = 0

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return self._n_inside - self.running

    def enter(self) -> None:
        """Be one of those that are answered or wait. Raises Refusal if they are too many."""
        if self._n_inside >= self._most:
            raise busy(self._n_inside)
        self._n_inside += 1

    def leave(self) -> None:
        """Make room for the next one."""
        self._n_inside -= 1

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place, and hold it."""
        async with self._places:
            self.running += 1
            try:
                yield
            finally:
                self.running -= 1
