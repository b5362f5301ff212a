"""How long law fits take with 1,000 bootstrap refits, on one core.

    OMP_NUM_THREADS=1 python tests/benchmarks/laws_speed.py [--repeats 3]

Prints a Markdown table of the best of several: seconds of wall time, and of the processor's time,
which is the one to read on a machine that others use too.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from ttscale.laws import MIXING, fit_coverage, fit_curve
from ttscale.stats import log_spaced, pass_at_k

# The bar: the first of these in under 10 s.
POOLS = ((1_000, 1_000), (128, 10_000))


def best_of(repeats: int, fit: Callable[..., object]) -> tuple[float, float]:
    """Least wall and processor seconds over repeats."""
    walls, processors = [], []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        fit(n_bootstrap=1000, rng=np.random.default_rng(1))
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    return min(walls), min(processors)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    print("| problems | samples | law | wall s | processor s |\n|---|---|---|---|---|")
    for n_problems, n in POOLS:
        rng = np.random.default_rng(0)
        counts = rng.binomial(n, 0.5 * rng.beta(0.3, 3.5, n_problems))
        drawn = np.full(n_problems, n)
        ks = log_spaced(n, 50)
        matrix = pass_at_k(drawn[:, None], counts[:, None], ks)
        laws = (*MIXING, "exponentiated_power") if (n_problems, n) == POOLS[0] else ()
        fits: dict[str, Callable[..., object]] = {
            law: partial(fit_coverage, drawn, counts, law=law) for law in ("auto", *laws)
        }
        fits["auto, as a majority curve"] = partial(fit_curve, matrix, ks, selector="majority")
        for name, fit in fits.items():
            wall, processor = best_of(repeats, fit)
            print(f"| {n_problems} | {n} | {name} | {wall:.2f} | {processor:.2f} |", flush=True)


if __name__ == "__main__":
    main()
