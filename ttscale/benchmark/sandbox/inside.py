"""The warden: process 1 of the sandbox, which runs every check in a process of its own.

Started by `outside.py` through bubblewrap, with nothing but the standard library in sight. It
reads one job (JSON) from its standard input and writes one line of JSON for every check. The kernel
shields process 1 from signals of its own namespace, and when it ends, everything in the sandbox
does.

A check's process has the limits, the system-call filter and two pipes: one that counts what it
prints, one for its report. A report counts only with the check's password in front: printing
"passed" or leaving early is no pass. (A program that searches its own memory finds the password. It
can lie about its own tests; it cannot get out.)
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import resource
import selectors
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import Any, NoReturn

STRIKES = 3
"""How often a program may run out of time before the rest of its checks is not run."""

_LONGEST_VALUE = 10_000
_LONGEST_REPORT = 1 << 18
_REPORT = 3  # the file descriptor of the report, in the check's process
_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 4, 22, 38
_FILTER_MODE = 2
_OUTCOMES = ("passed", "failed", "memory", "crashed", "refused")

Answer = dict[str, Any]


def main() -> None:
    """Read a job, run its checks, write one line for each."""
    job = json.load(sys.stdin.buffer)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's handler would let it reach process 1
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    strikes = 0
    for check in job["checks"]:
        if strikes < STRIKES:
            answer = _run(job, check, libc)
            strikes += answer["outcome"] == "timeout"
        else:
            answer = {"outcome": "timeout", "reason": f"not run: out of time {STRIKES} times"}
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


def _run(job: Mapping[str, Any], check: Mapping[str, Any], libc: ctypes.CDLL) -> Answer:
    """One check in a process of its own, watched until it has ended."""
    password = os.urandom(16).hex().encode()
    report, report_end = os.pipe()
    output, output_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        _check(job, check, libc, password, report_end, output_end)
    os.close(report_end)
    os.close(output_end)
    kept, killed_for = _watch(pid, report, output, job["limits"])
    _, status, usage = os.wait4(pid, 0)
    seconds = usage.ru_utime + usage.ru_stime
    answer = _answer(kept, password, killed_for, status, seconds, job["limits"])
    return {**answer, "cpu_seconds": round(seconds, 3)}


def _watch(
    pid: int, report: int, output: int, limits: Mapping[str, Any]
) -> tuple[bytes, str | None]:
    """The report, and what the process was killed for, if it was."""
    deadline = time.monotonic() + limits["wall_seconds"]
    kept, n_printed, killed_for = b"", 0, None
    end = os.pidfd_open(pid)
    with selectors.DefaultSelector() as selector:
        for pipe in (report, output, end):
            selector.register(pipe, selectors.EVENT_READ)
        ended = False
        while selector.get_map():
            left = 0.0 if ended else max(0.0, deadline - time.monotonic())
            ready = [key.fd for key, _ in selector.select(left)]
            for fd in ready:
                if fd == end:
                    ended = True
                    selector.unregister(end)
                    continue
                chunk = os.read(fd, _LONGEST_REPORT)
                if not chunk:
                    selector.unregister(fd)
                elif fd == report:
                    kept += chunk
                else:
                    n_printed += len(chunk)
            if ended and not ready:
                break
            if killed_for is None and not ended:
                if n_printed > limits["output_bytes"] or len(kept) > _LONGEST_REPORT:
                    killed_for = "output"
                elif time.monotonic() >= deadline:
                    killed_for = "timeout"
                if killed_for is not None:
                    os.kill(pid, signal.SIGKILL)
                    deadline += 60.0
    for fd in (report, output, end):
        os.close(fd)
    return kept, killed_for


def _answer(
    kept: bytes,
    password: bytes,
    killed_for: str | None,
    status: int,
    seconds: float,
    limits: Mapping[str, Any],
) -> Answer:
    """What became of a check, from its report or else from how its process ended."""
    if killed_for == "output":
        return {"outcome": "output", "reason": f"printed more than {limits['output_bytes']} bytes"}
    if killed_for == "timeout":
        return {"outcome": "timeout", "reason": f"{limits['wall_seconds']:g} s of wall time"}
    if kept.startswith(password):
        try:
            said = json.loads(kept[len(password) :])
        except (ValueError, RecursionError):
            said = None
        if isinstance(said, dict) and said.get("outcome") in _OUTCOMES:
            return said
        return {"outcome": "crashed", "reason": "a garbled report"}
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU or seconds >= limits["cpu_seconds"]:
            return {"outcome": "timeout", "reason": f"{limits['cpu_seconds']} s of processor time"}
        if number == signal.SIGKILL:
            return {"outcome": "memory", "reason": "killed, as when the machine has no memory left"}
        return {"outcome": "crashed", "reason": signal.Signals(number).name}
    return {"outcome": "crashed", "reason": f"left with status {os.WEXITSTATUS(status)}"}


def _check(
    job: Mapping[str, Any],
    check: Mapping[str, Any],
    libc: ctypes.CDLL,
    password: bytes,
    report_end: int,
    output_end: int,
) -> NoReturn:
    """The check's own process: put the limits on, run the program and the check, report, end."""
    leave = os._exit  # the program may put something else in its place
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        output_end = os.dup2(output_end, 64)
        os.dup2(report_end, _REPORT)
        os.dup2(nothing, 0)
        os.dup2(output_end, 1)
        os.dup2(output_end, 2)
        os.closerange(_REPORT + 1, 65)
        try:
            _limit(job["limits"])
            _filter(bytes.fromhex(job["filter"]), libc)
        except OSError as error:
            answer = {"outcome": "refused", "reason": f"the limits cannot be set: {error}"}
        else:
            answer = _outcome(job["parts"], check)
        os.write(_REPORT, password + json.dumps(answer).encode())
    finally:
        leave(0)


def _limit(limits: Mapping[str, Any]) -> None:
    cpu, memory, files = limits["cpu_seconds"], limits["memory_bytes"], limits["files_bytes"]
    for kind, soft, hard in (
        (resource.RLIMIT_CPU, cpu, cpu + 1),  # SIGXCPU may be caught; what follows may not
        (resource.RLIMIT_AS, memory, memory),
        (resource.RLIMIT_FSIZE, files, files),
        (resource.RLIMIT_NOFILE, 64, 64),
        (resource.RLIMIT_NPROC, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_MEMLOCK, 0, 0),
    ):
        _, ceiling = resource.getrlimit(kind)
        top = hard if ceiling == resource.RLIM_INFINITY else min(hard, ceiling)
        resource.setrlimit(kind, (min(soft, top), top))


class _Filter(ctypes.Structure):
    """struct sock_fprog of linux/filter.h."""

    _fields_ = (("n", ctypes.c_ushort), ("lines", ctypes.c_char_p))


def _filter(lines: bytes, libc: ctypes.CDLL) -> None:
    program = _Filter(len(lines) // 8, lines)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if libc.prctl(_PR_SET_SECCOMP, _FILTER_MODE, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def _outcome(parts: Sequence[str], check: Mapping[str, Any]) -> Answer:
    """Run the program's parts, then the check, and say what came of it."""
    module = ModuleType("program")
    sys.modules["program"] = sys.modules["__main__"] = module  # dataclasses look themselves up
    scope = vars(module)
    run, look_up = exec, eval  # a program may put others in their places
    translate = partial(compile, dont_inherit=True)
    try:
        for part in parts:
            run(translate(part, "<program>", "exec"), scope)
        if check["evaluate"]:
            run(translate(check["setup"], "<setup>", "exec"), scope)
            value = look_up(translate(check["code"], "<check>", "eval"), scope)
            return {"outcome": "passed", "value": _shortened(_canonical(value))}
        run(translate(check["setup"] + "\n" + check["code"], "<check>", "exec"), scope)
        return {"outcome": "passed"}
    except MemoryError:
        return {"outcome": "memory", "reason": "MemoryError"}
    except Exception as error:
        return _failed(error)
    except BaseException as error:  # SystemExit, KeyboardInterrupt: a program that leaves early
        return {"outcome": "crashed", "reason": type(error).__name__}


def _failed(error: Exception) -> Answer:
    name = type(error).__name__
    try:
        reason = f"{name}: {error}"[:200]
    except Exception:
        reason = name
    return {"outcome": "failed", "reason": reason, "error": name[:100]}


def _shortened(text: str) -> str:
    """A long text as its beginning, its length and its hash, which has no seed in here."""
    if len(text) <= _LONGEST_VALUE:
        return text
    return f"{text[:_LONGEST_VALUE]} … {len(text)} {hash(text)}"


def _canonical(value: object) -> str:
    """`repr` without what equality does not see: the order in a set, 1 against 1.0 and True."""
    kind = type(value)
    if isinstance(value, bool | int | float) and kind in {bool, int, float}:
        return repr(int(value)) if math.isfinite(value) and value == int(value) else repr(value)
    if isinstance(value, list | tuple) and kind in {list, tuple}:
        return f"{kind.__name__}({', '.join(map(_canonical, value))})"
    if isinstance(value, set | frozenset) and kind in {set, frozenset}:
        return f"set({', '.join(sorted(map(_canonical, value)))})"
    if isinstance(value, dict) and kind is dict:
        items = sorted(f"{_canonical(key)}: {_canonical(item)}" for key, item in value.items())
        return f"dict({', '.join(items)})"
    return repr(value)


if __name__ == "__main__":
    main()
