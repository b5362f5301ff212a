"""The worker processes: whatever becomes of one, the others and the protocol go on."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from ttscale.benchmark.grading import processes
from ttscale.benchmark.grading.processes import Processes, Reply

GIB = 1 << 30


class Does:
    """A job that does something to the worker which unpickles it: no text could be as hostile."""

    def __init__(self, function, *arguments):
        self.does = (function, arguments)

    def __reduce__(self):
        return self.does


def number(i):
    """A job whose answer is `i`."""
    return ("last_number", f"it is {i}")


def found(*numbers):
    """The replies to such jobs."""
    return [Reply(str(i), None) for i in numbers]


def crew(n=1, limit=5.0, patience=300.0, memory=4 * GIB):
    return Processes(
        n,
        "pattern",
        {},
        time_limit_seconds=limit,
        patience_seconds=patience,
        memory_limit_bytes=memory,
    )


def with_crew(test, **options):
    async def main():
        workers = crew(**options)
        try:
            return await test(workers)
        finally:
            await workers.close()

    return asyncio.run(main())


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_one_job_after_the_other_takes_one_worker():
    async def test(workers):
        replies = [await workers.ask(number(i)) for i in range(4)]
        return replies, workers.pids

    replies, pids = with_crew(test, n=3)
    assert replies == found(0, 1, 2, 3)
    assert len(pids) == 1
    assert not is_alive(pids[0])  # dead and waited for: a zombie would still have its number


def test_64_jobs_at_once_get_each_its_own_answer():
    async def test(workers):
        replies = await asyncio.gather(*(workers.ask(number(i)) for i in range(64)))
        return replies, workers.pids

    replies, pids = with_crew(test, n=2)
    assert replies == found(*range(64))
    assert len(pids) == 2


@pytest.mark.parametrize(
    ("job", "fault"),
    [
        (Does(os._exit, 3), "the worker died (3)"),
        (Does(os.abort), "the worker died (SIGABRT)"),
        (Does(signal.raise_signal, signal.SIGKILL), "the worker died (SIGKILL)"),
        (Does(bytearray, 8 * GIB), "memory limit"),
        (Does(int, "x"), "ValueError"),
        (Does(print, "noise" * 100_000), "TypeError"),
    ],
)
def test_a_worker_that_fails_costs_one_answer(job, fault):
    async def test(workers):
        return await asyncio.gather(
            *(workers.ask(j) for j in (number(0), job, number(1), number(2)))
        )

    before, reply, *after = with_crew(test)
    assert [before, *after] == found(0, 1, 2)
    assert reply.value is None
    assert fault in reply.fault


SWALLOWS = """
def swallow(n):
    for _ in range(n):
        try:
            while True:
                sum(range(100))
        except BaseException:
            pass
    while True:
        sum(range(100))
swallow(3)
"""


def test_the_clock_rings_again_for_code_that_swallows_its_exception():
    async def test(workers):
        first = await workers.ask(number(0)), workers.pids
        reply = await workers.ask(Does(exec, SWALLOWS))
        return first, reply, (await workers.ask(number(0)), workers.pids)

    first, reply, last = with_crew(test, limit=0.3)
    assert reply == Reply(None, "time limit of 0.3 s")
    assert first == last  # it stopped by itself: nobody had to be killed


def test_the_kernel_stops_an_operation_that_no_signal_reaches():
    async def test(workers):
        return await workers.ask(Does(pow, 9, 9**9)), await workers.ask(number(0))

    assert [*with_crew(test, limit=0.2)] == [Reply(None, "time limit of 0.2 s"), *found(0)]


def test_a_stopped_worker_is_killed_and_replaced():
    async def test(workers):
        stop = Does(signal.raise_signal, signal.SIGSTOP)
        return await workers.ask(stop), await workers.ask(number(0))

    reply, after = with_crew(test, patience=5.0)
    assert reply == Reply(None, "no answer from the worker in 5 s")
    assert [after] == found(0)


def test_sleep_does_not_count_but_is_not_waited_for_without_end():
    async def test(workers):
        slept = await workers.ask((Does(time.sleep, 0.5), "1"))
        return slept, await workers.ask(Does(time.sleep, 1000))

    slept, endless = with_crew(test, limit=0.2, patience=5.0)
    assert slept.fault == "KeyError: None"  # it was awake in time to see that None is no rule
    assert "no answer" in endless.fault


def test_a_worker_killed_while_idle_costs_nothing():
    async def test(workers):
        replies = [await workers.ask(number(0))]
        for _ in range(2):
            (pid,) = workers.pids
            os.kill(pid, signal.SIGKILL)
            replies.append(await workers.ask(number(0)))
        return replies, workers.pids

    replies, pids = with_crew(test)
    assert replies == found(0, 0, 0)
    assert len(pids) == 1


def test_a_worker_that_took_much_memory_makes_way_for_another():
    async def test(workers):
        await workers.ask(number(0))
        first = workers.pids
        await workers.ask(Does(bytearray, GIB // 2))
        return first, workers.pids, await workers.ask(number(1)), workers.pids

    first, none, reply, second = with_crew(test, memory=GIB)
    assert none == []
    assert [reply] == found(1)
    assert first != second


def test_a_large_parent_does_not_make_its_workers_look_large():
    async def test(workers):
        ballast = bytearray(os.urandom(1 << 20) * 600)  # kept, and really in memory
        await workers.ask(number(0))
        first = workers.pids
        await workers.ask(number(len(ballast) % 2))
        return first, workers.pids

    first, second = with_crew(test, memory=2 * GIB)
    assert first == second
    assert len(first) == 1


def test_cancelling_who_waits_leaves_no_half_conversation():
    async def test(workers):
        await workers.ask(number(0))
        pids = workers.pids
        for delay in (0, 0, 0.0005, 0.002, 0.005):
            waiting = [asyncio.create_task(workers.ask(number(i))) for i in range(10)]
            await asyncio.sleep(delay)
            for task in waiting[::2]:
                task.cancel()
            done = await asyncio.gather(*waiting, return_exceptions=True)
            assert done[1::2] == found(1, 3, 5, 7, 9)
            for done_or_cancelled, right in zip(done[::2], found(0, 2, 4, 6, 8), strict=True):
                assert done_or_cancelled == right or isinstance(
                    done_or_cancelled, asyncio.CancelledError
                )
        return pids, workers.pids, await workers.ask(number(2))

    pids, pids_after, reply = with_crew(test)
    assert [reply] == found(2)
    assert pids == pids_after


def test_a_job_whose_waiter_is_gone_ends_before_the_next_begins():
    async def test(workers):
        await workers.ask(number(6))
        waiting = asyncio.create_task(workers.ask((Does(time.sleep, 0.6), "x")))
        await asyncio.sleep(0.05)
        assert waiting.cancel()
        return await workers.ask(number(7)), await workers.ask(number(8))

    assert [*with_crew(test)] == found(7, 8)


def test_closing_in_the_middle_ends_every_process():
    async def test(workers):
        await asyncio.gather(workers.ask(number(0)), workers.ask(number(1)))
        pids = workers.pids
        busy = [asyncio.create_task(workers.ask(Does(time.sleep, 1000))) for _ in range(4)]
        await asyncio.sleep(0.05)
        await workers.close()
        done = await asyncio.gather(*busy[:2], return_exceptions=True)
        for task in busy[2:]:
            task.cancel()
        return pids, done

    pids, done = with_crew(test, n=2)
    assert all(isinstance(d, asyncio.CancelledError) for d in done)
    assert len(pids) == 2
    assert not any(is_alive(pid) for pid in pids)


def test_the_event_loop_goes_on_while_workers_work():
    async def test(workers):
        await workers.ask(number(0))
        job = asyncio.create_task(workers.ask(Does(time.sleep, 0.3)))
        ticks = 0
        while not job.done():
            await asyncio.sleep(0.005)
            ticks += 1
        return ticks

    assert with_crew(test) > 2


def test_workers_that_cannot_start_are_a_fault_and_not_a_hang(monkeypatch):
    async def test(workers):
        return await asyncio.gather(*(workers.ask(number(i)) for i in range(3)))

    monkeypatch.setattr(processes.sys, "executable", "/bin/false")
    assert with_crew(test, n=2) == [Reply(None, "the worker did not start")] * 3

    def unknown_judge(n, limit):
        return Processes(
            n, "none", {}, time_limit_seconds=limit, patience_seconds=9, memory_limit_bytes=GIB
        )

    async def main():
        workers = unknown_judge(1, 1.0)
        try:
            return await workers.ask(number(0))
        finally:
            await workers.close()

    monkeypatch.undo()
    assert asyncio.run(main()).fault == "the worker did not start: KeyError: 'none'"


PARENT = """
import asyncio, os, sys
sys.path.insert(0, {tests!r})
from test_benchmark_processes import crew, number
async def main():
    workers = crew()
    await workers.ask(number(0))
    print(workers.pids[0], flush=True)
    await asyncio.sleep(1000)
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a busy worker ends with its job")
def test_workers_end_with_their_parent_and_ignore_its_interrupt():
    tests = Path(__file__).parent
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(tests=str(tests))],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tests.parent,
        start_new_session=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(pid, signal.SIGINT)
    assert os.getpgid(pid) != os.getpgid(parent.pid)  # Ctrl-C on the terminal does not reach it
    assert is_alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    gone = partial(_gone, pid)
    while not gone():
        time.sleep(0.01)  # the suite's timeout ends this if the worker stays


def _gone(pid):
    """Whether a process has ended; nobody here can wait for it, so it may be a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True
