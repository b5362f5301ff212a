"""Pass@k, majority@k and a law from a pool of 10⁸ samples: time, and the most memory held.

    python -m tests.benchmarks.large_pools [--problems 1000] [--each 100000] [--refits 200]

The samples are simulated: problems whose success rates are Beta(0.5, 1.5), each sampled equally
often; a wrong answer is one of twenty. They are written as 100 Parquet files, about half a
GiB together, and deleted afterwards. The reading is done in a process of its own, whose peak is
what the operating system says.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ttscale.record.pool import METADATA

N_WRONG = 20
N_FILES = 100


def write_pool(folder: Path, n_problems: int, n_samples: int) -> None:
    """Write a simulated pool, problem by problem, a file for each hundredth of the problems."""
    rng = np.random.default_rng(0)
    rates = rng.beta(0.5, 1.5, n_problems)
    shares = 1 / np.arange(1, N_WRONG + 1)
    wrong_ones = rng.choice(np.arange(1, N_WRONG + 1), 1 << 16, p=shares / shares.sum())
    finishes = pa.array(["stop", "length"])
    metadata = {"model": "simulated", "benchmark": "simulated", "simulated": True}
    for number, problems in enumerate(np.array_split(np.arange(n_problems), N_FILES)):
        ids = pa.array([f"problem-{problem}" for problem in problems])
        rows = len(problems) * n_samples
        owner = np.repeat(np.arange(len(problems), dtype=np.int32), n_samples)
        chance = np.repeat(rates[problems].astype(np.float32), n_samples)
        right = rng.random(rows, dtype=np.float32) < chance
        wrong = wrong_ones[rng.integers(0, 1 << 16, rows, dtype=np.uint16)]
        cut = (rng.integers(0, 50, rows, dtype=np.uint8) == 0).astype(np.int32)
        table = pa.table(
            {
                "problem_id": pa.DictionaryArray.from_arrays(owner, ids),
                "sample_index": np.tile(np.arange(n_samples), len(problems)),
                "answer_class": np.where(right, 0, wrong),
                "correct": right,
                "n_generated_tokens": rng.integers(20, 500, rows, dtype=np.int32),
                "finish_reason": pa.DictionaryArray.from_arrays(cut, finishes),
            }
        ).replace_schema_metadata({METADATA: json.dumps(metadata).encode()})
        pq.write_table(table, folder / f"part-{number:03d}.parquet", compression="zstd")


def read(folder: Path, n_refits: int) -> dict[str, object]:
    """Study the pool as `ttscale fit` does; seconds and peaks of this process."""
    from ttscale.laws.sampled import choose_samples
    from ttscale.laws.study import study
    from ttscale.record.samples import read_samples

    started = time.perf_counter()
    samples = choose_samples(read_samples(folder))
    reduced = time.perf_counter()
    reading_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    record = study(samples, n_bootstrap=n_refits).to_json()
    ended = time.perf_counter()
    curve, votes = record["curve"], record["curves"]["majority"]
    return {
        "n_samples": record["n_samples"],
        "n_problems": record["n_problems"],
        "pass@1": round(curve[0]["estimate"], 4),
        "pass@max": round(curve[-1]["estimate"], 4),
        "majority@max": round(votes[-1]["estimate"], 4),
        "seconds_reading": round(reduced - started, 1),
        "seconds_of_curves_and_laws": round(ended - reduced, 1),
        "peak_gib_reading": round(reading_peak / 2**20, 2),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def main() -> None:
    """Write, read in another process, delete; print one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--each", type=int, default=100_000)
    parser.add_argument("--refits", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--read", type=Path, default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read is not None:
        print(json.dumps(read(given.read, given.refits)))
        return
    folder = Path(tempfile.mkdtemp(dir=given.folder))
    try:
        started = time.perf_counter()
        write_pool(folder, given.problems, given.each)
        written = round(time.perf_counter() - started, 1)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 2**30
        command = [sys.executable, "-m", "tests.benchmarks.large_pools", "--read", str(folder)]
        command += ["--refits", str(given.refits)]
        result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        print(json.dumps({"gib_on_disk": round(size, 2), "seconds_writing": written} | result))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
