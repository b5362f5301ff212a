"""What a run shows while it works: a live display on a terminal, quiet lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from ttscale.engine.protocol import Load
from ttscale.text import visible

QUIET_SECONDS = 15
"""Time between lines where there is no terminal."""

WINDOW_SECONDS = 30
"""Time that the shown rate is an average of."""


class Generates(Protocol):
    """Whatever tokens come from: a session, or the workers of a cluster."""

    @property
    def n_fresh_tokens(self) -> int:
        """Tokens generated so far."""


class Busy(Protocol):
    """Whatever can say how busy it is: an engine, or the workers of a cluster."""

    def load(self) -> Load:
        """How many streams run and wait."""


class Display(Protocol):
    """Told what happens; shows it on stderr."""

    def say(self, text: str) -> None:
        """A line that stays."""

    def begin(self, n_tasks: int, session: Generates, engine: Busy) -> None:
        """Work starts."""

    def done(self, n_failed: int) -> None:
        """One more (strategy, problem) pair has ended."""

    def end(self) -> None:
        """Work has ended, well or not."""


class _Rate:
    """Generated tokens per second over the last half minute, and the time left."""

    def __init__(self, session: Generates, n_tasks: int) -> None:
        self._session, self._n_tasks = session, n_tasks
        self._started = time.monotonic()
        self._marks = [(self._started, 0)]
        self.n_done = 0

    def tokens_per_second(self) -> float:
        now, tokens = time.monotonic(), self._session.n_fresh_tokens
        if now - self._marks[-1][0] >= 1:
            self._marks.append((now, tokens))
        while len(self._marks) > 2 and now - self._marks[1][0] > WINDOW_SECONDS:
            self._marks.pop(0)
        then, before = self._marks[0]
        return (tokens - before) / (now - then) if now > then else 0.0

    def left(self) -> str:
        if not self.n_done:
            return "–"
        elapsed = time.monotonic() - self._started
        seconds = elapsed / self.n_done * (self._n_tasks - self.n_done)
        minutes, seconds = divmod(int(seconds), 60)
        return f"{minutes}:{seconds:02d}"


class LiveDisplay:
    """A bar and the engine's state, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._failed = 0

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._console.print(visible(text), highlight=False, markup=False, emoji=False)

    def begin(self, n_tasks: int, session: Generates, engine: Busy) -> None:
        """Draw the bar."""
        self._rate, self._engine = _Rate(session, n_tasks), engine
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        )
        self._bar = self._progress.add_task("problems", total=n_tasks)
        self._live = Live(
            get_renderable=self._render, console=self._console, refresh_per_second=4, transient=True
        )
        self._live.start()

    def _render(self) -> Progress | Text:
        load = self._engine.load()
        self._progress.update(
            self._bar,
            completed=self._rate.n_done,
            description=f"{self._rate.tokens_per_second():,.0f} tokens/s · "
            f"{load.running} running · {load.waiting} waiting · {self._rate.left()} left"
            + (f" · {self._failed} failed" if self._failed else ""),
        )
        return self._progress

    def done(self, n_failed: int) -> None:
        """Count."""
        self._rate.n_done += 1
        self._failed = n_failed

    def end(self) -> None:
        """Take the bar away."""
        if self._live is not None:
            self._live.stop()
            self._live = None


class QuietDisplay:
    """A line now and then, for logs."""

    def say(self, text: str) -> None:
        """A line."""
        print(visible(text), file=sys.stderr, flush=True)

    def begin(self, n_tasks: int, session: Generates, engine: Busy) -> None:
        """Start counting."""
        self._rate, self._engine, self._n_tasks = _Rate(session, n_tasks), engine, n_tasks
        self._next = time.monotonic() + QUIET_SECONDS

    def done(self, n_failed: int) -> None:
        """Count, and speak if it is time."""
        self._rate.n_done += 1
        rate = self._rate.tokens_per_second()
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + QUIET_SECONDS
        load = self._engine.load()
        failed = f", {n_failed} failed" if n_failed else ""
        self.say(
            f"{self._rate.n_done}/{self._n_tasks} done{failed}, {rate:,.0f} tokens/s, "
            f"{load.running} running, {load.waiting} waiting, {self._rate.left()} left"
        )

    def end(self) -> None:
        """Nothing to take away."""


def make_display() -> Display:
    """Live on a terminal, quiet elsewhere."""
    console = Console(stderr=True)
    return LiveDisplay(console) if console.is_terminal else QuietDisplay()
