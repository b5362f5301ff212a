"""Does a search keep vLLM as busy as a bare call of vLLM does?

    python -m tests.benchmarks.search_saturation [16]

`beam_search` and `particle_filter`, n = 4, over 32 problems in flight, so 128 running sequences, in
four steps of 16 tokens (or as many as are asked for), through the whole of ttscale; generated
tokens per second, divided by those of one `LLM.generate` call for 128 sequences of as many tokens
on the same prompts. Measured in turn, three times, in one run; figures are medians of the ratios of
one turn. Scores are the policy's own log-probabilities, which cost nothing, so that the engine's
idle time is what is seen. The same searches with one problem at a time, once, on an eighth of the
problems, stand beside it.

`recomputed`: prompt tokens that the engine computed though the same search had them computed
before, over those that nobody had: (all computed) / (ideal). The engine shares whole blocks of 32
tokens and always computes the last token, so the ideal is counted in blocks; beside it, in tokens.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path as FilePath
from typing import Any

from tests.benchmarks.saturation import bare_rate, set_stage, summary
from ttscale.engine.vllm import VLLMEngine
from ttscale.record.journal import Journal
from ttscale.record.ledger import Ledger
from ttscale.run.attempt import attempt
from ttscale.run.config import Experiment
from ttscale.run.judging import Judge
from ttscale.run.sweep import Arm
from ttscale.session import Session
from ttscale.trace import Problem

N_PROBLEMS, N, N_STEPS, N_TURNS = 32, 4, 4, 3
BLOCK = 32

CONFIG: dict[str, Any] = {
    "name": "search_saturation",
    "model": "embedded",
    "benchmark": {
        "reasoning_gym": {"task": "chain_sum", "params": {"max_terms": 4, "max_digits": 2}},
        "size": N_PROBLEMS,
        "seed": 1,
        "extract": "last_number",
    },
    "strategies": [
        {"name": "beam_search", "n": N, "width": 2, "verifier": "mean_logprob"},
        {"name": "particle_filter", "n": N, "verifier": "mean_logprob"},
    ],
}


async def search_rate(
    experiment: Experiment,
    arm: Arm,
    engine: VLLMEngine,
    problems: list[Problem],
    folder: FilePath,
    *,
    at_once: bool = True,
) -> tuple[float, dict[str, float]]:
    """Tokens per second of one search over the problems, grading included, and its reuse."""
    await engine._process.llm.reset_prefix_cache()
    journal = Journal(folder / f"{time.monotonic_ns()}.sqlite")
    async with Judge(experiment.config, journal) as judge:
        session = Session(engine, journal, Ledger(), judge, seed=experiment.config.seed)
        started = time.perf_counter()
        if at_once:
            tasks = [
                asyncio.create_task(attempt(session, experiment, arm, problem))
                for problem in problems
            ]
            outcomes = await asyncio.gather(*tasks)
        else:
            outcomes = [await attempt(session, experiment, arm, problem) for problem in problems]
        seconds = time.perf_counter() - started
    journal.close()
    assert not [outcome.error for outcome in outcomes if outcome.error]
    return session.n_fresh_tokens / seconds, reuse(session.ledger.table().to_pylist())


def reuse(entries: list[dict[str, Any]]) -> dict[str, float]:
    """Prompt tokens computed over the ideal, in whole blocks and in tokens."""
    figures = {}
    for unit, size in (("in_blocks", BLOCK), ("in_tokens", 1)):
        ideal = lost = 0
        for entry in entries:
            n, shared = entry["n_prompt_tokens"], entry["n_shared_tokens"]
            sharable = min(shared, n - 1) // size * size
            ideal += n - sharable
            lost += max(0, sharable - entry["n_cached_tokens"])
        figures[unit] = round((ideal + lost) / ideal, 4)
    return figures


async def measure(folder: FilePath, n_step: int) -> dict[str, Any]:
    """All in turn, in steps of so many tokens."""
    sampling = {"temperature": 0.7, "max_tokens": N_STEPS * n_step, "ignore_eos": True}
    stage = await set_stage({**CONFIG, "sampling": sampling, "step": {"tokens": n_step}}, folder)
    experiment, chosen, engine, llm, problems = stage
    sampling, seeds = chosen[0].sampling, stage.seeds(folder)
    rates: dict[str, list[float]] = {"bare": [], **{arm.label: [] for arm in chosen}}
    recomputed: dict[str, dict[str, float]] = {}
    bare_rate(llm, problems[:4], seeds[:4], sampling, N)  # both engines warm
    await search_rate(experiment, chosen[0], engine, problems[:4], folder)
    for _ in range(N_TURNS):
        rates["bare"].append(bare_rate(llm, problems, seeds, sampling, N))
        for arm in chosen:
            rate, reused = await search_rate(experiment, arm, engine, problems, folder)
            rates[arm.label].append(rate)
            recomputed[arm.label] = reused
    few = problems[: N_PROBLEMS // 8]
    alone = {
        arm.label: (await search_rate(experiment, arm, engine, few, folder, at_once=False))[0]
        for arm in chosen
    }
    await engine.close()
    return {
        "tokens_per_step": n_step,
        **summary(rates),
        "recomputed": recomputed,
        "one_problem_at_a_time": {name: round(rate, 1) for name, rate in alone.items()},
    }


def main() -> None:
    """Measure and print one JSON object."""
    n_step = int(sys.argv[1]) if len(sys.argv) > 1 else 16
    with tempfile.TemporaryDirectory() as name:
        result = asyncio.run(measure(FilePath(name), n_step))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
