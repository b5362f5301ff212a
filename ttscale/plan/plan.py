"""From sources and a budget to a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from ttscale.cost import Hardware, parse_quantity
from ttscale.errors import InputError, closest
from ttscale.plan.allocate import Hulls
from ttscale.plan.candidates import Candidate, all_candidates
from ttscale.plan.difficulty import (
    N_PILOT,
    Allocation,
    divisible,
    known_curves,
    oracle_bins,
    predicted_bins,
)
from ttscale.plan.frontier import Choice, choose, cross_fitted_accuracy, enough, frontier
from ttscale.plan.matched import Match, matches
from ttscale.plan.points import Points, make_points
from ttscale.plan.pricing import DIMENSIONS, IN_BATCHES, Meter, mean_batch
from ttscale.plan.sources import Source, Sources, read_sources
from ttscale.plan.verdicts import Verification, verification, verified
from ttscale.stats import Interval
from ttscale.stats.arrays import IntArray

EPSILON = 0.01
Modes = Literal["all", "oracle", "predicted", "none"]


@dataclass(frozen=True)
class Budget:
    """What may be spent.

    Attributes
    ----------
    text : as given.
    per_problem : the mean over problems that may be spent on one, in the base unit.
    n_problems : how many problems the given amount was for together; None for one problem.
    """

    text: str
    dimension: str
    per_problem: float
    n_problems: int | None

    @staticmethod
    def parse(text: str, n_problems: int | None = None) -> Budget:
        """Read `1e15 FLOPs`, `60 s`, `64 samples` …, for one problem or for `n_problems`.

        Raises InputError.
        """
        if n_problems is not None and n_problems < 1:
            raise InputError("problems must be at least 1", where="--problems", got=n_problems)
        amount, dimension = parse_quantity(text, dimensions=DIMENSIONS, where="--budget")
        return Budget(text, dimension, amount / (n_problems or 1), n_problems)


@dataclass(frozen=True)
class Plan:
    """What to run within a budget, and everything it was chosen from.

    Attributes
    ----------
    sources, points : what there was to choose from.
    choice : the recommendation, its runner-up and how sure it is.
    enough : the cheapest point that is less than `epsilon` worse.
    honest : accuracy of the choice on problems without a say in it; None where nothing is known
        inside the pools.
    frontier : Pareto-optimal points.
    allocations : by difficulty; or the reason why there is none.
    hulls : the upper bound of every allocation.
    verifications, matches : sections for verdicts, and for several models.
    """

    budget: Budget
    hardware: str | None
    sources: Sources
    points: Points
    choice: Choice
    enough: int
    epsilon: float
    honest: Interval | None
    frontier: IntArray
    allocations: dict[str, Allocation | str]
    hulls: Hulls | None
    verifications: tuple[Verification, ...]
    matches: tuple[Match, ...]
    notes: tuple[str, ...]

    @property
    def recommended(self) -> Candidate:
        """The candidate to run."""
        return self.points.of(self.choice.point)

    def to_json(self) -> dict[str, object]:
        """As `ttscale plan --json` prints it."""
        from ttscale.plan.record import record

        return record(self)


def plan(
    paths: Sequence[Path],
    budget: str,
    *,
    hardware: str | None = None,
    models: Sequence[str] = (),
    problems: int | None = None,
    verifiable: bool = False,
    epsilon: float = EPSILON,
    difficulty: Modes = "all",
    pilot: int = N_PILOT,
    seed: int = 0,
) -> Plan:
    """What to run within a budget.

    Parameters
    ----------
    paths : run folders, pools and counts files over the same problems.
    budget : such as `1e15 FLOPs`, `3 GB`, `60 s`, `0.05 USD`, `200 J`, `64 samples`, `10k tokens`;
        the mean over problems that one may cost, or of `problems` together.
    hardware : a known machine or the path of a sheet; for seconds, USD and joules.
    models : architectures, `NAME` or `recorded=NAME`, in place of what the sources record.
    verifiable : whether answers can be checked for free, so that coverage can be had.
    epsilon : a difference in accuracy too small to pay for.
    difficulty : which allocations by difficulty to try.
    pilot : samples that predicted difficulty is read from.

    Raises InputError.
    """
    if not 0 < epsilon < 1:
        raise InputError("epsilon is a share of accuracy", where="--epsilon", got=epsilon,
                         hint="0.01 for one point")  # fmt: skip
    if difficulty not in get_args(Modes):
        raise InputError("unknown difficulty", where="--difficulty", got=difficulty,
                         hint=closest(difficulty, get_args(Modes)))  # fmt: skip
    if pilot < 1:
        raise InputError("a pilot is at least one sample", where="--pilot", got=pilot)
    spend = Budget.parse(budget, problems)
    meter = Meter(
        spend.dimension, Hardware.load(hardware) if hardware else None, architectures(models)
    )
    rng = np.random.default_rng(seed)
    sources = read_sources(paths)
    candidates = all_candidates(sources, meter, spend.per_problem, rng, verifiable=verifiable)
    sections = [
        (source, section)
        for source in sources.sources
        for name in source.rows.verdicts
        if (
            section := verification(
                source, name, sources.problem_ids, meter, spend.per_problem, rng
            )
        )
    ]
    candidates += [each for pair in sections for each in verified(*pair)]
    points = make_points(candidates, rng)
    choice = choose(points, spend.per_problem, rng)
    allocations, hulls = _allocations(
        points, sources, choice, spend.per_problem, difficulty, pilot, rng
    )
    return Plan(
        spend,
        meter.hardware.name if meter.hardware else None,
        sources,
        points,
        choice,
        enough(points, spend.per_problem, choice.point, epsilon),
        epsilon,
        cross_fitted_accuracy(points, spend.per_problem, rng),
        frontier(points),
        allocations,
        hulls,
        tuple(section for _, section in sections),
        tuple(matches(points, _parameters(sources, meter), spend.dimension, rng)),
        (*_units(spend, meter, sources), *sources.notes, *_remarks(sources, candidates)),
    )  # fmt: skip


def architectures(models: Sequence[str]) -> dict[str, str]:
    """`--model` options: by the recorded name, '' for all."""
    found = {}
    for text in models:
        recorded, equals, name = text.partition("=")
        found[recorded if equals else ""] = name if equals else text
    return found


def _allocations(
    points: Points,
    sources: Sources,
    choice: Choice,
    budget: float,
    difficulty: Modes,
    pilot: int,
    rng: np.random.Generator,
) -> tuple[dict[str, Allocation | str], Hulls | None]:
    """Budgets by difficulty on the samples of the recommendation."""
    found: dict[str, Allocation | str] = {}
    best = points.of(choice.point)
    if difficulty == "none":
        return found, None
    source: Source | None = next(
        (
            each
            for each in sources.sources
            if (each.samples.source, each.samples.name) == (best.source, best.sample_set)
        ),
        None,
    )
    if source is None:
        reason = "the recommendation is a strategy that was run at one budget only"
        return dict.fromkeys(("oracle", "predicted"), reason), None
    if best.selector.partition(":")[2] not in {"", *source.rows.scores}:
        reason = "selectors by several verdicts of a sample are not divided"
        return dict.fromkeys(("oracle", "predicted"), reason), None
    source = divisible(source, best.selector)
    if difficulty in {"all", "oracle"}:
        found["oracle"] = oracle_bins(points, source, budget, rng)
    if difficulty in {"all", "predicted"}:
        found["predicted"] = predicted_bins(points, source, best.selector, budget, rng, pilot)
    return found, known_curves(points, source, budget)


def _parameters(sources: Sources, meter: Meter) -> dict[str, int]:
    """Active parameters of the models whose architecture is known."""
    found = {}
    for source in sources.sources:
        if source.model is None:
            continue
        try:
            shape = meter.architecture(source.model, source.samples.label)
        except InputError:
            continue
        found[source.model] = shape.n_active_parameters
    return found


def _units(budget: Budget, meter: Meter, sources: Sources) -> list[str]:
    """What the budget's unit means here."""
    notes = []
    if budget.n_problems:
        notes.append(f"the budget is for {budget.n_problems} problems together")
    else:
        notes.append("the budget is for one problem, as a mean over problems")
    if budget.dimension in {"seconds", "usd", "joules"}:
        notes.append("seconds are the machine's, shared by all that runs at once; not latency")
    if budget.dimension in IN_BATCHES:
        for source in sources.sources:
            batch = mean_batch(source.run, source.model)
            assumed = "the samples of one problem" if batch is None else f"{batch:.4g} sequences"
            origin = "" if batch is None else ", the run's own mean"
            notes.append(f"{source.samples.label}: priced with {assumed} decoded together{origin}")
    if budget.dimension == "tokens":
        notes.append("tokens are generated ones: prompts and scoring passes are free in this unit")
    if meter.counts_only and any(source.rows.scores for source in sources.sources):
        notes.append(f"verification is free in {budget.dimension}, but for generated verdicts")
    return notes


def _remarks(sources: Sources, candidates: Sequence[Candidate]) -> list[str]:
    """What a reader of the numbers must know of the sources and the curves."""
    notes = []
    n_problems = len(sources.problem_ids)
    for source in sources.sources:
        label, rows = source.samples.label, source.rows
        sizes = np.bincount(rows.problem, minlength=n_problems)
        if sizes.min() != sizes.max():
            notes.append(
                f"{label}: problems have {sizes.min()} to {sizes.max()} samples; curves end at "
                f"{sizes.min()}, where all problems still count"
            )
        if rows.answer_class is None and not rows.scores:
            notes.append(
                f"{label}: without answers and scores there is no selector: only a single sample, "
                "and coverage where answers can be checked (--verifiable)"
            )
        for name, scores in rows.scores.items():
            seen = rows.seen_by(name)
            n_failed, n_unseen = int(np.isnan(scores[seen]).sum()), int((~seen).sum())
            if n_unseen:
                notes.append(f"{label}: {n_unseen} samples were not scored by {name}; it is judged "
                             "by the others")  # fmt: skip
            if n_failed:
                notes.append(f"{label}: {n_failed} scores of {name} failed; they rank lowest")
            if source.run.ledger is None:
                notes.append(f"{label}: {name} is taken as free: there is no ledger to price it")
    for each in candidates:
        if each.reason:
            notes.append(f"{each.label}: not extrapolated: {each.reason}")
    return notes
