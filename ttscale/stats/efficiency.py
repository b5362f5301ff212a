"""What correctness costs: cost-of-pass, ARISE, and s1's three measures of test-time scaling."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ttscale.errors import InputError
from ttscale.stats.arrays import FloatArray, finite_numbers, real_numbers, refuse, same_shape


def cost_of_pass(cost: npt.ArrayLike, success_rate: npt.ArrayLike) -> FloatArray:
    """Expected cost of one right answer, cost / success rate; infinite where nothing succeeds.

    cost: expected cost of an attempt in any unit; both broadcast, usually (models, problems).
    Source: Erol et al. 2025 (Cost-of-Pass, arXiv 2504.13359).
    """
    price = finite_numbers("cost", cost, 0.0)
    rate = finite_numbers("success_rate", success_rate, 0.0, 1.0)
    same_shape(cost=price, success_rate=rate)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(rate > 0, price / rate, np.inf)[()]


class Frontier(NamedTuple):
    """Cheapest cost-of-pass per problem, their mean where finite, and the share not solved."""

    per_problem: FloatArray
    mean_of_solved: float
    unsolved_share: float


def cost_of_pass_frontier(costs: npt.ArrayLike, expert: npt.ArrayLike | None = None) -> Frontier:
    """The least cost-of-pass over models, per problem and for the task.

    costs: (models, problems) as of `cost_of_pass`, inf allowed. expert: price of a human who is
    always right, () or (problems,). The mean is over solved problems only, hence the share beside.
    """
    table = real_numbers("costs", costs)
    if table.ndim != 2 or 0 in table.shape:
        got = f"shape {table.shape}"
        raise InputError("costs are models by problems", where="costs", got=got, hint="a matrix")
    refuse(~(table >= 0), "costs", table, "a cost-of-pass is never negative or NaN", "0 or more")
    best = table.min(axis=0)
    if expert is not None:
        price = finite_numbers("expert", expert, 0.0)
        same_shape(costs=best, expert=price)
        best = np.minimum(best, price)
    solved = np.isfinite(best)
    mean = float(best[solved].mean()) if solved.any() else float("inf")
    return Frontier(best, mean, float(1.0 - solved.mean()))


def arise(correct: npt.ArrayLike, tokens: npt.ArrayLike) -> FloatArray:
    """ARISE of each sample over growing budgets: sum_j d_j (t_{j-1}/t_j)^sign(d_j).

    correct, tokens: (..., budgets), 0/1 and tokens used, in order of the budget; d_j is the change
    of correctness. A gain is worth less the more tokens it took, a loss costs more. Steps where
    either count of tokens is 0 are skipped; fewer than two budgets give 0. Returns (...); average
    over samples for a data set. Source: ARISE (FORMULAS 1.8, authors' code).
    """
    right = finite_numbers("correct", correct, 0.0, 1.0)
    used = finite_numbers("tokens", tokens, 0.0)
    if right.shape != used.shape or not right.ndim:
        got = f"shapes {right.shape} and {used.shape}"
        raise InputError("one count of tokens per outcome is needed", where="tokens", got=got)
    change = np.diff(right, axis=-1)
    before, after = used[..., :-1], used[..., 1:]
    counted = (before > 0) & (after > 0)
    ratio = np.where(counted, before, 1.0) / np.where(counted, after, 1.0)
    steps = np.where(counted, change * ratio ** np.sign(change), 0.0)
    total: FloatArray = steps.sum(axis=-1)
    return total


def s1_control(compute: npt.ArrayLike, minimum: float, maximum: float) -> float:
    """Share of settings whose measured compute lies in the range asked for (s1, eq. 1).

    Source of the three: Muennighoff et al. 2025 (s1, arXiv 2501.19393).
    """
    spent = finite_numbers("compute", compute)
    if not spent.size:
        raise InputError("no settings", where="compute", hint="one measured compute per setting")
    return float(((spent >= minimum) & (spent <= maximum)).mean())


def s1_scaling(compute: npt.ArrayLike, accuracy: npt.ArrayLike) -> float:
    """Mean slope of accuracy over all pairs of settings, in accuracy per unit of compute (eq. 2).

    compute: (settings,), all different, e.g. mean thinking tokens; accuracy: (settings,).
    """
    spent, right = finite_numbers("compute", compute), finite_numbers("accuracy", accuracy)
    if spent.shape != right.shape or spent.ndim != 1 or len(spent) < 2:
        got = f"shapes {spent.shape} and {right.shape}"
        hint = "one accuracy per compute, two settings or more"
        raise InputError(
            "a slope needs two settings", where="compute, accuracy", got=got, hint=hint
        )
    low, high = np.triu_indices(len(spent), 1)
    run = spent[high] - spent[low]
    if np.any(run == 0):
        hint = "average the accuracies of equal compute first"
        raise InputError("two settings with equal compute", where="compute", got=compute, hint=hint)
    return float(((right[high] - right[low]) / run).mean())


def s1_performance(accuracy: npt.ArrayLike) -> float:
    """Best accuracy over the settings (eq. 3)."""
    right = finite_numbers("accuracy", accuracy)
    if not right.size:
        raise InputError("no settings", where="accuracy", hint="one accuracy per setting")
    return float(right.max())
