"""The grading process: reads one job after the other, answers each within its limits.

Started by `processes.py` and by nobody else. A frame is a length (4 bytes, big-endian) and a body;
jobs are pickled (they come from us), answers are JSON (what sends them has met hostile text). After
the set-up and after receipt of each job the worker says so, hence a worker that dies earlier is not
the job's fault.

The clock counts this process's own processor time, so that a busy machine cannot turn a right
answer into an ungradable one. It ends a judgement twice over: a signal raises an exception, and
where that is not heeded, inside one long operation in C, the kernel kills the process.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import pickle
import resource
import signal
import struct
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

from ttscale.benchmark.grading.judge import Judge, math_judge, pattern_judge, scorer_judge

HEADER = struct.Struct(">I")
_REPEAT_SECONDS = 0.05  # the alarm rings again for code that swallowed the first exception
_KERNEL_GRACE_SECONDS = 2
_PR_SET_PDEATHSIG = 1


class TimeUp(BaseException):
    """The time limit; not an `Exception`, which algebra packages catch wholesale."""


class Clock:
    """The limit on one judgement's processor time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._running = False
        signal.signal(signal.SIGPROF, self._ring)

    def _ring(self, signum: int, frame: FrameType | None) -> None:
        if self._running:
            raise TimeUp

    def start(self) -> None:
        """Start counting; `TimeUp` is raised in this thread when the time is up."""
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        soft = int(time.process_time() + self.seconds) + _KERNEL_GRACE_SECONDS
        if hard != resource.RLIM_INFINITY:
            soft = min(soft, hard)
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
        self._running = True
        signal.setitimer(signal.ITIMER_PROF, self.seconds, _REPEAT_SECONDS)

    def stop(self) -> None:
        """Stop counting."""
        self._running = False
        signal.setitimer(signal.ITIMER_PROF, 0)


def main() -> None:
    """Serve until the pipe closes."""
    jobs, answers = _own_pipes()
    setup = _receive(jobs)
    if setup is None:
        return
    _settle(setup)
    try:
        judge = _judge(setup)
    except Exception as error:  # whatever it is, the parent must hear of it
        _send(answers, {"fault": f"{type(error).__name__}: {error}"})
        return
    _send(answers, {"ready": True})
    clock = Clock(setup["time_limit_seconds"])
    while (body := _read_frame(jobs)) is not None:
        _send(answers, {"ready": True})
        answer = _judged(judge, body, clock)
        # Memory is not given back to the system: a worker that has taken much makes way for another
        retires = _peak_bytes() > setup["memory_limit_bytes"] // 4
        _send(answers, {**answer, "retires": retires})
        if retires:
            return


def _judged(judge: Judge, body: bytes, clock: Clock) -> dict[str, Any]:
    """The verdict on one job, or the fault that kept it from having one."""
    try:
        try:
            clock.start()
            return {"value": judge(pickle.loads(body))}
        finally:
            clock.stop()
    except TimeUp:
        clock.stop()
        return {"fault": f"time limit of {clock.seconds:g} s"}
    except MemoryError:
        return {"fault": "memory limit"}
    except RecursionError:
        return {"fault": "nested too deeply"}
    except Exception as error:  # a fault of the grader's own: this answer is ungradable
        with suppress(Exception):
            return {"fault": f"{type(error).__name__}: {error}"[:200]}
        return {"fault": type(error).__name__}


def _judge(setup: Mapping[str, Any]) -> Judge:
    judges: dict[str, Callable[..., Judge]] = {
        "math": math_judge,
        "pattern": pattern_judge,
        "reasoning_gym": scorer_judge,
    }
    return judges[setup["judge"]](**setup["arguments"])


def _own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The two pipes to the parent, out of reach of anything that prints."""
    jobs, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    return jobs, answers


def _settle(setup: Mapping[str, Any]) -> None:
    """Be a quiet, modest process that does not outlive its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != setup["parent"]:
            os._exit(0)
    with suppress(OSError):
        os.nice(10)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = setup["memory_limit_bytes"]
    with suppress(OSError, ValueError):  # a lower limit is in force, or the system has none
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    logging.disable(logging.CRITICAL)
    os.dup2(1, 2)


def _peak_bytes() -> int:
    """The most memory this process has held.

    Where there is /proc, from there: `ru_maxrss` starts at the parent's size, which may hold a
    model's front end.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    (kib,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kib) * 1024


def _read_frame(pipe: BinaryIO) -> bytes | None:
    header = pipe.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    (size,) = HEADER.unpack(header)
    body = pipe.read(size)
    return body if len(body) == size else None


def _receive(pipe: BinaryIO) -> Mapping[str, Any] | None:
    body = _read_frame(pipe)
    if body is None:
        return None
    setup: Mapping[str, Any] = pickle.loads(body)
    return setup


def _send(pipe: BinaryIO, answer: Mapping[str, Any]) -> None:
    body = json.dumps(answer).encode()
    pipe.write(HEADER.pack(len(body)) + body)
    pipe.flush()
