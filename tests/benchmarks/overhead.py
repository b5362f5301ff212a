"""What the framework itself costs: calls per second, bytes a path, time to open a large journal.

    python -m tests.benchmarks.overhead

On the simulated engine with no latency, in one process and one thread: every call goes through the
context, the journal (committed before the strategy sees it) and the ledger.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import sys
import tempfile
import time
import tracemalloc
from array import array
from hashlib import blake2b
from pathlib import Path as FilePath
from typing import NamedTuple

from tests.scripted import PlainGrading
from ttscale.context import Context
from ttscale.engine.protocol import Completion, Sampling
from ttscale.engine.simulated import SimulatedConfig, SimulatedEngine, TimingConfig, simulated_items
from ttscale.record.journal import Journal
from ttscale.record.ledger import Ledger
from ttscale.session import Session
from ttscale.trace import TOKEN, Path, Problem

INSTANT = TimingConfig(round_seconds=0, stream_seconds=0, prefill_seconds=0)


class Rate(NamedTuple):
    """Calls per second, by the clock and by the processor time this process had."""

    wall: float
    cpu: float


async def calls_per_second(folder: FilePath, n_problems: int, n_calls: int) -> Rate:
    """Problems in flight together, each asking for one sample at a time."""
    engine = SimulatedEngine(SimulatedConfig(timing=INSTANT))
    await engine.start()
    journal = Journal(folder / f"{time.monotonic_ns()}.sqlite")
    session = Session(engine, journal, Ledger(), PlainGrading())
    problems = [
        Problem(item.id, item.question, Path(engine.encode(item.question), item.question))
        for item in simulated_items(n_problems)
    ]

    async def strategy(problem: Problem) -> None:
        ctx = Context(session, problem, "bench", Sampling(max_tokens=2000))
        for _ in range(n_calls):
            await ctx.sample(problem.root)

    gc.collect()
    started, busy = time.perf_counter(), time.process_time()
    await asyncio.gather(*(asyncio.create_task(strategy(problem)) for problem in problems))
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    assert journal.n_calls() == n_problems * n_calls == len(session.ledger)
    await engine.close()
    journal.close()
    n = n_problems * n_calls
    return Rate(n / seconds, n / busy)


async def bytes_per_path(folder: FilePath) -> float:
    """Memory of a finished path of 200 tokens above its tokens' four bytes each."""
    engine = SimulatedEngine(SimulatedConfig(timing=INSTANT))
    await engine.start()
    journal = Journal(folder / "memory.sqlite")
    session = Session(engine, journal, Ledger(), PlainGrading())
    item = simulated_items(1)[0]
    problem = Problem(item.id, item.question, Path(engine.encode(item.question), item.question))
    ctx = Context(session, problem, "bench", Sampling(max_tokens=200, min_tokens=200))
    await ctx.sample(problem.root, n=100)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    paths = await ctx.sample(problem.root, n=5000)
    gc.collect()
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    n_tokens = statistics.mean(len(path.token_ids) for path in paths)
    await engine.close()
    journal.close()
    assert n_tokens > 150, "the paths are about 200 tokens long"
    return used / len(paths) - 4 * n_tokens


def first_answer_of_a_large_journal(folder: FilePath, n_calls: int) -> float:
    """Seconds to open a journal of many calls and read the first answer, in this process."""
    path = folder / "large.sqlite"
    journal = Journal(path)
    text = "word " * 40
    completion = Completion(array(TOKEN, range(200)), text, "stop", array("f", [-0.5] * 200))
    for call in range(n_calls):
        base = blake2b(call.to_bytes(8, "big"), digest_size=16).digest()
        journal.write(base, 0, "bench\x1f0", completion)
        if call % 5000 == 0:
            journal.commit()
    journal.close()
    base = blake2b((n_calls // 2).to_bytes(8, "big"), digest_size=16).digest()
    started = time.perf_counter()
    journal = Journal(path)
    assert journal.read(base, 0, 1)[0].completion.text == text
    seconds = time.perf_counter() - started
    journal.close()
    return seconds


def main() -> None:
    """Measure and print one JSON object."""
    quick = "--quick" in sys.argv
    with tempfile.TemporaryDirectory() as name:
        folder = FilePath(name)
        rates = [asyncio.run(calls_per_second(folder, 64, 50 if quick else 400)) for _ in range(5)]
        result = {
            "calls_per_second": round(statistics.median(rate.wall for rate in rates)),
            "calls_per_second_runs": [round(rate.wall) for rate in rates],
            "calls_per_cpu_second": round(statistics.median(rate.cpu for rate in rates)),
            "bytes_per_200_token_path": round(asyncio.run(bytes_per_path(folder))),
            "journal_calls": 10_000 if quick else 1_000_000,
        }
        result["journal_open_seconds"] = round(
            first_answer_of_a_large_journal(folder, int(result["journal_calls"])), 3
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
