"""How long the law fits take: 1,000 problems x 1,000 samples, 1,000 bootstrap refits, one core.

OMP_NUM_THREADS=1 python tests/benchmarks/laws_speed.py
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from ttscale.laws import MIXING, fit_coverage, fit_curve
from ttscale.stats import log_spaced, pass_at_k


def main() -> None:
    print("| problems | samples | law | seconds |\n|---|---|---|---|")
    for n_problems, n in ((1_000, 1_000), (128, 10_000), (1_000, 10_000)):
        rng = np.random.default_rng(0)
        counts = rng.binomial(n, 0.5 * rng.beta(0.3, 3.5, n_problems))
        drawn = np.full(n_problems, n)
        for law in (*MIXING, "exponentiated_power", "auto"):
            started = time.perf_counter()
            fit_coverage(drawn, counts, law=law, n_bootstrap=1000, rng=np.random.default_rng(1))
            seconds = time.perf_counter() - started
            print(f"| {n_problems} | {n} | {law} | {seconds:.2f} |", flush=True)
        ks = log_spaced(n, 50)
        matrix = pass_at_k(drawn[:, None], counts[:, None], ks)
        started = time.perf_counter()
        fit_curve(matrix, ks, selector="majority", rng=np.random.default_rng(1))
        print(f"| {n_problems} | {n} | auto, as a majority curve | "
              f"{time.perf_counter() - started:.2f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
