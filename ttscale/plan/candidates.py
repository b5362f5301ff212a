"""Everything that could be run: for each sample set and selector, accuracy and cost at every n."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ttscale.errors import InputError
from ttscale.laws import Fit, fit_coverage, fit_curve
from ttscale.laws.families import POOLED
from ttscale.laws.saturation import REACH
from ttscale.plan.pilot import vote_outcomes
from ttscale.plan.pricing import CostOf, Meter, sample_cost, search_costs, verification_cost
from ttscale.plan.sources import Rows, Run, Source, Sources, curve
from ttscale.stats import curves, log_spaced
from ttscale.stats.arrays import FloatArray, IntArray

EVERY_N_TO = 32
N_POINTS = 48
N_FAR = 24
N_REFITS = 300
LAW_LEVEL = 0.95
HELDOUT_MARGIN = 0.01
N_ORDERS = 200


@dataclass(frozen=True)
class Far:
    """A curve beyond its pool, by laws.

    Attributes
    ----------
    ns, costs : numbers of samples and their mean cost, (J,).
    value, low, high : their prediction with its interval, (J,).
    draws : curves of the laws' refits at the pool's n and then at `ns`, (B, 1 + J).
    law : their names.
    """

    ns: IntArray
    costs: FloatArray
    value: FloatArray
    low: FloatArray
    high: FloatArray
    draws: FloatArray
    law: str


@dataclass(frozen=True)
class Candidate:
    """A way to answer, at one or more numbers of samples.

    Attributes
    ----------
    source, sample_set, model : where its samples come from.
    selector : `single`, `majority`, `best_of:<score>`, `weighted_majority:<score>`, `coverage`, or
        `strategy` for an arm of a run that no curve holds, such as a search.
    ns : samples, (K,); 0 for a strategy, whose work is not counted in samples.
    values, costs : accuracy and cost of each problem, (P, K).
    bound : why it is shown but never recommended; None for what can be run.
    simulated : whether its samples come from the simulated engine.
    far : the curve beyond the pool; None where there is none.
    reason : why there is none although the budget reaches that far.
    """

    source: str
    sample_set: str
    model: str | None
    selector: str
    ns: IntArray
    values: FloatArray
    costs: FloatArray
    bound: str | None = None
    simulated: bool = False
    far: Far | None = None
    reason: str | None = None

    @property
    def label(self) -> str:
        """How tables name it."""
        where = f"{self.source} [{self.sample_set}]" if self.sample_set else self.source
        return f"{self.selector}, {where}" + (" (simulated)" if self.simulated else "")


def all_candidates(
    sources: Sources,
    meter: Meter,
    budget: float,
    rng: np.random.Generator,
    *,
    verifiable: bool = False,
) -> list[Candidate]:
    """Every candidate of every source, curves first.

    Raises InputError where not one sample of any source fits the budget.
    """
    n_problems = len(sources.problem_ids)
    found: list[Candidate] = []
    least: list[tuple[float, str]] = []
    for source in sources.sources:
        cost = sample_cost(source, n_problems, meter)
        least.append((float(cost(np.array([1])).mean()), source.samples.label))
        found += _curves(source, sources.problem_ids, cost, meter, budget, verifiable, rng)
    curves = {candidate.selector for candidate in found}
    found += single_budget_strategies(sources, meter, curves)
    if not any(each.costs.mean(axis=0).min() <= budget for each in found if not each.bound):
        from ttscale.cost import format_quantity

        amount, label = min(least)
        raise InputError(
            "the budget does not pay for one sample",
            where="--budget",
            got=f"{format_quantity(budget, meter.dimension)} a problem",
            hint=f"one sample costs {format_quantity(amount, meter.dimension)} ({label})",
        )
    return found


def _curves(
    source: Source,
    problem_ids: tuple[str, ...],
    cost: CostOf,
    meter: Meter,
    budget: float,
    verifiable: bool,
    rng: np.random.Generator,
) -> Iterator[Candidate]:
    """The selectors of one sample set, those of each verifier on the samples it has scored."""
    rows = source.rows
    yield from _selectors(source, replace(rows, scores={}), "", cost, budget, verifiable, rng)
    for verifier, scores in rows.scores.items():
        seen = replace(rows, scores={verifier: scores})[rows.seen_by(verifier)]
        check = verification_cost(source, verifier, source.n_problems, problem_ids, meter)
        checked = _with_check(cost, check)
        yield from _selectors(source, seen, verifier, checked, budget, verifiable, rng)


def _selectors(
    source: Source,
    rows: Rows,
    verifier: str,
    cost: CostOf,
    budget: float,
    verifiable: bool,
    rng: np.random.Generator,
) -> Iterator[Candidate]:
    """The selectors that use one verifier, or none (''), at what their samples cost."""
    samples = source.samples
    n_samples = np.bincount(rows.problem, minlength=source.n_problems)
    n = int(n_samples.min())
    if n == 0:
        return
    most = largest_affordable(cost, budget, n)
    ns = grid(n, most)
    classes = None if verifier else rows.answer_class
    found = curves(rows.problem, rows.correct, classes, rows.scores, ks=ns)
    common = (samples.source, samples.name, source.model)
    if not verifier:
        one = found.matrices["coverage"][:, :1]
        yield Candidate(*common, "single", ns[:1], one, cost(ns[:1]), None, samples.simulated)
        matrices = found.matrices
    else:
        matrices = {f"best_of:{verifier}": found.matrices[f"best_of:{verifier}"]}
        matrices |= weighted_votes(rows, ns, rng)
    for selector, values in matrices.items() if n > 1 else ():
        bound = None
        if verifier and samples.is_oracle(verifier):
            bound = f"{verifier} looks at the reference answer"
        elif selector == "coverage" and not verifiable:
            bound = "it takes answers that can be checked (--verifiable)"
        far, reason = None, None
        if bound is None and most > n:
            far, reason = extrapolated(
                selector, found.n_samples, found.n_correct, ns, values, most, cost, rng
            )
        yield Candidate(
            *common, selector, ns[1:], values[:, 1:], cost(ns[1:]), bound, samples.simulated,
            far, reason,
        )  # fmt: skip


def weighted_votes(rows: Rows, ns: IntArray, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Curves of votes weighted by each score that is nowhere below zero, (P, K).

    A weight below zero would punish an answer for every vote it gets. Means over random orders of
    each problem's samples, the same for all scores: the error is far below that of the problems.
    """
    weights = {name: each for name, each in rows.scores.items() if np.nanmin(each) >= 0}
    if rows.answer_class is None or not weights:
        return {}
    right = np.nan_to_num(rows.correct)
    sizes = np.bincount(rows.problem)
    places = np.split(np.argsort(rows.problem, kind="stable"), sizes.cumsum()[:-1])
    found = {name: np.empty((len(sizes), len(ns))) for name in weights}
    for problem, place in enumerate(places):
        orders = rng.permuted(np.tile(np.arange(len(place)), (N_ORDERS, 1)), axis=1)
        for name, each in weights.items():
            votes = vote_outcomes(rows.answer_class[place], each[place], right[place], orders, ns)
            found[name][problem] = votes.mean(axis=0)
    return {f"weighted_majority:{name}": values for name, values in found.items()}


def single_budget_strategies(
    sources: Sources, meter: Meter, curves: Collection[str]
) -> list[Candidate]:
    """The arms of runs that lie on none of these curves, one point each."""
    found = []
    for path, run in sources.runs.items():
        if run.answers is None or run.ledger is None or meter.dimension == "samples":
            continue
        labels = [str(name) for name in run.answers["arm"].unique().to_pylist()]
        for label in labels:
            entry = run.strategies.get(label, {})
            if curve(label, entry.get("verifier") or "") in curves:
                continue
            right = _answers(run, label, sources.problem_ids)
            if right is None:
                continue
            metadata = sources.metadata[path]
            found.append(
                Candidate(
                    path,
                    label,
                    str(metadata["model"]) if metadata.get("model") else None,
                    "strategy",
                    np.zeros(1, np.int64),
                    right[:, None],
                    search_costs(run, label, sources.problem_ids, meter, path)[:, None],
                    "its verifier looks at the reference answer" if entry.get("oracle") else None,
                    bool(metadata.get("simulated", False)),
                )
            )
    return found


def grid(n: int, *wanted: float) -> IntArray:
    """Numbers of samples to look at: all small ones, log-spaced ones to n, those wanted below n."""
    extra = [int(k) for k in wanted if 1 <= k <= n]
    small = np.arange(1, min(n, EVERY_N_TO) + 1)
    return np.unique(np.concatenate([small, log_spaced(n, N_POINTS), np.array(extra, np.int64)]))


def largest_affordable(cost: CostOf, budget: float, n: int) -> int:
    """The most samples whose mean cost is within the budget, up to the laws' reach; 0 for none."""

    def fits(k: int) -> bool:
        return bool(cost(np.array([k])).mean() <= budget)

    low, high = 0, int(REACH) * n
    if fits(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def extrapolated(
    selector: str,
    n_samples: IntArray,
    n_correct: IntArray,
    ns: IntArray,
    values: FloatArray,
    most: int,
    cost: CostOf,
    rng: np.random.Generator,
) -> tuple[Far | None, str | None]:
    """A curve from its pool's end to `most` samples, or the reason why there is none."""
    fit: Fit
    if selector == "coverage":
        fit = fit_coverage(n_samples, n_correct, n_bootstrap=N_REFITS, level=LAW_LEVEL, rng=rng)
    else:
        fit = fit_curve(
            values, ns, selector=selector, n_bootstrap=N_REFITS, level=LAW_LEVEL, rng=rng
        )
    if not fit.laws:
        return None, fit.reason
    fit = fit if selector == "coverage" else averaged(fit)
    n = int(ns[-1])
    far = np.unique(np.rint(np.geomspace(n + 1, most, N_FAR)).astype(np.int64))
    ks = np.concatenate([[n], far]).astype(np.float64)
    value, low, high = (np.clip(each[1:], 0.0, 1.0) for each in fit.predict(ks))
    members = fit.members()
    shares = np.array([weight for _, weight in members])
    picks = rng.multinomial(2 * N_REFITS, shares / shares.sum())
    draws = np.concatenate(
        [
            law.curves(law.draws[rng.integers(len(law.draws), size=size)], ks)
            for (law, _), size in zip(members, picks, strict=True)
            if size
        ]
    )
    names = ", ".join(law.name for law, _ in members) if len(members) < 4 else fit.selected
    mean_cost = cost(far).mean(axis=0)
    return Far(far, mean_cost, value, low, high, np.clip(draws, 0.0, 1.0), names), None


def averaged(fit: Fit) -> Fit:
    """The laws of a curve that predict held-out budgets about as well as the best, all alike.

    One law is selected for its fit; but among many curves a plan would pick the one whose law
    happens to be the most hopeful. The median over laws is less easily swayed.
    """
    errors = np.array([law.heldout_error for law in fit.laws])
    if np.isnan(errors).all():
        return fit
    kept = [
        law
        for law, error in zip(fit.laws, errors, strict=True)
        if error <= np.nanmin(errors) + HELDOUT_MARGIN
    ]
    alike = tuple(replace(law, weight=1 / len(kept)) for law in kept)
    return replace(fit, laws=alike, selected=POOLED)


def _with_check(cost: CostOf, each: FloatArray) -> CostOf:
    return lambda ns: cost(ns) + each[:, None] * ns


def _answers(run: Run, arm: str, problem_ids: Sequence[str]) -> FloatArray | None:
    """Whether the arm was right on each problem; None where it has not met all of them."""
    import pyarrow.compute as pc

    assert run.answers is not None, "only a run with answers has arms"
    mine = run.answers.filter(pc.equal(run.answers["arm"], arm))
    right = dict(zip(mine["problem_id"].to_pylist(), mine["correct"].to_pylist(), strict=True))
    if not set(problem_ids) <= set(right):
        return None
    return np.array([right[name] is True for name in problem_ids], dtype=np.float64)
