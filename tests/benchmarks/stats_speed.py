"""How long the estimators take on large pools, beside scorio: prints a Markdown table.

    OMP_NUM_THREADS=1 taskset -c 1 python tests/benchmarks/stats_speed.py [--skip-scorio]

The pool is simulated: problems of mixed difficulty, wrong answers with a long (Zipf) tail of
classes, some abstentions, four scores (two continuous, one with ties, one with NaN). scorio has no
functions for whole curves, so it is called once per k; where all its calls would take minutes, some
are timed and the total is extrapolated, which the table says. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

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


def voting_ks(n: int) -> np.ndarray:
    """50 different log-spaced ks."""
    return next(ks for ks in (log_spaced(n, p) for p in range(50, 200)) if len(ks) >= min(50, n))


class Seconds(NamedTuple):
    """CPU time of this process, and time on the clock (more if the core is shared)."""

    cpu: float
    wall: float

    def scaled(self, factor: float) -> Seconds:
        return Seconds(self.cpu * factor, self.wall * factor)

    @classmethod
    def total(cls, parts: Iterable[Seconds]) -> Seconds:
        cpu, wall = zip(*parts, strict=True)
        return cls(sum(cpu), sum(wall))


def timed(call: Callable[[], object]) -> Seconds:
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return Seconds(time.process_time() - cpu, time.perf_counter() - wall)


def ours(pool: SimulatedPool, *, complete: bool) -> dict[str, Seconds]:
    rng = np.random.default_rng(1)
    n = pool.correct.shape[1]
    ks = np.arange(1, n + 1)
    curves: dict[str, np.ndarray] = {}

    def coverage() -> None:
        curves["coverage"] = pass_at_k(n, pool.correct.sum(axis=1)[:, None], ks)

    def best() -> None:
        for name, score in pool.scores.items():
            curves[name] = best_of_k(score, pool.correct, ks)

    def vote() -> None:
        rows, right, abstain = pool.class_counts()
        curves["majority"] = majority_at_k(rows, right, voting_ks(n), abstain)

    def resample() -> None:
        for curve in curves.values():
            mean_interval(curve, rng, n_resamples=1000)

    seconds = {
        f"pass@k, all {n:,} k": timed(coverage),
        f"best-of-k, all {n:,} k, 4 scores": timed(best),
    }
    if complete:
        seconds[f"majority@k, {len(voting_ks(n))} log-spaced k, exact to 1e-9"] = timed(vote)
        seconds[f"intervals of all {len(curves)} curves, 1,000 resamples"] = timed(resample)
    return seconds


def theirs(pool: SimulatedPool) -> dict[str, tuple[Seconds, str]]:
    import scorio

    rng = np.random.default_rng(2)
    n_problems, n = pool.correct.shape
    outcomes = pool.correct.astype(int)
    some = [int(k) for k in log_spaced(n, 12)]
    coverage = Seconds.total(timed(lambda k=k: scorio.eval.pass_at_k(outcomes, k)) for k in some)
    interval = Seconds.total(timed(lambda k=k: scorio.eval.pass_at_k_ci(outcomes, k)) for k in some)
    answers = [[None if a < 0 else int(a) for a in row] for row in pool.label[:20]]
    subsets, ks = 250, voting_ks(n)
    voting, choosing = [], []
    for row, score in zip(answers, pool.scores["good"][:20], strict=True):
        for k in ks:
            chosen = rng.permutation(n)[:k]
            drawn, scored = [row[i] for i in chosen], score[chosen]
            voting.append(timed(lambda d=drawn: scorio.agg.majority_vote(d)))
            choosing.append(timed(lambda d=drawn, s=scored: scorio.agg.best_of_n(d, s)))
    calls = f"from {len(some)} of {n:,} calls"
    one = f"from one subset per k of {len(answers)} problems"
    factor = n_problems / len(answers) * subsets
    drawing = f"{len(ks)} k, {subsets} random subsets each"
    return {
        f"pass_at_k, all {n:,} k": (coverage.scaled(n / len(some)), calls),
        f"pass_at_k_ci, all {n:,} k": (interval.scaled(n / len(some)), calls),
        f"agg.majority_vote, {drawing} (error <= 0.001)": (
            Seconds.total(voting).scaled(factor),
            one,
        ),
        f"agg.best_of_n, {drawing}, one score": (Seconds.total(choosing).scaled(factor), one),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skip-scorio", action="store_true")
    arguments = parser.parse_args()
    pool = SimulatedPool.draw(1000, 1000)
    large = SimulatedPool.draw(1000, 10_000)
    for title, seconds in (
        ("1,000 problems x 1,000 samples", ours(pool, complete=True)),
        ("1,000 problems x 10,000 samples", ours(large, complete=False)),
    ):
        print(f"\n| ttscale, {title} | CPU s | clock s |\n|---|---|---|")
        for what, (cpu, wall) in seconds.items():
            print(f"| {what} | {cpu:.2f} | {wall:.2f} |")
        cpu, wall = Seconds.total(seconds.values())
        print(f"| together | {cpu:.2f} | {wall:.2f} |")
    if not arguments.skip_scorio:
        print("\n| scorio, 1,000 problems x 1,000 samples | CPU s | how |\n|---|---|---|")
        for what, (value, how) in theirs(pool).items():
            print(f"| {what} | {value.cpu:,.1f} | {how} |")


if __name__ == "__main__":
    main()
