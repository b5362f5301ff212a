"""A comparison as JSON values; the keys are explained in docs/compare.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ttscale.stats import Interval

if TYPE_CHECKING:
    from ttscale.plan.compare.comparison import Baselines, Comparison, Entry
    from ttscale.plan.compare.scores import Calibrated, Ceiling


def as_json(comparison: Comparison) -> dict[str, Any]:
    """One JSON object; numbers that are not finite are null."""
    result = {
        "n_problems": len(comparison.problem_ids),
        "k": comparison.k,
        "level": comparison.level,
        "cost_unit": comparison.unit,
        "pools": [_baselines(each) for each in comparison.baselines],
        "verifiers": [_entry(each, comparison.k) for each in comparison.entries],
        "pairs": [{"a": p.a, "b": p.b, "k": p.k_a, **p._asdict()} for p in comparison.pairs],
        "equal_cost": None
        if comparison.budget is None
        else {
            "cost_per_problem": comparison.budget,
            "pairs": [pair._asdict() for pair in comparison.equal_cost],
        },
        "frontier": [
            dict(zip(("selector", "k", "cost_per_problem", "accuracy"), point, strict=True))
            for point in comparison.frontier()
        ],
        "notes": list(comparison.notes),
    }
    cleaned: dict[str, Any] = _plain(result)
    return cleaned


def _baselines(base: Baselines) -> dict[str, Any]:
    arena, samples = base.arena, base.arena.samples
    sizes = arena.n_samples
    return {
        "label": samples.label,
        "model": samples.metadata.get("model"),
        "benchmark": samples.metadata.get("benchmark"),
        "simulated": samples.simulated,
        "imported": samples.imported,
        "n_samples": [sizes.min(), sizes.max()],
        "n_rows": sizes.sum(),
        "n_correct": np.nansum(arena.rows.correct),
        "n_ungradable": np.isnan(arena.rows.correct).sum(),
        "n_truncated": arena.n_truncated,
        "n_abstained": None
        if arena.rows.answer_class is None
        else (arena.rows.answer_class < 0).sum(),
        "generation_cost": _points(base.ks, cost=base.generation),
        **{
            name: _curve(base.ks, base.intervals[name]) if name in base.intervals else None
            for name in ("random", "majority", "oracle")
        },
    }


def _entry(entry: Entry, k: int) -> dict[str, Any]:
    study, base = entry.study, entry.baselines
    ranking, turning, cost = study.ranking, study.turning, entry.cost
    column = int(np.searchsorted(base.ks, k))
    weighted = entry.weighted or Interval(*[np.full(len(base.ks), np.nan)] * 3)
    return {
        "name": study.label,
        "pool": study.arena.samples.label,
        "oracle": study.oracle,
        "n_missing": study.n_missing,
        "n_levels": study.n_levels,
        **_ends("auroc", ranking.auroc),
        **_ends("auroc_within", ranking.auroc_within),
        **_ends("auprc", ranking.auprc),
        **_ends("auprc_within", ranking.auprc_within),
        "prevalence": ranking.prevalence,
        "prevalence_within": ranking.prevalence_within,
        "n_problems_within": ranking.n_problems_within,
        "curve": _points(
            base.ks,
            best_of=entry.best_of.estimate,
            low=entry.best_of.low,
            high=entry.best_of.high,
            weighted=weighted.estimate,
            weighted_low=weighted.low,
            weighted_high=weighted.high,
            weighted_error=study.weighted_error,
            efficiency=entry.efficiency,
            cost_per_problem=cost,
        ),
        "vote_weights": study.weights if entry.weighted else None,
        **_ends("efficiency", entry.efficiency_at),
        "turning_point": {
            "k": turning.k,
            "k_low": turning.k_low,
            "k_high": turning.k_high,
            "drop": _interval(turning.drop),
            "turns_down": turning.turns_down,
        },
        "cost_per_problem": None if cost is None else cost[column],
        "cost_per_score": entry.per_score,
        "calibration": {name: _calibrated(each) for name, each in study.calibration.items()},
        "ceiling": None if study.ceiling is None else _ceiling(study.ceiling),
    }


def _calibrated(calibrated: Calibrated) -> dict[str, Any]:
    diagram = calibrated.diagram
    return {
        "brier": calibrated.brier,
        "ece": calibrated.error.plain,
        "ece_debiased": calibrated.error.debiased,
        "squared_error_debiased": calibrated.error.squared_debiased,
        "bins": _rows(
            low=diagram.low,
            high=diagram.high,
            n_samples=diagram.n_samples,
            probability=diagram.probability,
            share_right=diagram.share_right,
            standard_error=np.sqrt(diagram.squared_error),
        ),
    }


def _ceiling(ceiling: Ceiling) -> dict[str, Any]:
    return {
        "completeness": _interval(ceiling.completeness),
        "soundness": _interval(ceiling.soundness),
        "accuracy": _interval(ceiling.accuracy),
        "accept_first": [
            {**point, "predicted": value}
            for point, value in zip(
                _curve(ceiling.ks, ceiling.accept_first), ceiling.predicted, strict=True
            )
        ],
        "best_attempts": [
            {
                "wrong": -best.wrong,
                "attempts": best.attempts,
                "unlimited": bool(np.isinf(best.attempts)),
                "value": best.value,
                "observed": {
                    "attempts": best.observed.k,
                    "low": best.observed.k_low,
                    "high": best.observed.k_high,
                },
            }
            for best in ceiling.best
        ],
    }


def _interval(interval: Interval) -> dict[str, Any]:
    return dict(zip(("value", "low", "high"), interval, strict=True))


def _ends(name: str, interval: Interval) -> dict[str, Any]:
    return {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _curve(ks: npt.ArrayLike, interval: Interval) -> list[dict[str, Any]]:
    return _points(ks, estimate=interval.estimate, low=interval.low, high=interval.high)


def _points(ks: npt.ArrayLike, **columns: npt.ArrayLike | None) -> list[dict[str, Any]]:
    return _rows(k=ks, **columns)


def _rows(**columns: npt.ArrayLike | None) -> list[dict[str, Any]]:
    """Columns of one length as rows; a column that is not there is null in each."""
    n = max(len(np.atleast_1d(column)) for column in columns.values() if column is not None)
    filled = [
        [None] * n if column is None else list(np.asarray(column)) for column in columns.values()
    ]
    return [dict(zip(columns, row, strict=True)) for row in zip(*filled, strict=True)]


def _plain(value: Any) -> Any:
    """Python values for JSON; None where a number is not finite."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.ndarray | np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
