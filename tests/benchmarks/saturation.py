"""Does a strategy keep vLLM as busy as a bare call of vLLM does?

    python -m tests.benchmarks.saturation

Generated tokens per second of `best_of_n` and `majority_vote` over 64 problems × 8 samples through
the whole of ttscale (journal, ledger, grading), divided by one `LLM.generate` call on the same
prompts, parameters and seeds, with the same engine arguments. The three are measured in turn, five
times, in one run; the figures are medians of the ratios of one turn. Prefix caches are emptied
before each measurement, and so are the journals.

The bare call's process is vLLM's in-process engine (VLLM_ENABLE_V1_MULTIPROCESSING=0); ttscale's
engine, started with the same variable, runs in one child process.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path as FilePath
from typing import Any, NamedTuple

import yaml

from tests.contract.playing import Silent
from ttscale.benchmark.source import load as load_items
from ttscale.engine.protocol import Sampling
from ttscale.engine.vllm import VLLMConfig, VLLMEngine
from ttscale.engine.vllm_process import engine_arguments
from ttscale.record.journal import Journal
from ttscale.record.ledger import Ledger
from ttscale.run.attempt import attempt
from ttscale.run.config import Experiment, load
from ttscale.run.judging import Judge
from ttscale.run.prepare import prepare
from ttscale.run.sweep import Arm, arms
from ttscale.session import Session, base_seed
from ttscale.trace import Problem

N_PROBLEMS, N_SAMPLES, N_TURNS = 64, 8, 5

CONFIG: dict[str, Any] = {
    "name": "saturation",
    "model": "embedded",
    "benchmark": {
        "reasoning_gym": {"task": "chain_sum", "params": {"max_terms": 4, "max_digits": 2}},
        "size": N_PROBLEMS,
        "seed": 1,
        "extract": "last_number",
    },
    "sampling": {"temperature": 0.7, "max_tokens": 24},
    "strategies": [
        {"name": "best_of_n", "n": N_SAMPLES, "verifier": "mean_logprob"},
        {"name": "majority_vote", "n": N_SAMPLES},
    ],
}


async def strategy_rate(
    experiment: Experiment, arm: Arm, engine: VLLMEngine, problems: list[Problem], folder: FilePath
) -> float:
    """Tokens per second of one strategy over all problems, grading included."""
    await engine._process.llm.reset_prefix_cache()
    journal = Journal(folder / f"{time.monotonic_ns()}.sqlite")
    async with Judge(experiment.config, journal) as judge:
        session = Session(engine, journal, Ledger(), judge, seed=experiment.config.seed)
        started = time.perf_counter()
        await asyncio.gather(
            *(asyncio.create_task(attempt(session, experiment, arm, p)) for p in problems)
        )
        seconds = time.perf_counter() - started
    journal.close()
    totals = session.ledger.totals()["generate"]
    assert totals.n_sequences == N_PROBLEMS * N_SAMPLES
    return totals.n_generated_tokens / seconds


def bare_rate(
    llm: Any, problems: list[Problem], seeds: list[int], sampling: Sampling, n: int
) -> float:
    """Tokens per second of one `LLM.generate` call for n streams of each problem."""
    from vllm import SamplingParams

    llm.reset_prefix_cache()
    prompts, parameters = [], []
    for problem, seed in zip(problems, seeds, strict=True):
        for stream in range(n):
            prompts.append({"prompt_token_ids": problem.root.token_ids.tolist()})
            parameters.append(
                SamplingParams(
                    temperature=sampling.temperature,
                    max_tokens=sampling.max_tokens,
                    ignore_eos=sampling.ignore_eos,
                    seed=seed + stream,
                    logprobs=0,
                    flat_logprobs=True,
                )
            )
    started = time.perf_counter()
    outputs = llm.generate(prompts, parameters, use_tqdm=False)
    seconds = time.perf_counter() - started
    return sum(len(output.outputs[0].token_ids) for output in outputs) / seconds


class Stage(NamedTuple):
    """What is measured: an experiment, ttscale's engine and the bare one, both on one model."""

    experiment: Experiment
    arms: list[Arm]
    engine: VLLMEngine
    llm: Any
    problems: list[Problem]

    def seeds(self, folder: FilePath) -> list[int]:
        """Seeds of stream 0 of each problem's plain samples."""
        keys = Session(self.engine, Journal(folder / "keys.sqlite"), Ledger(), None)  # type: ignore[arg-type]
        calls = [
            keys.call(self.engine, problem.root.token_ids, self.arms[0].sampling, "")
            for problem in self.problems
        ]
        return [base_seed(call.base) for call in calls]


async def set_stage(config: dict[str, Any], folder: FilePath) -> Stage:
    """Load both engines with the same arguments, and the problems."""
    path = folder / f"{config['name']}.yaml"
    path.write_text(yaml.safe_dump(config))
    experiment = load(path)
    chosen = arms(experiment)
    model = experiment.config.model
    assert isinstance(model, VLLMConfig)
    engine = VLLMEngine(model, folder / "engine.log")
    await engine.start()
    from vllm import LLM

    from ttscale.engine import embedded

    arguments = engine_arguments(model, embedded.ensure(), on_gpu=False)
    llm = LLM(**{key: value for key, value in arguments.items() if key != "revision"})
    items = load_items(experiment.config.benchmark, folder=folder)
    return Stage(
        experiment, chosen, engine, llm, prepare(experiment, engine, items, chosen, Silent())
    )


def summary(rates: dict[str, list[float]]) -> dict[str, Any]:
    """Rates by turn, and the median over turns of the ratio to the bare call."""
    return {
        "tokens_per_second": {name: [round(x, 1) for x in rate] for name, rate in rates.items()},
        "ratio_to_bare": {
            name: round(
                statistics.median(a / b for a, b in zip(rate, rates["bare"], strict=True)), 3
            )
            for name, rate in rates.items()
            if name != "bare"
        },
    }


async def measure(folder: FilePath) -> dict[str, Any]:
    """All three in turn."""
    stage = await set_stage(CONFIG, folder)
    experiment, chosen, engine, llm, problems = stage
    sampling, seeds = chosen[0].sampling, stage.seeds(folder)
    rates: dict[str, list[float]] = {"bare": [], **{arm.label: [] for arm in chosen}}
    bare_rate(llm, problems[:8], seeds[:8], sampling, N_SAMPLES)  # both engines warm
    await strategy_rate_warm(experiment, chosen[0], engine, problems[:8], folder)
    for _ in range(N_TURNS):
        rates["bare"].append(bare_rate(llm, problems, seeds, sampling, N_SAMPLES))
        for arm in chosen:
            rates[arm.label].append(await strategy_rate(experiment, arm, engine, problems, folder))
    await engine.close()
    return summary(rates)


async def strategy_rate_warm(
    experiment: Experiment, arm: Arm, engine: VLLMEngine, problems: list[Problem], folder: FilePath
) -> None:
    """A first round that is not counted."""
    journal = Journal(folder / "warm.sqlite")
    async with Judge(experiment.config, journal) as judge:
        session = Session(engine, journal, Ledger(), judge)
        for problem in problems:
            await attempt(session, experiment, arm, problem)
    journal.close()


def main() -> None:
    """Measure and print one JSON object."""
    with tempfile.TemporaryDirectory() as name:
        result = asyncio.run(measure(FilePath(name)))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
