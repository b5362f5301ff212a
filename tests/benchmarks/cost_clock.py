"""The cost model against the clock: decode steps of the embedded model on vLLM.

    python -m tests.benchmarks.cost_clock

Times single decode steps over a grid of batch sizes and context lengths, every sequence with a
context of its own (siblings on one prompt would find each other's keys in the processor's cache).
The machine's peaks are measured first. Half of the grid, every other cell, calibrates; the other
half is predicted, and so the other way round. Beside it stands the usual estimate, time in
proportion to 2 × parameters × tokens, fitted to the same half.

Writes `results/reference/cost_clock.json`, and with matplotlib `cost_clock.svg`.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ttscale.cost import Architecture, Calibration, Hardware, Work, calibrate, decode_work
from ttscale.cost.price import roofline_seconds
from ttscale.cost.probe import probe

FOLDER = Path("results/reference")
BATCHES, CONTEXTS = (1, 4, 16, 32), (128, 512, 1024, 2048)
N_STEPS = 16  # timed in each cell
SETTLING = 3  # steps before them, prefill included
ROUNDS = 3  # passes over the grid; the faster median counts
Seconds = npt.NDArray[np.float64]


class Clock:
    """An engine in this process that is stepped by hand."""

    def __init__(self, n_sequences: int, n_context: int) -> None:
        from ttscale.engine.vllm import VLLMConfig, _model_folder, _set_environment
        from ttscale.engine.vllm import engine_arguments as arguments_of

        n_tokens = n_context + N_STEPS + 64
        gib = 1.1 * n_sequences * (n_tokens + 64) * 46_080 / 2**30
        config = VLLMConfig(
            dtype="float32",
            max_context=n_tokens,
            max_num_seqs=n_sequences,
            kv_cache_gib=gib,
        )
        _set_environment(config, on_gpu=False)
        from vllm import LLM

        self.engine = LLM(**arguments_of(config, _model_folder(config), on_gpu=False)).llm_engine
        rng = np.random.default_rng(0)
        self.prompts = rng.integers(1000, 49_000, (n_sequences, n_context)).tolist()
        self.n_requests = 0

    def steps(self, batch: int, n_context: int) -> list[float]:
        """Seconds of each decode step of `batch` sequences, the first at `n_context` + 3 tokens."""
        from vllm import SamplingParams

        n_steps = N_STEPS + SETTLING
        params = SamplingParams(temperature=0.8, max_tokens=n_steps + 40, ignore_eos=True)
        names = []
        for prompt in self.prompts[:batch]:
            names.append(str(self.n_requests))
            self.n_requests += 1
            tokens = {"prompt_token_ids": prompt[:n_context]}
            self.engine.add_request(names[-1], tokens, params)
        running: set[str] = set()
        while len(running) < batch:  # until every prompt is in and has given its first token
            running |= {output.request_id for output in self.engine.step()}
        seconds = []
        for _ in range(n_steps):
            started = time.perf_counter()
            outputs = self.engine.step()
            seconds.append(time.perf_counter() - started)
            assert len(outputs) == batch, "a decode step moves every sequence by one token"
        self.engine.abort_request(names)
        while self.engine.has_unfinished_requests():
            self.engine.step()
        return seconds[SETTLING:]


def measure(batches: tuple[int, ...], contexts: tuple[int, ...]) -> Seconds:
    """Median seconds of a decode step, batches × contexts, the best of the rounds."""
    clock = Clock(max(batches), max(contexts))
    clock.steps(max(batches), max(contexts))  # fills the prefix cache: all else continues from it
    rounds = []
    for _ in range(ROUNDS):
        table = np.array([[_median(clock, b, n) for n in contexts] for b in batches])
        print(np.round(table * 1e3, 1), file=sys.stderr, flush=True)
        rounds.append(table)
    best: Seconds = np.min(rounds, axis=0)
    return best


def _median(clock: Clock, batch: int, n_context: int) -> float:
    return statistics.median(clock.steps(batch, n_context))


def grid_work(
    model: Architecture, batches: tuple[int, ...], contexts: tuple[int, ...]
) -> tuple[Work, Seconds]:
    """Work of one step in every cell, flat; and the batch of each."""
    batch, context = (a.ravel() for a in np.meshgrid(batches, contexts, indexing="ij"))
    middle = context + SETTLING + N_STEPS // 2  # tokens in the cache at the median step
    return decode_work(model, middle, 1, batch=batch) * batch, batch.astype(np.float64)


def predict(
    work: Work, batch: Seconds, seconds: Seconds, train: npt.NDArray[np.bool_], machine: Hardware
) -> dict[str, tuple[Seconds, Calibration | None]]:
    """Predictions for every cell by what the training cells teach, for each model of the time."""
    found: dict[str, tuple[Seconds, Calibration | None]] = {}
    for grain in ("part", "phase"):
        fit = calibrate(work[train], seconds[train], machine, "fp32", grain)
        fitted = Hardware(
            machine.name,
            machine.flops,
            machine.bandwidth,
            machine.memory,
            calibration=fit.calibration,
        )
        found[grain] = (roofline_seconds(work, fitted, "fp32"), fit.calibration)
    rate = np.exp(np.mean(np.log(seconds[train] / batch[train])))
    found["naive"] = (rate * batch, None)
    return found


def main() -> None:
    """Measure, fit, predict, print one JSON object and write it."""
    quick = "--quick" in sys.argv
    batches, contexts = ((1, 4, 8), (64, 256)) if quick else (BATCHES, CONTEXTS)
    measured = probe(1.0 if quick else 3.0)
    machine = Hardware("this machine", measured.flops, measured.bandwidth, measured.memory)
    seconds = measure(batches, contexts).ravel()
    model = Architecture.from_config("embedded")
    work, batch = grid_work(model, batches, contexts)
    even = np.indices((len(batches), len(contexts))).sum(axis=0).ravel() % 2 == 0
    result: dict[str, Any] = {
        "machine": measured._asdict(),
        "python": platform.python_version(),
        "model": "SmolLM2-135M-Instruct, float32",
        "batches": batches,
        "contexts": contexts,
        "steps": N_STEPS,
        "seconds": seconds.tolist(),
        "halves": {},
    }
    errors: dict[str, list[float]] = {}
    for label, train in (("even cells calibrate", even), ("odd cells calibrate", ~even)):
        half = {}
        for name, (predicted, calibration) in predict(work, batch, seconds, train, machine).items():
            miss = np.abs(predicted / seconds - 1)[~train]
            errors.setdefault(name, []).extend(miss.tolist())
            half[name] = {
                "median_error": float(np.median(miss)),
                "worst_error": float(miss.max()),
                "predicted": predicted.tolist(),
                "calibration": vars(calibration) if calibration else None,
            }
        result["halves"][label] = half
    result["held_out"] = {
        name: {"median_error": float(np.median(miss)), "worst_error": max(miss)}
        for name, miss in errors.items()
    }
    print(json.dumps(result))
    if not quick:
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / "cost_clock.json").write_text(json.dumps(result, indent=1) + "\n")
        draw(result, even, FOLDER / "cost_clock.svg")


def draw(result: dict[str, Any], even: npt.NDArray[np.bool_], path: Path) -> None:
    """Predicted against measured for the cells held out."""
    try:
        import matplotlib as mpl
    except ImportError:
        return
    mpl.use("svg")
    from matplotlib import pyplot as plt

    seconds = np.array(result["seconds"]) * 1e3
    figure, axes = plt.subplots(figsize=(5, 4.2))
    for name, label, mark in (
        ("part", "ttscale, calibrated on the other half", "o"),
        ("naive", "2 × parameters × tokens", "x"),
    ):
        predicted = np.empty_like(seconds)
        for half, train in zip(result["halves"].values(), (even, ~even), strict=True):
            predicted[~train] = np.array(half[name]["predicted"])[~train] * 1e3
        axes.loglog(seconds, predicted, mark, label=label)
    ends = [seconds.min() / 2, seconds.max() * 2]
    axes.plot(ends, ends, color="grey", linewidth=1)
    axes.set_xlabel("measured decode step, ms")
    axes.set_ylabel("predicted, ms")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main()
