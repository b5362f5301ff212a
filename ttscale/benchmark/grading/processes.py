"""The parent's side of the grading processes: started late, replaced when they die, never awaited
by anything that blocks the event loop."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ttscale.benchmark.grading.worker import HEADER

START_SECONDS = 300.0
"""How long a worker may take to import what it needs, on a machine that is busy with a model."""

STARTS = 3
"""How often a job is offered to a new worker when workers die before they take it up."""

_LONGEST_ANSWER = 1 << 26
_FAREWELL_SECONDS = 5.0
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Reply(NamedTuple):
    """What became of a job: a value, or the fault that left it without one."""

    value: bool | str | None
    fault: str | None


class _Unfit(Exception):
    """A worker that died, hung, or talked nonsense."""


class Processes:
    """Up to `n` workers of one kind.

    A worker is started when a job finds none idle, and keeps its caches from job to job: the one
    used last is used next. A job belongs to a task of its own, so that cancelling whoever waits
    for it cannot leave half a conversation in a pipe.

    Parameters
    ----------
    n : the most processes at a time.
    judge, arguments : which judge of `judge.py` they run, and with what.
    time_limit_seconds : processor time of one job.
    patience_seconds : wall time after which a worker that has taken up a job is killed; this is for
        processes that sleep or are stopped, the worker's own clock sees to those that work.
    memory_limit_bytes : address space of one process.
    """

    def __init__(
        self,
        n: int,
        judge: str,
        arguments: Mapping[str, Any],
        *,
        time_limit_seconds: float,
        patience_seconds: float,
        memory_limit_bytes: int,
    ) -> None:
        self._setup = {
            "judge": judge,
            "arguments": dict(arguments),
            "parent": os.getpid(),
            "time_limit_seconds": time_limit_seconds,
            "memory_limit_bytes": memory_limit_bytes,
        }
        self._limit, self._patience = time_limit_seconds, patience_seconds
        self._free = asyncio.Semaphore(n)
        self._idle: list[_Worker] = []
        self._tasks: set[asyncio.Task[Reply]] = set()

    @property
    def pids(self) -> list[int]:
        """The process ids of the idle workers."""
        return [worker.process.pid for worker in self._idle]

    async def ask(self, job: object) -> Reply:
        """The reply to a picklable job; never an exception for what the job itself does."""
        await self._free.acquire()
        task = asyncio.create_task(self._serve(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Kill the workers and wait for their ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while self._idle:
            await self._idle.pop().kill()

    async def _serve(self, job: object) -> Reply:
        worker: _Worker | None = None
        try:
            body = pickle.dumps(job)
            for _ in range(STARTS):
                worker = self._idle.pop() if self._idle else await _Worker.start(self._setup)
                try:
                    await asyncio.wait_for(worker.hand_over(body), START_SECONDS)
                    break
                except (_Unfit, TimeoutError):
                    await worker.see_off()
                    worker = None
            else:
                return Reply(None, "no worker stays alive")
            try:
                answer = await asyncio.wait_for(worker.receive(), self._patience)
            except TimeoutError:
                return Reply(None, f"no answer from the worker in {self._patience:g} s")
            except _Unfit:
                return Reply(None, await worker.cause_of_death(self._limit))
            if answer["retires"]:
                await worker.see_off()
            else:
                self._idle.append(worker)
            worker = None
            return Reply(answer.get("value"), answer.get("fault"))
        except _CannotStart as error:
            return Reply(None, str(error))
        finally:
            try:
                if worker is not None:
                    await worker.kill()
            finally:
                self._free.release()


class _CannotStart(Exception):
    """A worker that could not be set up, with the reason it gave."""


class _Worker:
    """One process and the two ends of its pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, setup: Mapping[str, Any]) -> _Worker:
        """Start a process and wait until it has imported what it needs."""
        # The parent's search path goes along: a checkout need not be installed. Spawned, not
        # forked: the parent may hold a model. In a session of its own: Ctrl-C is not for it.
        path = os.pathsep.join(str(Path(entry or ".").resolve()) for entry in sys.path)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-c",
            "from ttscale.benchmark.grading.worker import main; main()",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, **dict.fromkeys(_THREADS, "1")},
            start_new_session=True,
        )
        worker = cls(process)
        try:
            await worker.send(pickle.dumps(setup))
            answer = await asyncio.wait_for(worker.receive(), START_SECONDS)
        except (_Unfit, TimeoutError) as error:
            await worker.see_off()
            raise _CannotStart("the worker did not start") from error
        except asyncio.CancelledError:
            await worker.kill()
            raise
        if "fault" in answer:
            await worker.see_off()
            raise _CannotStart(f"the worker did not start: {answer['fault']}")
        return worker

    async def hand_over(self, body: bytes) -> None:
        """Send a job and wait until the worker says that it has it."""
        await self.send(body)
        if "ready" not in await self.receive():
            raise _Unfit

    async def send(self, body: bytes) -> None:
        assert self.process.stdin is not None, "the process was started with pipes"
        try:
            self.process.stdin.write(HEADER.pack(len(body)) + body)
            await self.process.stdin.drain()
        except ConnectionError as error:
            raise _Unfit from error

    async def receive(self) -> Mapping[str, Any]:
        assert self.process.stdout is not None, "the process was started with pipes"
        try:
            (size,) = HEADER.unpack(await self.process.stdout.readexactly(HEADER.size))
            if size > _LONGEST_ANSWER:
                raise _Unfit
            answer = json.loads(await self.process.stdout.readexactly(size))
        except (EOFError, ConnectionError, ValueError) as error:
            raise _Unfit from error
        if not isinstance(answer, dict):
            raise _Unfit
        return answer

    async def cause_of_death(self, limit: float) -> str:
        """Why a worker whose pipe has ended is no more, in words."""
        await self.see_off()
        code = self.process.returncode
        if code == -signal.SIGXCPU:
            return f"time limit of {limit:g} s"
        return f"the worker died ({signal.Signals(-code).name if code and code < 0 else code})"

    async def see_off(self) -> None:
        """Let a worker end that is about to, and see to it that it does."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.process.wait(), _FAREWELL_SECONDS)
        await self.kill()

    async def kill(self) -> None:
        """End the process, if it has not ended, and wait for that."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.kill()
        await self.process.wait()
