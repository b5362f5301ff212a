"""Fitting laws of coverage to counts of correct samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ttscale.errors import InputError
from ttscale.laws.checklist import checklist
from ttscale.laws.curvefit import CurveTable
from ttscale.laws.draws import resample_counts
from ttscale.laws.families import (
    COVERAGE_LAWS,
    CURVES,
    MIXING,
    POOLED,
    POWER_LAW,
    POWER_TAILED,
    choose,
)
from ttscale.laws.fit import Fit
from ttscale.laws.grid import Array
from ttscale.laws.heldout import (
    heldout_coverage_errors,
    heldout_curve_error,
    shares,
)
from ttscale.laws.lawfit import LawFit, Search, best
from ttscale.laws.likelihood import Counts, CountTable
from ttscale.laws.mixing import MixingFamily
from ttscale.laws.pool import cannot_tell, checked_budget, checked_counts

N_STARTS = 16
FEWEST_REFITS = 200
NOTED_WEIGHT = 0.02
# A law whose coverage at held-out budgets errs by this much more than the best one's leaves.
HELDOUT_MARGIN = 0.05
# Share of the exponentiated power law beside the mixing laws of which it is the limit.
POWER_LAW_SHARE = 0.5
SELECTION = (
    "each law is fitted to subsets of a quarter of the budget and judged by its coverage at the "
    "larger budgets; laws that err by 5 points more than the best leave the pool, the others are "
    "weighed by their evidence; the exponentiated power law, which has no likelihood of counts, "
    "joins with half the weight of the laws with a power-law tail"
)


def fit_coverage(
    n_samples: ArrayLike,
    n_correct: ArrayLike,
    *,
    law: str = "auto",
    fit_up_to: int | None = None,
    n_bootstrap: int = 1000,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> Fit:
    """Laws of coverage from counts, with intervals that resample problems.

    Mixing laws are fitted by the likelihood of the counts; with `fit_up_to = K` each problem with
    more samples is seen through all its subsets of size K, so that only pass@k at k <= K is used
    and nothing of the pool is thrown away. Closed-form laws are fitted to the unbiased pass@k.

    Intervals are percentiles of a clustered bootstrap: problems are resampled with their counts
    intact, and each resample draws the centre of the law's weak prior anew, so that a parameter
    the data leave open is as uncertain as the prior (Newton and Raftery, 1994; Fong, Lyddon and
    Holmes, 2019).

    Parameters
    ----------
    n_samples, n_correct : counts of each problem, shape (Q,); n may differ between problems.
    law : 'auto' for all of them pooled, or one name.
    fit_up_to : largest k the fit may use; all samples when left out.
    n_bootstrap : refits of each law that matters in the result; 0 gives no intervals.
    level : of the intervals.
    rng : resamples problems and draws starts; a fresh generator seeded 0 when left out.

    Raises InputError for counts that cannot be; counts that bear no law give a Fit without laws
    and with a reason.
    """
    n, c = checked_counts(n_samples, n_correct)
    names = choose(law, COVERAGE_LAWS)
    budget = checked_budget(fit_up_to, int(n.max()))
    _checked_bootstrap(n_bootstrap, level)
    rng = np.random.default_rng(0) if rng is None else rng
    reason = cannot_tell(n, c)
    if reason is None and budget == 1:
        reason = "a fit up to k = 1 sees only the mean success rate, which bears no law"
    if reason is not None:
        return Fit("coverage", (), "none", len(n), budget, level, reason=reason)
    ks, curves = _observed(n, c, budget)
    mixing = _fit_mixing([MIXING[x] for x in names if x in MIXING], n, c, budget, ks, curves,
                         n_bootstrap, level, rng)  # fmt: skip
    closed = _fit_closed([x for x in names if x in CURVES], ks, curves, n_bootstrap, level, rng)
    reaches = law == "auto" and 2 * ks[-1] >= budget
    laws = _with_power_law(mixing, closed) if reaches else (*mixing, *closed)
    if not laws:
        reason = f"{len(ks)} budgets up to k = {budget} are too few points for a closed-form law"
        return Fit("coverage", (), "none", len(n), budget, level, reason=reason)
    selected = POOLED if law == "auto" else law
    return Fit(
        "coverage",
        laws,
        selected,
        len(n),
        budget,
        level,
        _notes(n, c, budget, laws),
        checklist(
            laws,
            selected=selected,
            unit="samples per problem (k)",
            n_problems=len(n),
            n_rows=f"{int(n.sum()):,} graded samples, {int(n.min())} to {int(n.max())} a problem",
            fitted_range=(1, budget),
            dropped=_dropped(n, ks, curves, budget),
            selection=SELECTION,
            n_resamples=n_bootstrap,
        ),
    )


def _checked_bootstrap(n_bootstrap: int, level: float) -> None:
    if n_bootstrap < 0:
        raise InputError("The number of resamples is zero or more.", where="n_bootstrap",
                         got=n_bootstrap)  # fmt: skip
    if not 0 < level < 1:
        raise InputError("The level of an interval lies between 0 and 1.", where="level",
                         got=level, hint="0.95")  # fmt: skip


def _observed(n: Counts, c: Counts, budget: int) -> tuple[Array, Array]:
    """Log-spaced ks that every problem reaches, and pass@k of every problem there, (Q, K)."""
    from ttscale.stats import log_spaced, pass_at_k

    ks = log_spaced(min(budget, int(n.min())), 40)
    return ks.astype(np.float64), np.asarray(pass_at_k(n[:, None], c[:, None], ks))


def _fit_mixing(
    families: Sequence[MixingFamily],
    n: Counts,
    c: Counts,
    budget: int,
    ks: Array,
    curves: Array,
    n_bootstrap: int,
    level: float,
    rng: np.random.Generator,
) -> list[LawFit]:
    """Every mixing law: best fit, weight, held-out scores, and refits in proportion to its use."""
    if not families:
        return []
    table = CountTable.of(n, c, budget)
    ends = []
    for family in families:
        spread = family.spread * rng.standard_normal((N_STARTS, len(family.parameters)))
        spread[0] = 0.0
        ends.append(table.fit(family, family.centre + spread))
    frees = [family.tidy(best(end)[None])[0] for family, end in zip(families, ends, strict=True)]
    evidence = np.array(
        [table.log_evidence(family, free) for family, free in zip(families, frees, strict=True)]
    )
    errors = heldout_coverage_errors(families, frees, n, c, ks, curves.mean(axis=0))
    behind = np.nan_to_num(errors - errors.min())
    weights = shares(np.where(behind > HELDOUT_MARGIN, -np.inf, evidence))
    resamples = resample_counts(table.n_problems, n_bootstrap, rng)
    laws = []
    for i, (family, free, end) in enumerate(zip(families, frees, ends, strict=True)):
        needed = n_bootstrap if weights[i] > NOTED_WEIGHT else min(n_bootstrap, FEWEST_REFITS)
        centres = family.centre + family.spread * rng.standard_normal((needed, len(free)))
        refits = table.refit(family, free, resamples[:needed], centres)
        laws.append(
            LawFit(
                family,
                free,
                family.tidy(refits.free),
                Search.of(end, refits),
                level,
                float(errors[i]),
                float(weights[i]),
                float(evidence[i]),
                table.grid,
            )
        )
    return laws


def _fit_closed(
    names: Sequence[str],
    ks: Array,
    curves: Array,
    n_bootstrap: int,
    level: float,
    rng: np.random.Generator,
) -> list[LawFit]:
    """Closed-form laws of the mean curve; none when it has too few points."""
    table = CurveTable.of(ks, curves)
    resamples = resample_counts(np.ones(len(curves)), n_bootstrap, rng)
    laws = []
    for name in names:
        family = CURVES[name]
        if len(ks) <= len(family.parameters):
            continue
        ends = table.fit(family, rng)
        refits = table.refit(family, best(ends), resamples)
        error = heldout_curve_error(family, table, rng)
        laws.append(LawFit(family, best(ends), refits.free, Search.of(ends, refits), level, error))
    return laws


def _with_power_law(mixing: Sequence[LawFit], closed: Sequence[LawFit]) -> tuple[LawFit, ...]:
    """All laws, the exponentiated power law given its share of the pool.

    Only for a curve that reaches the fit's budget, which it may not where n differs by problem.
    """
    tailed = sum(law.weight for law in mixing if law.name in POWER_TAILED)
    joins = any(law.name == POWER_LAW for law in closed)
    extra = POWER_LAW_SHARE * tailed if joins else 0.0
    scaled = [replace(law, weight=law.weight / (1 + extra)) for law in mixing]
    rest = [
        replace(law, weight=extra / (1 + extra)) if law.name == POWER_LAW else law for law in closed
    ]
    return (*scaled, *rest)


def _dropped(n: Counts, ks: Array, curves: Array, budget: int) -> list[str]:
    dropped = []
    if int(n.max()) > budget:
        dropped.append(f"every statistic of more than {budget} samples (fit_up_to)")
    if ks[-1] < budget:
        short = int((n < budget).sum())
        dropped.append(
            f"closed-form laws: k above {ks[-1]:g}, which {short} problems with fewer samples do "
            "not reach (mixing laws use every sample)"
        )
    flat = int((curves.mean(axis=0) == 1).sum())
    if flat:
        dropped.append(f"none, though coverage is exactly 1 at {flat} of the ks")
    return dropped


def _notes(n: Counts, c: Counts, budget: int, laws: Sequence[LawFit]) -> tuple[str, ...]:
    """What a reader of the numbers must know."""
    notes = []
    never = c == 0
    if never.any():
        least = 3.0 / n[never].sum() * never.sum()
        notes.append(
            f"{int(never.sum())} of {len(n)} problems were never solved; each may still have a "
            f"success rate up to about {least:.2g} (95 %), so they are not counted as impossible"
        )
    for law in laws:
        if not (isinstance(law.family, MixingFamily) and law.family.has_unsolvable):
            continue
        plain = [x for x in laws if f"zero_inflated_{x.name}" == law.name]
        if plain and law.log_evidence - plain[0].log_evidence < 3:
            notes.append(
                f"{law.name}: the share of unsolvable problems is not identified against a small "
                "alpha; its interval leans on the prior"
            )
    if n.min() != n.max():
        notes.append(
            f"problems have {int(n.min())} to {int(n.max())} samples; mixing laws weigh each by "
            "its own counts"
        )
    if len(n) < 20:
        notes.append(f"{len(n)} problems are few: intervals are rough")
    if budget < int(n.max()):
        notes.append(f"the fit saw k <= {budget} only; larger k are predictions")
    return tuple(notes)
