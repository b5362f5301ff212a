"""How long the estimators take on large pools, beside scorio: prints a Markdown table.

    OMP_NUM_THREADS=1 taskset -c 1 python tests/benchmarks/stats_speed.py [--skip-scorio]

The pool is simulated: problems of mixed difficulty, wrong answers with a long (Zipf) tail of classes,
some abstentions, four scores (two continuous, one with ties, one with NaN). scorio has no curve
functions, so it is called once per k; where all its calls would take minutes, some are timed and
the total is extrapolated, which the table says. Times depend on the machine; nothing is asserted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ttscale.stats import best_of_k, log_spaced, majority_at_k, mean_interval, pass_at_k


@dataclass
class SimulatedPool:
    """correct, label: (problems, samples); scores: name -> (problems, samples)."""

    correct: np.ndarray
    label: np.ndarray
    scores: dict[str, np.ndarray]

    @classmethod
    def draw(cls, n_problems: int, n_samples: int, seed: int = 0) -> SimulatedPool:
        rng = np.random.default_rng(seed)
        shape = (n_problems, n_samples)
        rate = rng.beta(0.5, 0.8, (n_problems, 1))
        abstain = rng.random(shape) < rng.beta(0.3, 6.0, (n_problems, 1))
        correct = (rng.random(shape) < rate) & ~abstain
        tail = rng.uniform(1.1, 2.5, (n_problems, 1))
        label = np.where(correct, 0, np.minimum(rng.zipf(tail, shape), 10**6))
        label[abstain] = -1
        signal = correct + rng.normal(size=shape)
        scores = {
            "good": signal,
            "poor": 0.2 * correct + rng.normal(size=shape),
            "ties": np.round(signal),
            "nans": np.where(rng.random(shape) < 0.05, np.nan, signal),
        }
        return cls(correct, label, scores)

    def class_counts(self) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """Class sizes per problem, index of the right class, abstentions."""
        rows, right, abstain = [], [], []
        for labels in self.label:
            classes, sizes = np.unique(labels[labels >= 0], return_counts=True)
            rows.append(sizes)
            right.append(0 if len(classes) and classes[0] == 0 else -1)
            abstain.append(int((labels < 0).sum()))
        return rows, np.array(right), np.array(abstain)


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def ours(pool: SimulatedPool, *, intervals: bool, majority: bool) -> dict[str, float]:
    rng = np.random.default_rng(1)
    n_problems, n = pool.correct.shape
    ks = np.arange(1, n + 1)
    curves: dict[str, np.ndarray] = {}

    def coverage() -> None:
        curves["coverage"] = pass_at_k(n, pool.correct.sum(axis=1)[:, None], ks)

    def best() -> None:
        for name, score in pool.scores.items():
            curves[name] = best_of_k(score, pool.correct, ks)

    def vote() -> None:
        rows, right, abstain = pool.class_counts()
        curves["majority"] = majority_at_k(rows, right, log_spaced(n), abstain)

    def resample() -> None:
        for curve in curves.values():
            mean_interval(curve, rng, n_resamples=1000)

    seconds = {
        f"pass@k, all {n:,} k": timed(coverage),
        f"best-of-k, all {n:,} k, 4 scores": timed(best),
    }
    if majority:
        seconds[f"majority@k, {len(log_spaced(n))} log-spaced k, exact to 1e-9"] = timed(vote)
    if intervals:
        seconds[f"intervals of all {len(curves)} curves, 1,000 resamples"] = timed(resample)
    return seconds


def theirs(pool: SimulatedPool) -> dict[str, tuple[float, str]]:
    import scorio

    rng = np.random.default_rng(2)
    n_problems, n = pool.correct.shape
    outcomes = pool.correct.astype(int)
    some = [int(k) for k in log_spaced(n, 12)]
    coverage = sum(timed(lambda k=k: scorio.eval.pass_at_k(outcomes, k)) for k in some)
    interval = sum(timed(lambda k=k: scorio.eval.pass_at_k_ci(outcomes, k)) for k in some)
    answers = [[None if a < 0 else int(a) for a in row] for row in pool.label[:20]]
    subsets, ks = 250, log_spaced(n)
    voting = choosing = 0.0
    for row, score in zip(answers, pool.scores["good"][:20], strict=True):
        for k in ks:
            chosen = rng.permutation(n)[:k]
            drawn, scored = [row[i] for i in chosen], score[chosen]
            voting += timed(lambda d=drawn: scorio.agg.majority_vote(d))
            choosing += timed(lambda d=drawn, s=scored: scorio.agg.best_of_n(d, s))
    per_subset = n_problems / len(answers)
    return {
        f"pass_at_k, all {n:,} k": (coverage / len(some) * n, f"from {len(some)} of {n:,} calls"),
        f"pass_at_k_ci (its own, Bayesian interval), all {n:,} k": (
            interval / len(some) * n,
            f"from {len(some)} of {n:,} calls",
        ),
        f"agg.majority_vote, {len(ks)} k, {subsets} random subsets each (error of the mean <= 0.001)": (
            voting * per_subset * subsets,
            f"from one subset per k of {len(answers)} problems",
        ),
        f"agg.best_of_n, {len(ks)} k, {subsets} random subsets each, one score": (
            choosing * per_subset * subsets,
            f"from one subset per k of {len(answers)} problems",
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skip-scorio", action="store_true")
    arguments = parser.parse_args()
    pool = SimulatedPool.draw(1000, 1000)
    pass_at_k(3, 1, 1)
    for title, seconds in (
        ("1,000 problems x 1,000 samples", ours(pool, intervals=True, majority=True)),
        (
            "1,000 problems x 10,000 samples",
            ours(SimulatedPool.draw(1000, 10_000), intervals=False, majority=False),
        ),
    ):
        print(f"\n| ttscale, {title} | seconds |\n|---|---|")
        for what, value in seconds.items():
            print(f"| {what} | {value:.2f} |")
        print(f"| together | {sum(seconds.values()):.2f} |")
    if not arguments.skip_scorio:
        print("\n| scorio, 1,000 problems x 1,000 samples | seconds | how |\n|---|---|---|")
        for what, (value, how) in theirs(pool).items():
            print(f"| {what} | {value:,.1f} | {how} |")


if __name__ == "__main__":
    main()
