"""Fitting closed-form laws to curves of other selectors, and to points of any budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ttscale.errors import InputError
from ttscale.laws.checklist import checklist
from ttscale.laws.curvefit import CurveTable
from ttscale.laws.draws import Estimate, resample_counts
from ttscale.laws.families import BUDGET_LAWS, CURVES, MAJORITY_LAWS, SELECTOR_LAWS, choose
from ttscale.laws.fit import Fit, Peak
from ttscale.laws.grid import Array
from ttscale.laws.heldout import heldout_curve_error
from ttscale.laws.lawfit import LawFit, Search, best
from ttscale.laws.pool import checked_ks

Columns = NDArray[np.bool_]

MOST_POINTS = 40
SELECTION = (
    "the law with the least root mean square error at budgets more than four times those it was "
    "fitted to; the first listed one where the pool is too small to hold budgets out"
)


def fit_curve(
    matrix: ArrayLike,
    ks: ArrayLike,
    *,
    selector: str = "majority",
    law: str = "auto",
    fit_up_to: float | None = None,
    n_bootstrap: int = 1000,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> Fit:
    """Laws of a selector's mean accuracy (majority, best-of-k, …) from per-problem estimates.

    Least squares on the mean curve at up to 40 log-spaced ks that every problem reaches;
    intervals refit the law to the mean curves of resampled problems.

    Parameters
    ----------
    matrix : estimate of each problem at each k, shape (Q, K), NaN beyond the problem's samples.
    ks : budgets of the columns, shape (K,).
    selector : 'majority' tries the laws of majority votes, another name those of a ranking,
        among them one that turns down.
    law, n_bootstrap, level, rng : as `fit_coverage`.
    fit_up_to : largest budget the fit may use.

    Raises InputError for values outside [0, 1] or shapes that do not match.
    """
    table = np.asarray(matrix, dtype=np.float64)
    budgets = checked_ks(ks)
    if table.ndim != 2 or table.shape[1] != len(budgets):
        raise InputError("One row for each problem and one column for each k.", where="matrix",
                         got=f"shape {table.shape} for {len(budgets)} ks")  # fmt: skip
    if np.any((table < -1e-9) | (table > 1 + 1e-9)):
        raise InputError("Accuracies lie between 0 and 1.", where="matrix",
                         got=float(table[(table < -1e-9) | (table > 1 + 1e-9)][0]))  # fmt: skip
    order = np.argsort(budgets)
    budgets, table = budgets[order], table[:, order]
    offered = MAJORITY_LAWS if "majority" in selector else SELECTOR_LAWS
    names = choose(law, offered if law == "auto" else CURVES)
    rng = np.random.default_rng(0) if rng is None else rng
    whole: Columns = np.asarray(np.isfinite(table).all(axis=0))
    kept = whole if fit_up_to is None else whole & (budgets <= fit_up_to)
    largest = float(budgets[kept][-1]) if kept.any() else 0.0
    reason = _cannot_tell(table, int(kept.sum()))
    if reason is not None:
        return Fit(selector, (), "none", len(table), largest, level, reason=reason)
    peak = _peak(budgets[whole], table[:, whole], level, rng)
    notes = _curve_notes(table, whole, peak)
    thin = _log_thinned(budgets[kept])
    used = CurveTable.of(budgets[kept][thin], table[:, kept][:, thin])
    resamples = resample_counts(np.ones(len(table)), n_bootstrap, rng)
    laws = []
    for family in (CURVES[name] for name in names):
        if len(used.budgets) <= len(family.parameters):
            continue
        ends = used.fit(family, rng)
        refits = used.refit(family, best(ends), resamples)
        error = heldout_curve_error(family, used, rng)
        laws.append(LawFit(family, best(ends), refits.free, Search.of(ends, refits), level, error))
    return _assembled(selector, laws, len(table), used, level, notes, peak, n_bootstrap,
                      "samples per problem (k)", int((~kept).sum()))  # fmt: skip


def fit_points(
    budget: ArrayLike,
    accuracy: ArrayLike,
    *,
    law: str = "auto",
    unit: str = "budget",
    n_bootstrap: int = 1000,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> Fit:
    """Laws of accuracy against any budget from one point per setting, e.g. tokens or FLOPs.

    Parameters
    ----------
    budget, accuracy : points, each of shape (K,); budgets above zero, accuracies in [0, 1].
    unit : of the budget, for the record.
    law, n_bootstrap, level, rng : as `fit_coverage`; resamples are of points, so intervals need
        clearly more points than the law has parameters.
    """
    x, y = checked_ks(budget), np.atleast_1d(np.asarray(accuracy, dtype=np.float64))
    if y.shape != x.shape or not np.all((y >= 0) & (y <= 1)):
        raise InputError("One accuracy between 0 and 1 for each budget.", where="accuracy",
                         got=accuracy)  # fmt: skip
    order = np.argsort(x)
    x, y = x[order], y[order]
    names = choose(law, BUDGET_LAWS if law == "auto" else CURVES)
    rng = np.random.default_rng(0) if rng is None else rng
    table = CurveTable.of(x, y[None])
    resamples = rng.multinomial(len(x), np.full(len(x), 1 / len(x)), size=n_bootstrap)
    laws = []
    for family in (CURVES[name] for name in names):
        if len(np.unique(x)) <= len(family.parameters):
            continue
        ends = table.fit(family, rng)
        refits = table.refit_points(family, best(ends), resamples.astype(np.float64))
        error = heldout_curve_error(family, table, rng)
        laws.append(LawFit(family, best(ends), refits.free, Search.of(ends, refits), level, error))
    return _assembled("points", laws, 0, table, level, (), None, n_bootstrap, unit, 0)


def _assembled(
    selector: str,
    laws: Sequence[LawFit],
    n_problems: int,
    table: CurveTable,
    level: float,
    notes: tuple[str, ...],
    peak: Peak | None,
    n_bootstrap: int,
    unit: str,
    n_dropped: int,
) -> Fit:
    """The fit of the law that predicts held-out budgets best."""
    largest = float(table.budgets[-1])
    if not laws:
        reason = f"{len(table.budgets)} points are too few for any of the laws"
        return Fit(selector, (), "none", n_problems, largest, level, notes, reason=reason)
    errors = np.array([law.heldout_error for law in laws])
    selected = laws[0 if np.isnan(errors).all() else int(np.nanargmin(errors))].name
    return Fit(
        selector,
        tuple(laws),
        selected,
        n_problems,
        largest,
        level,
        notes,
        checklist(
            laws,
            selected=selected,
            unit=unit,
            n_problems=n_problems,
            n_rows=f"{len(table.budgets)} points of the mean curve",
            fitted_range=(float(table.budgets[0]), largest),
            dropped=[f"{n_dropped} budgets that some problem does not reach, or above fit_up_to"]
            if n_dropped
            else [],
            selection=SELECTION,
            n_resamples=n_bootstrap,
        ),
        peak,
    )


def _cannot_tell(table: Array, n_columns: int) -> str | None:
    if len(table) < 3:
        return f"{len(table)} problem(s): intervals resample problems and take at least 3"
    if n_columns < 3:
        return f"{n_columns} budget(s) that every problem reaches: a law takes at least 3"
    return None


def _log_thinned(budgets: Array) -> Array:
    """Indices of at most 40 budgets, evenly spread in log, so that small ones do not outweigh."""
    targets = np.geomspace(budgets[0], budgets[-1], MOST_POINTS)
    return np.unique(np.abs(np.log(budgets[:, None] / targets)).argmin(axis=0))


def _peak(budgets: Array, table: Array, level: float, rng: np.random.Generator) -> Peak:
    """The highest mean accuracy and its fall to the end, problems resampled."""
    from ttscale.stats import turning_point

    found = turning_point(table, budgets, rng, level=level)
    return Peak(found.k, Estimate(*map(float, found.drop)), found.turns_down)


def _curve_notes(table: Array, whole: Columns, peak: Peak) -> tuple[str, ...]:
    notes = []
    if peak.turns_down:
        drop = peak.drop
        notes.append(
            f"the curve turns down after k = {peak.k}: {100 * drop.value:.1f} points lost by the "
            f"largest budget (95 % interval {100 * drop.low:.1f} to {100 * drop.high:.1f})"
        )
    if not whole.all():
        notes.append(
            f"{int((~whole).sum())} of {len(whole)} budgets are beyond some problem's samples and "
            "are left out: a mean over fewer problems is another curve"
        )
    if len(table) < 20:
        notes.append(f"{len(table)} problems are few: intervals are rough")
    return tuple(notes)
