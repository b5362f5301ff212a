"""How often a plan is right, on simulated pools of known truth: Markdown tables.

    python -m tests.benchmarks.plan_intervals [--simulations 1000] [--budgets 4 12 64]

Every simulation draws problems from a known population and 16 samples of each, with answers and
scores of three verifiers, and plans for a budget in samples a problem; 64 lies beyond the pool,
and laws are asked. The truth of every selector at every n comes from a
population of 10,000 problems. Columns: how often the recommendation's 95 % interval holds the true
accuracy of what it recommends; the same without the allowance for having chosen; how often one
fresh run over as many new problems lands in its run interval; mean error of its accuracy and of the
cross-fitted one (of the best inside the pool), in points; how often it is truly the best of the
candidates, within 0.1 point; the mean chance it gives to that.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ttscale.plan.candidates import N_FAR, Candidate, all_candidates, grid
from ttscale.plan.frontier import choose, cross_fitted_accuracy
from ttscale.plan.points import Points, make_points
from ttscale.plan.pricing import Meter
from ttscale.plan.sources import Rows, Source, Sources
from ttscale.record.pool import Counts
from ttscale.record.samples import SampleSet
from ttscale.stats import curves

N = 16
FAR = 64
N_TRUE = 10_000
BUDGETS = (4, 12, FAR)
SIZES = (32, 64, 256)
N_WRONG = 6


@dataclass(frozen=True)
class Population:
    """Success rates over problems, and how far each verifier's scores tell right from wrong."""

    name: str
    draw: Callable[[np.random.Generator, int], np.ndarray]
    signals: tuple[float, ...]

    def rows(self, n_problems: int, n: int, rng: np.random.Generator) -> Rows:
        """A pool: wrong answers fall on six classes with chances like 1/rank."""
        p = self.draw(rng, n_problems)
        right = rng.random((n_problems, n)) < p[:, None]
        rank = np.arange(1, N_WRONG + 1)
        wrong = rng.choice(N_WRONG, (n_problems, n), p=(1 / rank) / (1 / rank).sum()) + 1
        score = {
            f"v{i}": (rng.normal(size=right.shape) + signal * right - 10).ravel()
            for i, signal in enumerate(self.signals)
        }
        return Rows(
            np.repeat(np.arange(n_problems), n),
            right.ravel().astype(float),
            np.where(right, 0, wrong).ravel(),
            score,
        )


POPULATIONS = (
    Population("near-ties: Beta(0.5, 1.5), signals 0.9, 0.8, 0.7",
               lambda rng, n: rng.beta(0.5, 1.5, n), (0.9, 0.8, 0.7)),
    Population("one clear best: Beta(0.5, 1.5), signals 2, 0.5, 0",
               lambda rng, n: rng.beta(0.5, 1.5, n), (2.0, 0.5, 0.0)),
    Population("hard: Beta(0.3, 3.5), signals 1, 0.7, 0.3",
               lambda rng, n: rng.beta(0.3, 3.5, n), (1.0, 0.7, 0.3)),
    Population("two clusters: Beta(4, 8) | Beta(0.3, 20), signals 1, 0.8, 0.2",
               lambda rng, n: np.where(rng.random(n) < 0.5, rng.beta(4, 8, n),
                                       rng.beta(0.3, 20, n)), (1.0, 0.8, 0.2)),
)  # fmt: skip


def truth_of(population: Population, rng: np.random.Generator) -> dict[tuple[str, int], float]:
    """True accuracy of every selector at every n up to the largest budget."""
    far = np.rint(np.geomspace(N + 1, FAR, N_FAR)).astype(int)
    ks = np.unique(np.concatenate([grid(N, *BUDGETS), far]))
    total: dict[str, np.ndarray] = {}
    n_parts = N_TRUE // 1000
    for _ in range(n_parts):
        rows = population.rows(1000, FAR, rng)
        found = curves(rows.problem, rows.correct, rows.answer_class, rows.scores, ks=ks)
        for name, matrix in found.matrices.items():
            total[name] = total.get(name, 0.0) + matrix.mean(axis=0) / n_parts
    truth = {
        (name, int(k)): float(v) for name, c in total.items() for k, v in zip(ks, c, strict=True)
    }
    return truth | {("single", 1): truth["coverage", 1]}


def simulated_points(rows: Rows, budget: float, n_problems: int, rng: np.random.Generator):
    """The points of a pool that was never a file."""
    ids = tuple(map(str, range(n_problems)))
    count = np.bincount(rows.problem)
    right = np.bincount(rows.problem, weights=rows.correct).astype(int)
    samples = SampleSet("pool", "", Counts(ids, count, right, 0 * count))
    sources = Sources(ids, (Source(samples, rows, n_problems),), {}, {}, ())
    candidates = all_candidates(sources, Meter("samples"), budget, rng)
    return make_points(candidates, rng)


def one(
    population: Population,
    truth: dict[tuple[str, int], float],
    n_problems: int,
    budget: int,
    rng: np.random.Generator,
) -> tuple[float, ...]:
    """The columns of the table."""
    rows = population.rows(n_problems, N, rng)
    points = simulated_points(rows, budget, n_problems, rng)
    choice = choose(points, budget, rng)

    def true_of(point: int) -> float:
        each: Candidate = points.candidates[points.candidate[point]]
        return truth[each.selector, int(points.n[point])]

    chosen = true_of(choice.point)
    run = rng.binomial(n_problems, chosen) / n_problems
    rivals = [true_of(int(r)) for r in points.best_of_each(points.within(budget))]
    honest = cross_fitted_accuracy(points, budget, rng)
    assert honest is not None, "pools of 16 leave a choice"
    # Held against what the rule that it scores would reach inside the pool.
    inside = Points(**{**points.__dict__, "allowed": points.allowed & ~points.extrapolated})
    fitted = true_of(choose(inside, budget, rng).point)
    return (
        choice.low <= chosen <= choice.high,
        points.low[choice.point] <= chosen <= points.high[choice.point],
        choice.run_low <= run <= choice.run_high,
        points.accuracy[choice.point] - chosen,
        honest.estimate - fitted,
        chosen >= max(rivals) - 1e-3,
        choice.chance_best,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS)
    arguments = parser.parse_args()
    n_simulations = arguments.simulations
    names = ("population", "problems", "budget", "interval holds", "without allowance",
             "run lands", "error", "cross-fitted error", "truly best", "chance given")  # fmt: skip
    print("| " + " | ".join(names) + " |")
    print("|" + "---|" * len(names))
    pairs = []
    for population in POPULATIONS:
        truth = truth_of(population, np.random.default_rng(7))
        for n_problems in SIZES:
            for budget in arguments.budgets:
                rng = np.random.default_rng([n_problems, budget])
                found = np.array(
                    [one(population, truth, n_problems, budget, rng) for _ in range(n_simulations)]
                )
                pairs.append(found[:, 5:])
                held, plain, landed, bias, honest, best, chance = found.mean(axis=0)
                rates = " | ".join(f"{rate:.1%}" for rate in (held, plain, landed))
                print(
                    f"| {population.name} | {n_problems} | {budget} | {rates} | "
                    f"{100 * bias:+.2f} | {100 * honest:+.2f} | {best:.0%} | {chance:.0%} |",
                    flush=True,
                )
    best, chance = np.concatenate(pairs).T
    print("\n| chance given | simulations | mean chance | truly best (within 0.1 point) |")
    print("|---|---|---|---|")
    for low in (0.0, 0.4, 0.55, 0.7, 0.85, 0.95):
        high = {0.0: 0.4, 0.4: 0.55, 0.55: 0.7, 0.7: 0.85, 0.85: 0.95, 0.95: 1.01}[low]
        mine = (chance >= low) & (chance < high)
        if mine.any():
            print(f"| {low:.0%} to {min(high, 1):.0%} | {mine.sum()} | {chance[mine].mean():.0%} | "
                  f"{best[mine].mean():.0%} |")  # fmt: skip


if __name__ == "__main__":
    main()
