"""The verification section of a plan: pools whose samples carry several verdicts each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ttscale.plan.candidates import Candidate
from ttscale.plan.pricing import Meter, sample_cost, verification_cost
from ttscale.plan.sources import Source
from ttscale.plan.verify import Split, accuracy_grid, best_split, halves_of
from ttscale.stats import Interval, mean_interval
from ttscale.stats.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class Verification:
    """S against V for one verifier on one sample set.

    Attributes
    ----------
    label, verifier : whose.
    n_solutions, n_verdicts : the grid.
    values, each_cost : accuracy and cost of each problem, (P, A, B).
    ratio : λ, a verdict's cost over a solution's.
    is_priced : whether λ comes from the ledger; 1 is assumed otherwise.
    cell : row and column of the best cell within the budget; None where none is.
    interval : its accuracy.
    split : optima by budget and their power laws; None for fewer than two solutions.
    """

    label: str
    verifier: str
    n_solutions: IntArray
    n_verdicts: IntArray
    values: FloatArray
    each_cost: FloatArray
    ratio: float
    is_priced: bool
    cell: tuple[int, int] | None
    interval: Interval | None
    split: Split | None

    @property
    def accuracy(self) -> FloatArray:
        """Mean over problems, (A, B)."""
        return np.asarray(self.values.mean(axis=0), dtype=np.float64)

    @property
    def costs(self) -> FloatArray:
        """Mean over problems in the budget's dimension, (A, B)."""
        return np.asarray(self.each_cost.mean(axis=0), dtype=np.float64)


def verified(source: Source, section: Verification) -> Iterator[Candidate]:
    """The columns of a grid as candidates: the best of S by the mean of V verdicts."""
    samples = source.samples
    bound = None
    if samples.is_oracle(section.verifier):
        bound = f"{section.verifier} looks at the reference answer"
    for column, v in enumerate(section.n_verdicts if len(section.n_solutions) > 1 else ()):
        yield Candidate(
            samples.source,
            samples.name,
            source.model,
            f"best_of:{section.verifier}(V={v})",
            section.n_solutions[1:],
            section.values[:, 1:, column],
            section.each_cost[:, 1:, column],
            bound,
            samples.simulated,
        )


def verification(
    source: Source,
    verifier: str,
    problem_ids: tuple[str, ...],
    meter: Meter,
    budget: float,
    rng: np.random.Generator,
) -> Verification | None:
    """The section for one verifier; None where its column holds no verdict."""
    rows, n_problems = source.rows, len(problem_ids)
    sizes = np.bincount(rows.problem, minlength=n_problems)
    n, n_most = int(sizes.min()), rows.verdicts[verifier].shape[1]
    if n_most == 0:
        return None
    # The first samples of every problem, so that all have as many.
    order = np.argsort(rows.problem, kind="stable")
    starts = sizes.cumsum() - sizes
    place = order[starts[:, None] + np.arange(n)]
    verdicts, correct = rows.verdicts[verifier][place], np.nan_to_num(rows.correct)[place]
    s, v = powers_of_two(n), powers_of_two(n_most)
    of_solutions = sample_cost(source, n_problems, meter)(s)
    one = of_solutions[:, 0]
    each = verification_cost(source, verifier, n_problems, problem_ids, meter) / n_most
    is_priced = bool(each.any())
    each = each if is_priced else one
    each_cost = of_solutions[:, :, None] + each[:, None, None] * np.multiply.outer(s, v)
    costs = each_cost.mean(axis=0)
    grid = accuracy_grid(verdicts, correct, s, v)
    accuracy = grid.mean(axis=0)
    cell, interval = None, None
    if costs.min() <= budget:
        flat = int(np.where(costs <= budget, accuracy, -1.0).argmax())
        cell = (flat // len(v), flat % len(v))
        interval = mean_interval(grid[:, cell[0], cell[1]], rng)
    split = None
    if n >= 2:
        few = s[s <= n // 2]
        grids = [accuracy_grid(verdicts[:, half], correct[:, half], few, v)
                 for half in halves_of(n, rng)]  # fmt: skip
        split = best_split((grids[0], grids[1]), few, v, costs[: len(few)], rng)
    return Verification(
        source.samples.label, verifier, s, v, grid, each_cost, float(each.mean() / one.mean()),
        is_priced, cell, interval, split,
    )  # fmt: skip


def powers_of_two(n: int) -> IntArray:
    """1, 2, 4 … up to n."""
    return np.asarray(2 ** np.arange(n.bit_length()), dtype=np.int64)
