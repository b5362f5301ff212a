"""Do generation and verification overlap, with a judge on the policy's own engine?

    python -m tests.benchmarks.judge_overlap              the simulated engine, by its own clock
    python -m tests.benchmarks.judge_overlap --embedded   the embedded model, on vLLM

Three things are timed, all problems in flight together: `best_of_n` with a verifier that is free;
the judge alone on the samples that are there, with all its requests in flight at once, which is
what it adds to a machine that is full; and `best_of_n` with the judge. With complete overlap the
third takes no longer than the larger of the first two and, at saturation, the smaller: `ratio` is
its time over their sum. `bound` is its time over 1.1 times the larger plus the smaller; the promise
is that this is at most 1. `one_problem_at_a_time` is the third without overlap between problems, on
the simulated engine.

Prefix caches are empty before each measurement, and so are the journals. On vLLM the three are
measured in turn, `N_TURNS` times after a generation that is not counted, and medians are taken; it
takes about seven minutes on two cores.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any, NamedTuple

import yaml

from tests.contract.playing import Silent
from tests.scripted import PlainGrading
from ttscale.benchmark.source import load as load_items
from ttscale.context import Context
from ttscale.engine.protocol import Engine
from ttscale.engine.simulated import SimulatedEngine
from ttscale.record.journal import Journal
from ttscale.record.ledger import Ledger
from ttscale.run.config import Experiment, load, make_engine
from ttscale.run.prepare import prepare
from ttscale.run.sweep import Arm, arms
from ttscale.session import Session
from ttscale.strategy import Verifier
from ttscale.trace import Path, Problem

N_TURNS = 2

SIMULATED: dict[str, Any] = {
    "model": {"engine": "simulated", "max_num_seqs": 64},
    "benchmark": {"simulated": {}, "size": 128},
    "sampling": {"max_tokens": 600},
}
EMBEDDED: dict[str, Any] = {
    "model": "embedded",
    "benchmark": {
        "reasoning_gym": {"task": "chain_sum", "params": {"max_terms": 4, "max_digits": 2}},
        "size": 20,
        "seed": 1,
        "extract": "last_number",
    },
    "sampling": {"temperature": 0.7, "max_tokens": 64},
}
JUDGES: dict[str, dict[str, Any]] = {
    "one pass": {"name": "judge"},
    "8 verdicts": {"name": "judge", "verdicts": 8, "max_tokens": 32},
}
QUICK_JUDGES: dict[str, dict[str, Any]] = {
    "one pass": {"name": "judge"},
    "4 verdicts": {"name": "judge", "verdicts": 4, "max_tokens": 8},
}
"""For the embedded model, whose verdicts are one word."""


class Setting(NamedTuple):
    """What is run."""

    engine: Engine
    problems: list[Problem]
    folder: FilePath


def clock(engine: Engine) -> float:
    """Seconds now, on the engine's clock."""
    return engine.slots.now if isinstance(engine, SimulatedEngine) else time.perf_counter()


async def play(
    setting: Setting, arm: Arm, verifier: Verifier | None, *, in_flight: int = 1_000_000
) -> tuple[float, dict[str, list[Path]]]:
    """Seconds of a strategy over all problems, and each problem's finished paths."""
    engine = setting.engine
    journal = Journal(setting.folder / f"{time.monotonic_ns()}.sqlite")
    session = Session(engine, journal, Ledger(), PlainGrading())
    gate = asyncio.Semaphore(in_flight)
    finished: dict[str, list[Path]] = {}

    async def one(problem: Problem) -> None:
        async with gate:
            ctx = Context(session, problem, arm.label, arm.sampling, verifier)
            await arm.strategy(problem, ctx)
            finished[problem.id] = ctx.finished

    started = clock(engine)
    await asyncio.gather(*(asyncio.create_task(one(problem)) for problem in setting.problems))
    seconds = clock(engine) - started
    journal.close()
    return seconds, finished


async def judge_alone(
    setting: Setting, arm: Arm, paths: dict[str, list[Path]]
) -> tuple[float, int]:
    """Seconds of the judge on samples that are there, and the sequences it took."""
    journal = Journal(setting.folder / f"{time.monotonic_ns()}.sqlite")
    session = Session(setting.engine, journal, Ledger(), PlainGrading())

    async def one(problem: Problem) -> None:
        ctx = Context(session, problem, arm.label, arm.sampling, arm.verifier)
        await ctx.score(paths[problem.id])

    started = clock(setting.engine)
    await asyncio.gather(*(asyncio.create_task(one(problem)) for problem in setting.problems))
    seconds = clock(setting.engine) - started
    journal.close()
    return seconds, session.ledger.totals()["score"].n_sequences


def result(generation: float, judging: float, both: float, n_judged: int) -> dict[str, Any]:
    """The three times and what they say."""
    larger, smaller = max(generation, judging), min(generation, judging)
    return {
        "seconds": {
            "generation": round(generation, 3),
            "judge": round(judging, 3),
            "both": round(both, 3),
        },
        "judge_sequences": n_judged,
        "ratio": round(both / (larger + smaller), 3),
        "bound": round(both / (1.1 * larger + smaller), 3),
    }


def experiment(
    config: dict[str, Any], judges: dict[str, dict[str, Any]], folder: FilePath, n: int
) -> Experiment:
    """The experiment with one arm for each judge."""
    path = folder / "overlap.yaml"
    entries = [
        {"name": "best_of_n", "label": label, "n": n, "verifier": judge}
        for label, judge in judges.items()
    ]
    path.write_text(yaml.safe_dump({"name": "overlap", **config, "strategies": entries}))
    return load(path)


async def set_up(read: Experiment, folder: FilePath) -> tuple[Setting, list[Arm]]:
    """A started engine and the problems' prompts."""
    engine = make_engine(read.config.model, folder / "engine.log")
    await engine.start()
    chosen = arms(read)
    items = load_items(read.config.benchmark, folder=folder)
    return Setting(engine, prepare(read, engine, items, chosen, Silent()), folder), chosen


async def simulated(folder: FilePath) -> dict[str, Any]:
    """Each measurement on an engine of its own, whose cache is empty."""
    read = experiment(SIMULATED, JUDGES, folder, 8)
    setting, chosen = await set_up(read, folder)

    async def fresh() -> Setting:
        engine = make_engine(read.config.model)
        await engine.start()
        return setting._replace(engine=engine)

    generation, paths = await play(await fresh(), chosen[0], _Free())
    found: dict[str, Any] = {}
    for arm in chosen:
        judging, n_judged = await judge_alone(await fresh(), arm, paths)
        both, _ = await play(await fresh(), arm, arm.verifier)
        slow, _ = await play(await fresh(), arm, arm.verifier, in_flight=1)
        found[arm.label] = result(generation, judging, both, n_judged)
        found[arm.label]["seconds"]["one_problem_at_a_time"] = round(slow, 3)
    return found


class _Free(Verifier):
    """Costs nothing."""

    async def __call__(
        self, problem: Problem, paths: Sequence[Path], ctx: Context
    ) -> Sequence[float]:
        """Zeros."""
        return [0.0] * len(paths)


async def embedded(folder: FilePath) -> dict[str, Any]:
    """All measurements in turn on one engine, its prefix cache emptied before each."""
    from ttscale.engine.vllm import VLLMEngine

    setting, chosen = await set_up(experiment(EMBEDDED, QUICK_JUDGES, folder, 8), folder)
    engine = setting.engine
    assert isinstance(engine, VLLMEngine), "the embedded model runs on vLLM"
    found = {}
    await play(setting, chosen[0], _Free())
    for arm in chosen:
        turns: list[tuple[float, float, float]] = []
        n_judged = 0
        for _ in range(N_TURNS):
            await engine._process.llm.reset_prefix_cache()
            generation, paths = await play(setting, arm, _Free())
            await engine._process.llm.reset_prefix_cache()
            judging, n_judged = await judge_alone(setting, arm, paths)
            await engine._process.llm.reset_prefix_cache()
            both, _ = await play(setting, arm, arm.verifier)
            turns.append((generation, judging, both))
            print(arm.label, *(f"{each:.1f} s" for each in turns[-1]), file=sys.stderr)
        medians = [statistics.median(column) for column in zip(*turns, strict=True)]
        found[arm.label] = result(*medians, n_judged)
    await engine.close()
    return found


def main() -> None:
    """Measure and print one JSON object."""
    with tempfile.TemporaryDirectory() as name:
        measured = embedded if "--embedded" in sys.argv[1:] else simulated
        found = asyncio.run(measured(FilePath(name)))
    print(json.dumps({"engine": measured.__name__, **found}))


if __name__ == "__main__":
    main()
