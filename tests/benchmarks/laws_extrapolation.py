"""Fit on k <= 100, predict k = 10,000: the laws beside the plain log-log fit.

    python tests/benchmarks/laws_extrapolation.py [--repeats 40]

Prints a Markdown table: median relative error over simulated pools of 128 problems, against the
coverage of infinitely many problems ("law") and of the pool's own 128 ("pool").
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from laws_truths import TRUTHS, Truth

from ttscale.laws import fit_coverage, loglog_fit
from ttscale.stats import log_spaced, pass_at_k

N_PROBLEMS, FAR = 128, 10_000.0
# n samples a problem, and the k that a fit may use.
SETTINGS = ((100, 100), (1_000, 100), (10_000, 100), (10_000, 10_000))


def errors(truth: Truth, n: int, fit_up_to: int, repeats: int) -> np.ndarray:
    """Relative errors, (repeats, target, quantity, method): law|pool, 1-cov|cov, ours|log-log."""
    limit = truth.failure(np.array([FAR]))[0]
    result = []
    for repeat in range(repeats):
        rng = np.random.default_rng([repeat, n])
        p = truth.draw(rng, N_PROBLEMS)
        counts = rng.binomial(n, p)
        drawn = np.full(N_PROBLEMS, n)
        fit = fit_coverage(drawn, counts, fit_up_to=fit_up_to, n_bootstrap=0, rng=rng)
        ks = log_spaced(100, 40)
        plain = loglog_fit(ks, pass_at_k(drawn[:, None], counts[:, None], ks).mean(axis=0))
        guesses = 1 - np.array([fit.predict(FAR).value[0], plain.coverage(np.array([FAR]))[0]])
        own = ((1 - p) ** FAR).mean()
        rows = []
        for target in (limit, own):
            gap = np.abs(guesses - target)
            rows.append([gap / max(target, 1e-12), gap / (1 - target)])
        result.append(rows)
    return np.array(result)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=40)
    repeats = parser.parse_args().repeats
    print("| truth | n | k fitted | 1-cov(1e4) | err 1-cov: pooled | log-log | of the pool's own: "
          "pooled | log-log | err cov: pooled | log-log |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    summary: dict[tuple[str, int, int], list[np.ndarray]] = {}
    for n, fit_up_to in SETTINGS:
        for truth in TRUTHS:
            all_errors = errors(truth, n, fit_up_to, repeats)
            middle = np.median(all_errors, axis=0)
            summary.setdefault((truth.group, n, fit_up_to), []).append(all_errors)
            far = truth.failure(np.array([FAR]))[0]
            cells = [*middle[0, 0], *middle[1, 0], *middle[0, 1]]
            print(f"| {truth.name} | {n} | {fit_up_to} | {far:.3g} | "
                  + " | ".join(f"{x:.3g}" for x in cells) + " |", flush=True)  # fmt: skip
    print("\n| family | n | k fitted | err 1-cov: pooled | log-log | of the pool's own: pooled "
          "| log-log | err cov: pooled | log-log |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for (group, n, fit_up_to), parts in summary.items():
        middle = np.median(np.concatenate(parts), axis=0)
        cells = [*middle[0, 0], *middle[1, 0], *middle[0, 1]]
        print(f"| {group} | {n} | {fit_up_to} | " + " | ".join(f"{x:.3g}" for x in cells) + " |")


if __name__ == "__main__":
    main()
