"""Running an experiment from Python, a notebook's running event loop included.

The run has an event loop of its own in a thread.
"""

from __future__ import annotations

import copy
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from ttscale.errors import Interrupted
from ttscale.notebook.loaded import Loaded, load

if TYPE_CHECKING:
    from ttscale.run.config import Experiment
    from ttscale.run.interrupt import Interrupt


def run(
    config: str | FilePath | Mapping[str, Any],
    *,
    changes: Sequence[str] = (),
    results: str | FilePath = "results",
    fresh: bool = False,
) -> Loaded:
    """Run, or resume, an experiment, and load what it left.

    Parameters
    ----------
    config : the path of a YAML file, YAML text (of several lines), or the same as a mapping.
    changes : `key=value`, as `--set` takes them.
    results : folder that run folders are made in.
    fresh : start anew; an earlier run is kept under another name.

    An interrupt (Ctrl-C, the notebook's stop) ends the run in order: what was sampled is kept, and
    the same call goes on from there. Raises InputError for what the user can mend, Interrupted
    after an interrupt, TTScaleError when the run failed.
    """
    from ttscale.run.display import make_display
    from ttscale.run.interrupt import Interrupt
    from ttscale.run.runner import run as run_experiment

    experiment = read_experiment(config, changes)
    interrupt, display = Interrupt(), make_display()

    def work() -> FilePath:
        return run_experiment(
            experiment, FilePath(results), display, fresh=fresh, interrupt=interrupt
        )

    return load(_in_a_thread(work, interrupt))


def read_experiment(
    config: str | FilePath | Mapping[str, Any], changes: Sequence[str]
) -> Experiment:
    from ttscale.run.config import load as load_config
    from ttscale.run.config import parse, resolve

    if isinstance(config, Mapping):
        given = copy.deepcopy(dict(config))
        return resolve(given, changes, where="the configuration", folder=FilePath.cwd())
    if isinstance(config, str) and "\n" in config:
        given = parse(config, "the configuration")
        return resolve(given, changes, where="the configuration", folder=FilePath.cwd())
    return load_config(FilePath(config), changes)


def _in_a_thread(work: Callable[[], FilePath], interrupt: Interrupt) -> FilePath:
    """The result of work with an event loop of its own; a second interrupt waits no longer."""
    thread = ThreadPoolExecutor(1, "ttscale-run")
    try:
        with _interrupts(interrupt.press):
            return thread.submit(work).result()
    except CancelledError as error:
        raise Interrupted("stopped before anything was sampled") from error
    finally:
        thread.shutdown(wait=False)


@contextmanager
def _interrupts(press: Callable[[], None]) -> Iterator[None]:
    """While the block waits, the first Ctrl-C presses and the second raises KeyboardInterrupt.

    Whatever handler is there, such as that of `asyncio.run`, comes back afterwards.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    n_pressed = 0

    def handle(*_: object) -> None:
        nonlocal n_pressed
        n_pressed += 1
        if n_pressed > 1:
            raise KeyboardInterrupt
        press()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
