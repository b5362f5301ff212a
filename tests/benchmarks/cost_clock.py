"""The cost model against the clock: decode steps of the embedded model on vLLM.

    python -m tests.benchmarks.cost_clock

Times single decode steps over a grid of batch sizes and context lengths, every sequence with a
context of its own (siblings on one prompt would find each other's keys in the processor's cache).
The machine's peaks are measured first. Half of the grid, every other cell, calibrates; the other
half is predicted, and so the other way round. Beside it stands the usual estimate, time in
proportion to 2 × parameters × tokens, fitted to the same half.

Writes `results/reference/cost_clock.json`, and with matplotlib `docs/images/cost_clock.svg`.
"""

from __future__ import annotations

import json
import os
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
IMAGES = Path("docs/images")
BATCHES, CONTEXTS = (1, 4, 16, 32), (128, 512, 1024, 2048)
N_STEPS = 16  # timed in each cell
SETTLING = 3  # steps before them, prefill included
AGREE = 0.05  # a cell is done when its two fastest medians are within this of each other …
ROUNDS = 25  # … or after so many
Seconds = npt.NDArray[np.float64]


class Clock:
    """An engine in this process that is stepped by hand."""

    def __init__(self, n_sequences: int, n_context: int) -> None:
        # Before vllm is imported: its engine runs in this process, where it can be stepped.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
        from vllm import LLM

        from ttscale.engine import embedded
        from ttscale.engine.vllm import VLLMConfig
        from ttscale.engine.vllm_process import engine_arguments

        n_tokens = n_context + N_STEPS + 64
        gib = 1.1 * n_sequences * (n_tokens + 64) * 46_080 / 2**30
        config = VLLMConfig(
            dtype="float32",
            max_context=n_tokens,
            max_num_seqs=n_sequences,
            kv_cache_gib=gib,
        )
        arguments = engine_arguments(config, embedded.ensure(), on_gpu=False)
        self.engine = LLM(**arguments).llm_engine
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
    """Seconds of a decode step, batches × contexts: the fastest median, once a second confirms it.

    What else runs on the machine makes a median slow, never fast.
    """
    clock = Clock(max(batches), max(contexts))
    clock.steps(max(batches), max(contexts))  # fills the prefix cache: all else continues from it
    cells = [(batch, context) for batch in batches for context in contexts]
    medians: dict[tuple[int, int], list[float]] = {cell: [] for cell in cells}
    for _ in range(ROUNDS):
        for cell in (cell for cell in cells if not _settled(medians[cell])):
            medians[cell].append(statistics.median(clock.steps(*cell)))
        best = np.array([min(medians[cell]) for cell in cells]).reshape(len(batches), -1)
        n_left = sum(not _settled(medians[cell]) for cell in cells)
        print(np.round(best * 1e3, 1), n_left, "left", file=sys.stderr, flush=True)
    return best


def _settled(medians: list[float]) -> bool:
    fastest = sorted(medians)[:2]
    return len(fastest) == 2 and fastest[1] <= fastest[0] * (1 + AGREE)


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
        draw(result, even, IMAGES / "cost_clock.svg")


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
