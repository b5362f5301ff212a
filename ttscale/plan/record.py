"""A plan as one JSON object."""

from __future__ import annotations

from typing import Any

import numpy as np

from ttscale.plan.difficulty import Allocation
from ttscale.plan.matched import Match
from ttscale.plan.plan import Plan
from ttscale.plan.verdicts import Verification
from ttscale.record.files import finite
from ttscale.stats import Difference, Interval


def record(plan: Plan) -> dict[str, object]:
    """What `ttscale plan --json` prints; numbers that are not finite become null."""
    points, choice, budget = plan.points, plan.choice, plan.budget
    runner_up = None
    if choice.runner_up is not None:
        assert choice.difference is not None, "a runner-up comes with its difference"
        runner_up = point(plan, choice.runner_up) | {"difference": gap(choice.difference)}
    content = {
        "budget": {
            "text": budget.text,
            "dimension": budget.dimension,
            "per_problem": budget.per_problem,
            "per": "problem" if budget.n_problems is None else f"{budget.n_problems} problems",
            "problems": budget.n_problems,
        },
        "hardware": plan.hardware,
        "n_problems": points.n_problems,
        "recommendation": point(plan, choice.point)
        | {
            "low": choice.low,
            "high": choice.high,
            "optimism": choice.optimism,
            "run_low": choice.run_low,
            "run_high": choice.run_high,
            "chance_best": choice.chance_best,
            "cross_fitted": interval(plan.honest),
        },
        "enough": point(plan, plan.enough) | {"epsilon": plan.epsilon},
        "runner_up": runner_up,
        "frontier": [point(plan, index) for index in plan.frontier],
        "candidates": [
            {
                "source": each.source,
                "sample_set": each.sample_set,
                "selector": each.selector,
                "model": each.model,
                "simulated": each.simulated,
                "imported": plan.sources.is_imported(each.source),
                "bound": each.bound,
                "law": each.far.law if each.far else None,
                "curve": [
                    {
                        name: value
                        for name, value in point(plan, int(at)).items()
                        if name in {"n", "cost", "accuracy", "low", "high", "extrapolated"}
                    }
                    for at in np.flatnonzero(points.candidate == index)
                ],
            }
            for index, each in enumerate(points.candidates)
        ],
        "allocation": _allocations(plan),
        "verification": [_verification(each) for each in plan.verifications],
        "matched": [_match(plan, each) for each in plan.matches],
        "notes": list(plan.notes),
    }
    cleaned = finite(content)
    assert isinstance(cleaned, dict), "a mapping stays one"
    return cleaned


def point(plan: Plan, index: int) -> dict[str, Any]:
    """One point with what it is of."""
    points = plan.points
    each = points.of(index)
    return {
        "source": each.source,
        "sample_set": each.sample_set,
        "selector": each.selector,
        "model": each.model,
        "n": int(points.n[index]) or None,
        "accuracy": float(points.accuracy[index]),
        "low": float(points.low[index]),
        "high": float(points.high[index]),
        "cost": float(points.cost[index]),
        "extrapolated": bool(points.extrapolated[index]),
        "simulated": each.simulated,
        "imported": plan.sources.is_imported(each.source),
    }


def interval(found: Interval | None) -> dict[str, float] | None:
    """An interval of a scalar."""
    if found is None:
        return None
    return {
        "accuracy": float(found.estimate),
        "low": float(found.low),
        "high": float(found.high),
    }


def gap(found: Difference) -> dict[str, float]:
    """A paired difference of scalars."""
    return {
        "estimate": float(found.estimate),
        "low": float(found.low),
        "high": float(found.high),
        "chance_positive": float(found.chance_positive),
    }


def _allocations(plan: Plan) -> dict[str, Any] | None:
    if not plan.allocations:
        return None
    found: dict[str, Any] = {"upper_bound": None}
    if plan.hulls is not None:
        found["upper_bound"] = plan.hulls._asdict()
    for name, each in plan.allocations.items():
        found[name] = {"reason": each} if isinstance(each, str) else _allocation(plan, each)
    return found


def _allocation(plan: Plan, each: Allocation) -> dict[str, Any]:
    edges = [None, *map(float, each.bins.edges), None]
    settings = each.settings[each.bins.setting]
    return {
        "reason": None,
        "measure": each.measure,
        "n_most": each.n_most,
        "uniform": interval(each.uniform),
        "uniform_cost": each.uniform_cost,
        "bins_accuracy": interval(each.accuracy),
        "bins_cost": each.cost,
        "gain": gap(each.gain),
        "bins": [
            {
                "from": edges[b],
                "below": edges[b + 1],
                "share": float(each.bins.share[b]),
                "selector": plan.points.of(int(at)).selector,
                "n": int(plan.points.n[at]),
            }
            for b, at in enumerate(settings)
        ],
    }


def _verification(each: Verification) -> dict[str, Any]:
    best, split = None, None
    if each.cell is not None:
        row, column = each.cell
        best = {
            "n_solutions": int(each.n_solutions[row]),
            "n_verdicts": int(each.n_verdicts[column]),
            "cost": float(each.costs[each.cell]),
            **(interval(each.interval) or {}),
        }
    if each.split is not None:
        split = {
            "budgets": each.split.budgets.tolist(),
            "n_solutions": each.split.n_solutions.tolist(),
            "n_verdicts": each.split.n_verdicts.tolist(),
            "accuracy": each.split.accuracy.tolist(),
            "exponent_solutions": each.split.solutions._asdict(),
            "exponent_verdicts": each.split.verdicts._asdict(),
        }
    return {
        "source": each.label,
        "verifier": each.verifier,
        "ratio": each.ratio,
        "ratio_from": "ledger" if each.is_priced else "assumed",
        "n_solutions": each.n_solutions.tolist(),
        "n_verdicts": each.n_verdicts.tolist(),
        "accuracy": each.accuracy.tolist(),
        "cost": each.costs.tolist(),
        "best": best,
        "split": split,
    }


def _match(plan: Plan, each: Match) -> dict[str, Any]:
    return {
        "small_model": each.small_model,
        "large_model": each.large_model,
        "selector": each.selector,
        "basis": "equal inference cost"
        if each.basis == "inference"
        else "equal FLOPs with pre-training",
        "inference_over_pretraining": None if each.basis == "inference" else each.basis,
        "limit": each.limit,
        "small": None if each.small is None else point(plan, each.small),
        "large": point(plan, each.large),
        "difference": None if each.difference is None else gap(each.difference),
    }
