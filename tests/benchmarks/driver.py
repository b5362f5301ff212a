"""What the driver can keep up with: sampled paths a minute end to end, and memory against samples.

    python -m tests.benchmarks.driver [--samples 10000,100000,1000000] [--workers 0,1,2]

`ttscale run` on the simulated engine without latency: 64 samples and a vote on each problem, every
sample journaled, billed, graded, and written to the pool. Each cell is a process of its own; 0
workers are the local runner, others a local Ray cluster. Times leave the loading of engines out
and the writing of the pool, the ledger and the summary in; for Ray, the memory is the driver's.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

N_EACH = 64


class Silent:
    """A display that notes when work began."""

    began = 0.0

    def say(self, text: str) -> None:
        """Nothing."""

    def begin(self, n_tasks: int, session: object, engine: object) -> None:
        """Start the clock."""
        self.began = time.perf_counter()

    def done(self, n_failed: int) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


def measure(n_samples: int, workers: int) -> dict[str, object]:
    """One run, in this process."""
    from ttscale.cluster.driver import run_on_ray
    from ttscale.run.config import load
    from ttscale.run.runner import run

    instant = {"round_seconds": 0, "stream_seconds": 0, "prefill_seconds": 0}
    config = {
        "name": "driver",
        "model": {"engine": "simulated", "timing": instant},
        "benchmark": {"simulated": {}, "size": n_samples // N_EACH},
        "sampling": {"max_tokens": 600},
        "strategies": [{"name": "majority_vote", "n": N_EACH}],
        "run": {"concurrency": 32, "ray": {"workers": max(1, workers), "cpus": 0.5}},
    }
    display = Silent()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "driver.yaml"
        path.write_text(yaml.safe_dump(config))
        experiment, results = load(path), Path(name) / "results"
        if workers:
            run_on_ray(experiment, results, display, fresh=False, address="auto")
        else:
            run(experiment, results, display, fresh=False)
        ended = time.perf_counter()
        size = (results / "driver" / "journal.sqlite").stat().st_size
    seconds = ended - display.began
    n = n_samples // N_EACH * N_EACH
    return {
        "samples": n,
        "workers": workers,
        "seconds": round(seconds, 1),
        "paths_per_minute": round(60 * n / seconds),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "journal_mib": size >> 20,
    }


def main() -> None:
    """Measure every cell in a process of its own; print one JSON object a line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", default="10000,100000,1000000")
    parser.add_argument("--workers", default="0,1,2")
    parser.add_argument("--cell", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cell:
        print(json.dumps(measure(int(given.samples), int(given.workers))))
        return
    for workers in given.workers.split(","):
        for n_samples in given.samples.split(","):
            cell = ["--cell", "--samples", n_samples, "--workers", workers]
            command = [sys.executable, "-m", "tests.benchmarks.driver", *cell]
            subprocess.run(command, check=True, env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"})


if __name__ == "__main__":
    main()
