"""Whether `ttscale compare` is right as often as it says, on simulated verifiers: Markdown tables.

    nice -n 19 python -m tests.benchmarks.compare_intervals [--simulations 1000] [--only ceilings]

Every simulation draws a fresh set of problems, their samples and their scores from a known
population. Shares are per cent; with 1,000 simulations the standard error of a share near 95 % is
0.7 points, of one near 5 % too. Ceilings, the slowest part, take half of the simulations.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

import numpy as np
from scipy.stats import beta

from ttscale.laws import ImperfectVerifier
from ttscale.plan.compare.scores import Resampling, find_ceiling
from ttscale.stats import (
    best_of_k,
    calibration_error,
    cross_fitted,
    holm,
    log_spaced,
    paired_p_value,
    rank_quality,
    reliability,
    turning_point,
)

N = 32
PROBLEMS = (30, 100, 300)
KS = log_spaced(N)
FEW_KS = np.array([1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32])
Pool = tuple[np.ndarray, np.ndarray]  # scores and outcomes, (problems, samples)


def outcomes(rng: np.random.Generator, size: int, a: float = 0.5, b: float = 1.0) -> np.ndarray:
    return rng.random((size, N)) < rng.beta(a, b, size)[:, None]


def inside(interval, truth: float) -> bool:
    return bool(interval.low - 1e-12 <= truth <= interval.high + 1e-12)


def noisy_oracles(simulations: int, rng: np.random.Generator) -> None:
    """Ceilings, rates and the best number of attempts against the closed form."""
    print("\n| noisy oracle: accepts right, wrong | problems | truth: ceiling, 8 attempts, best K "
          "at penalty 1 | ceiling in interval | mean error | completeness | soundness | 8 attempts "
          "| median K: closed form | K in the pool's span |")  # fmt: skip
    print("|" + "---|" * 10)
    quantiles = (np.arange(4000) + 0.5) / 4000
    for true_positive, false_positive, shape in (
        (0.9, 0.1, (0.5, 1.5)),
        (0.8, 0.3, (2.0, 4.0)),
        (1.0, 0.25, (2.0, 4.0)),
    ):
        law = ImperfectVerifier(beta.ppf(quantiles, *shape), np.full(4000, 1 / 4000),
                                true_positive, 1 - false_positive)  # fmt: skip
        ceiling, eight = float(law.outcome(np.inf).right), float(law.outcome(8).right)
        best = law.best_attempts(-1.0)
        for size in PROBLEMS:
            held, errors, attempts = np.zeros(5), [], []
            for _ in range(simulations):
                right = outcomes(rng, size, *shape)
                accepted = rng.random(right.shape) < np.where(right, true_positive, false_positive)
                found = find_ceiling(
                    np.repeat(np.arange(size), N), accepted.ravel().astype(float),
                    right.ravel().astype(float), FEW_KS, Resampling(rng, 0.95, 300),
                )  # fmt: skip
                at_eight = int(np.searchsorted(FEW_KS, 8))
                (seen,) = (one for one in found.best if one.wrong == 1.0)
                held += [
                    inside(found.accuracy, ceiling),
                    inside(found.completeness, true_positive),
                    inside(found.soundness, 1 - false_positive),
                    found.accept_first.low[at_eight] <= eight <= found.accept_first.high[at_eight],
                    seen.observed.k_low <= min(best, N) <= seen.observed.k_high,
                ]
                errors.append(float(found.accuracy.estimate) - ceiling)
                attempts.append(seen.attempts)
            share = 100 * held / simulations
            print(f"| {true_positive:g}, {false_positive:g}; p ~ Beta{shape} | {size} | "
                  f"{ceiling:.4f}, {eight:.4f}, {best:.0f} | {share[0]:.1f} | "
                  f"{np.mean(errors):+.4f} | {share[1]:.1f} | {share[2]:.1f} | {share[3]:.1f} | "
                  f"{np.median(attempts):.0f} | {share[4]:.1f} |", flush=True)  # fmt: skip


def informative(rng: np.random.Generator, size: int) -> Pool:
    """Scores one deviation higher for right answers, and higher on some problems for all."""
    right = outcomes(rng, size)
    return right + rng.normal(size=right.shape) + rng.normal(size=(size, 1)), right


def sharp(rng: np.random.Generator, size: int) -> Pool:
    right = outcomes(rng, size)
    return 2.5 * right + rng.normal(size=right.shape), right


def coarse(rng: np.random.Generator, size: int) -> Pool:
    """A judge's marks from 1 to 5."""
    right = outcomes(rng, size)
    return np.clip(np.rint(3 + right + rng.normal(size=right.shape)), 1, 5), right


def ranking(simulations: int, rng: np.random.Generator) -> None:
    print("\n| score | problems | truth: AUROC within, overall, AP within, overall | AUROC within "
          "| AUROC | AP within | AP |")  # fmt: skip
    print("|" + "---|" * 7)
    for name, draw in (("informative", informative), ("sharp", sharp), ("marks 1-5", coarse)):
        truth = np.mean([_values(draw(rng, 3000), rng) for _ in range(20)], axis=0)
        for size in PROBLEMS:
            held = np.zeros(4)
            for _ in range(simulations):
                found = _rank(draw(rng, size), rng, 300)
                held += [inside(one, t) for one, t in zip(found, truth, strict=True)]
            shares = " | ".join(f"{100 * share:.1f}" for share in held / simulations)
            print(f"| {name} | {size} | {', '.join(f'{t:.4f}' for t in truth)} | {shares} |",
                  flush=True)  # fmt: skip


def _rank(pool: Pool, rng: np.random.Generator, n_resamples: int) -> tuple:
    score, right = pool
    problem = np.repeat(np.arange(len(score)), N)
    found = rank_quality(problem, score.ravel(), right.ravel(), rng, n_resamples=n_resamples)
    return found.auroc_within, found.auroc, found.auprc_within, found.auprc


def _values(pool: Pool, rng: np.random.Generator) -> list[float]:
    return [float(one.estimate) for one in _rank(pool, rng, 2)]


def flukes(rng: np.random.Generator, size: int) -> Pool:
    """Three wrong answers in a hundred score above everything: best-of-k turns down."""
    right = outcomes(rng, size, 1.0, 2.0)
    score = right + rng.normal(size=right.shape)
    return np.where(~right & (rng.random(right.shape) < 0.03), 9.0, score), right


def rising(rng: np.random.Generator, size: int) -> Pool:
    right = outcomes(rng, size, 1.0, 2.0)
    return right + rng.normal(size=right.shape), right


def noise(rng: np.random.Generator, size: int) -> Pool:
    right = outcomes(rng, size, 1.0, 2.0)
    return rng.normal(size=right.shape), right


def turning(simulations: int, rng: np.random.Generator) -> None:
    print("\n| best-of-k | problems | truth: highest at, drop | said to turn down | k in span | "
          "mean span | drop in interval |")  # fmt: skip
    print("|" + "---|" * 7)
    for name, draw in (("turns down", flukes), ("rises", rising), ("flat: score is noise", noise)):
        curve = np.mean([best_of_k(*draw(rng, 5000), KS).mean(axis=0) for _ in range(40)], axis=0)
        best = len(KS) - 1 if name == "rises" else int(np.argmax(curve))
        flat = name.startswith("flat")
        drop = 0.0 if name != "turns down" else curve[best] - curve[-1]
        for size in PROBLEMS:
            held, span = np.zeros(3), []
            for _ in range(simulations):
                found = turning_point(best_of_k(*draw(rng, size), KS), KS, rng, n_resamples=500)
                held += [
                    found.turns_down,
                    found.k_low <= KS[best] <= found.k_high,
                    inside(found.drop, drop),
                ]
                span.append(found.k_high - found.k_low)
            share = 100 * held / simulations
            where, spanned = ("any", "–") if flat else (str(KS[best]), f"{share[1]:.1f}")
            print(f"| {name} | {size} | {where}, {drop:.4f} | {share[0]:.1f} | {spanned} | "
                  f"{np.mean(span):.1f} | {share[2]:.1f} |", flush=True)  # fmt: skip


def both_noise(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    right = outcomes(rng, size)
    return tuple(best_of_k(rng.normal(size=right.shape), right, N // 2) for _ in range(2))


def equally_good(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    right = outcomes(rng, size)
    return tuple(best_of_k(right + rng.normal(size=right.shape), right, N // 2) for _ in range(2))


def good_at_different_problems(
    rng: np.random.Generator, size: int
) -> tuple[np.ndarray, np.ndarray]:
    right, half = outcomes(rng, size), (rng.random(size) < 0.5)[:, None]
    return tuple(
        best_of_k(2 * right * side + rng.normal(size=right.shape), right, N // 2)
        for side in (half, ~half)
    )


def rare_large_gains(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """One gains 0.45 on a tenth of problems and loses 0.05 on the others: zero in the mean."""
    gap = np.where(rng.random(size) < 0.1, 0.45, -0.05) + rng.normal(size=size) * 0.02
    return 0.5 + gap, np.full(size, 0.5)


def tests(simulations: int, rng: np.random.Generator) -> None:
    print("\n| arms that are equally good | problems | sign flips | bootstrap |")
    print("|---|---|---|---|")
    arms: tuple[tuple[str, Callable], ...] = (
        ("two scores without information", both_noise),
        ("two equally good scores", equally_good),
        ("good at different problems", good_at_different_problems),
        ("rare large gains, frequent small losses", rare_large_gains),
    )
    for name, draw in arms:
        for size in (10, *PROBLEMS):
            alarms = np.zeros(2)
            for _ in range(simulations):
                pair = draw(rng, size)
                alarms += [
                    paired_p_value(*pair, rng, test=test, n_resamples=999) <= 0.05
                    for test in ("sign_flip", "bootstrap")
                ]
            share = 100 * alarms / simulations
            print(f"| {name} | {size} | {share[0]:.1f} | {share[1]:.1f} |", flush=True)
    alarms = np.zeros(2)
    for _ in range(simulations):
        right = outcomes(rng, 100)
        arms_of = [best_of_k(rng.normal(size=right.shape), right, N // 2) for _ in range(5)]
        raw = [
            float(paired_p_value(arms_of[i], arms_of[j], rng, n_resamples=2000))
            for i in range(5)
            for j in range(i)
        ]
        alarms += [min(raw) <= 0.05, holm(raw).min() <= 0.05]
    share = 100 * alarms / simulations
    print(f"\nAny alarm among the 10 pairs of 5 scores without information, 100 problems: "
          f"{share[0]:.1f} % uncorrected, {share[1]:.1f} % after Holm.")  # fmt: skip


def calibration(simulations: int, rng: np.random.Generator) -> None:
    print("\n| stated probability | problems | error: truth, plain, without bias "
          "| squared: truth, plain, without bias, so if samples were independent |")  # fmt: skip
    print("|---|---|---|---|")
    for name, draw in (("too bold", bold), ("calibrated", honest)):
        big = [calibration_error(reliability(*_flat(draw(rng, 20_000)))) for _ in range(5)]
        plain_truth, truth = np.mean([(one.debiased, one.squared_debiased) for one in big], axis=0)
        for size in PROBLEMS:
            found = []
            for _ in range(simulations):
                stated, right, problem = _flat(draw(rng, size))
                clustered = calibration_error(reliability(stated, right, problem))
                apart = calibration_error(reliability(stated, right))
                found.append((*clustered, apart.squared_debiased))
            plain, debiased, *squares = np.mean(found, axis=0)
            rest = ", ".join(f"{1e4 * value:.1f}" for value in (truth, *squares))
            print(f"| {name} | {size} | {plain_truth:.4f}, {plain:.4f}, {debiased:.4f} | "
                  f"{rest} (1e-4) |", flush=True)  # fmt: skip
    ends = []
    for _ in range(simulations // 10):
        score, right = informative(rng, 100)
        problem = np.repeat(np.arange(100), N)
        stated = cross_fitted(score.ravel(), right.ravel(), problem, rng)
        found = calibration_error(reliability(stated, right.ravel(), problem))
        ends.append((found.plain, found.debiased))
    plain, debiased = np.mean(ends, axis=0)
    print(f"\nPlatt, cross-fitted, of the informative score on 100 problems: calibration error "
          f"{plain:.4f} plain, {debiased:.4f} without bias.")  # fmt: skip


def bold(rng: np.random.Generator, size: int) -> Pool:
    rate = rng.beta(0.5, 0.5, size)[:, None]
    right = rng.random((size, N)) < 0.2 + 0.6 * rate
    return np.clip(rate + 0.1 * rng.normal(size=right.shape), 0, 1), right


def honest(rng: np.random.Generator, size: int) -> Pool:
    rate = np.broadcast_to(rng.beta(0.5, 0.5, size)[:, None], (size, N))
    return rate, rng.random((size, N)) < rate


def _flat(pool: Pool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    stated, right = pool
    return stated.ravel(), right.ravel().astype(float), np.repeat(np.arange(len(stated)), N)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=1000)
    PARTS = {"ceilings": noisy_oracles, "ranking": ranking, "turning": turning, "tests": tests,
             "calibration": calibration}  # fmt: skip
    parser.add_argument("--only", choices=list(PARTS))
    arguments = parser.parse_args()
    assert os.environ.get("OMP_NUM_THREADS", "1") == "1", "one thread: the matrices are small"
    for seed, (part, measure) in enumerate(PARTS.items()):
        if arguments.only in (None, part):
            count = arguments.simulations
            measure(
                count // 2 if part == "ceilings" else count,
                np.random.default_rng(seed),
            )
