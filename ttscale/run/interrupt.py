"""Stopping a run in order: Ctrl-C on the command line, or a call from another thread."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ttscale.errors import Interrupted
from ttscale.run.display import Display


class Interrupt:
    """Reaches into a run's event loop to stop it.

    Signal handlers belong to the main thread, so a run in another one, as under a notebook's own
    event loop, is stopped by `press`.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Callable[[], object] | None = None

    def listen(self) -> None:
        """From here on `press` cancels the current task: there is no work yet to end in order."""
        task = asyncio.current_task()
        assert task is not None, "a run is a task"
        self._loop, self._stop = asyncio.get_running_loop(), task.cancel

    def press(self) -> None:
        """Ask the run to stop, from any thread; nothing if it has not begun or has ended."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._stopped)

    def _stopped(self) -> None:
        if self._stop is not None:
            self._stop()

    @contextmanager
    def ending(self, display: Display, progress: Callable[[], str]) -> Iterator[None]:
        """While the block runs, Ctrl-C and `press` cancel it; pressed again, the process ends.

        Raises Interrupted, which says how far it came: `progress` gives "3 of 60".
        """
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None, "a run is a task"
        pressed = False

        def press() -> None:
            nonlocal pressed
            if pressed:
                sys.stderr.write("ttscale: left at once; the journal holds what was finished\n")
                sys.stderr.flush()
                os._exit(130)
            pressed = True
            display.say("stopping (Ctrl-C again leaves at once) …")
            task.cancel()

        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread:
            loop.add_signal_handler(signal.SIGINT, press)
        before, self._stop = self._stop, press
        try:
            yield
        except asyncio.CancelledError:
            if not pressed:
                raise
            task.uncancel()
            raise Interrupted(
                f"stopped after {progress()}; the same command goes on from here"
            ) from None
        finally:
            self._stop = before
            if in_main_thread:
                loop.remove_signal_handler(signal.SIGINT)
