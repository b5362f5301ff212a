"""Verifiers side by side on the same samples, at equal numbers of samples and at equal total cost.

    from ttscale.plan.compare import compare
    from ttscale.record.samples import read_samples

    compare(read_samples(Path("results/demo"))).to_json()["verifiers"]

Definitions, and how often intervals and tests are right: docs/compare.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple
from zlib import crc32

import numpy as np

from ttscale.errors import InputError
from ttscale.plan.compare.arena import Arena, arenas
from ttscale.plan.compare.prices import Prices, Tariff, make_tariff, shared_budget
from ttscale.plan.compare.scores import Resampling, ScoreStudy, percentiles, study_score
from ttscale.plan.frontier import pareto_frontier
from ttscale.plan.points import CLOSE
from ttscale.record.samples import SampleSet
from ttscale.stats import (
    Interval,
    curves,
    holm,
    log_spaced,
    mean_interval,
    paired_difference,
    paired_p_value,
    problem_weights,
    selection_efficiency,
)
from ttscale.stats.arrays import FloatArray, IntArray

FEW_PROBLEMS = 20


class Pair(NamedTuple):
    """Accuracy of a minus that of b, paired over problems, at k_a and k_b samples.

    p_value is corrected for the number of pairs (Holm), raw_p_value is not.
    """

    a: str
    b: str
    k_a: int
    k_b: int
    difference: float
    low: float
    high: float
    p_value: float
    raw_p_value: float


@dataclass(frozen=True)
class Baselines:
    """What needs no verifier, or the perfect one, on one set of samples: (problems, ks) each."""

    arena: Arena
    ks: IntArray
    random: FloatArray
    oracle: FloatArray
    majority: FloatArray | None
    intervals: Mapping[str, Interval]
    """Of the means over problems, by name."""
    generation: FloatArray | None
    """Mean cost of k samples of a problem, (ks,); None if unknown."""

    def total_cost(self, per_score: float | None) -> FloatArray | None:
        """Mean cost of k samples and their scores, (ks,); None if a part of it is unknown."""
        if self.generation is None or per_score is None:
            return None
        return self.generation + self.ks * per_score


@dataclass(frozen=True)
class Entry:
    """One verifier with what its choices cost."""

    study: ScoreStudy
    baselines: Baselines
    best_of: Interval
    weighted: Interval | None
    efficiency: FloatArray
    efficiency_at: Interval
    per_score: float | None

    @property
    def cost(self) -> FloatArray | None:
        """Mean total cost of a problem, (ks,); None if a part of it is unknown."""
        return self.baselines.total_cost(self.per_score)


class Selector(NamedTuple):
    """A way to choose among samples: its values (problems, ks), and what one score costs."""

    label: str
    kind: Literal["random", "majority", "best_of", "weighted"]
    baselines: Baselines
    values: FloatArray
    per_score: float | None = 0.0
    oracle: bool = False

    def cost(self) -> FloatArray | None:
        """Mean total cost of a problem, (ks,); None if a part of it is unknown."""
        return self.baselines.total_cost(self.per_score)


@dataclass(frozen=True)
class Comparison:
    """Verifiers side by side.

    Attributes
    ----------
    problem_ids : those that all pools share.
    k : samples of a problem at which pairs are tested.
    unit : of costs.
    entries, baselines : verifiers, and what they are measured against on each set of samples.
    pairs : at k samples each.
    budget, equal_cost : total cost of a problem, and pairs at the most samples it buys each; None
        and empty where a cost is unknown.
    """

    problem_ids: tuple[str, ...]
    k: int
    level: float
    unit: str
    baselines: tuple[Baselines, ...]
    entries: tuple[Entry, ...]
    pairs: tuple[Pair, ...]
    budget: float | None
    equal_cost: tuple[Pair, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON values; see docs/compare.md for the keys."""
        from ttscale.plan.compare.record import as_json

        return as_json(self)

    def selectors(self) -> list[Selector]:
        """Every way to choose."""
        several = len(self.baselines) > 1
        found = []
        for base in self.baselines:
            suffix = f" [{base.arena.samples.label}]" if several else ""
            found.append(Selector("random" + suffix, "random", base, base.random))
            if base.majority is not None:
                found.append(Selector("majority" + suffix, "majority", base, base.majority))
        for entry in self.entries:
            study, base = entry.study, entry.baselines
            rest = (entry.per_score, study.oracle)
            found.append(Selector(study.label, "best_of", base, study.best_of, *rest))
            if study.weighted is not None:
                label = f"{study.label} (weighted vote)"
                found.append(Selector(label, "weighted", base, study.weighted, *rest))
        return found

    def frontier(self) -> list[tuple[str, int, float, float]]:
        """(selector, k, cost, accuracy) that nothing cheaper matches; oracles are left out."""
        points = [
            (each.label, int(k), float(c), float(v))
            for each in self.selectors()
            if not each.oracle and (cost := each.cost()) is not None
            for k, c, v in zip(each.baselines.ks, cost, each.values.mean(axis=0), strict=True)
        ]
        if not points:
            return []
        cost, accuracy = (np.array([point[i] for point in points]) for i in (2, 3))
        return [points[i] for i in pareto_frontier(cost, accuracy.round(9))]


def compare(
    samples: Sequence[SampleSet],
    *,
    verifiers: Sequence[str] | None = None,
    k: int | None = None,
    prices: Prices | None = None,
    level: float = 0.95,
    n_resamples: int = 1000,
    rng: np.random.Generator | None = None,
) -> Comparison:
    """Compare all score columns of sample sets over the same problems.

    Parameters
    ----------
    samples : sets as `read_samples` gives them; sets without scores and ends of searches are left
        out, and said so.
    verifiers : columns to compare; all if not given.
    k : samples at which pairs are tested, half of the smallest pool if not given: near the whole
        pool a choice is one realisation and no mean over subsets.
    prices : what samples and scores cost; generated tokens, if the pools have them.

    Raises InputError for what cannot be compared.
    """
    if not 0.0 < level < 1.0:
        raise InputError("level is a chance", where="level", got=level, hint="0.95")
    prices = prices or Prices()
    seed = int((rng or np.random.default_rng(0)).integers(2**63))

    def resampling(name: str) -> Resampling:
        """Random numbers of its own for every name, so that who else is compared is no matter."""
        own = np.random.default_rng([seed, crc32(name.encode())])
        return Resampling(own, level, n_resamples)

    ids, found = arenas(samples, verifiers)
    sizes = [int(arena.n_samples.min()) for arena in found]
    at = max(1, min(sizes) // 2) if k is None else k
    if not 1 <= at <= min(sizes):
        raise InputError("no pool shows choices among so many samples", where="k", got=k,
                         hint=f"1 to {min(sizes)}, the fewest samples of a problem")  # fmt: skip
    notes = _notes(samples, found, ids)
    tariffs = [
        make_tariff(arena, n, prices, ids, notes) for arena, n in zip(found, sizes, strict=True)
    ]
    budget = shared_budget(tariffs, at)
    baselines, entries = [], []
    for arena, n, tariff in zip(found, sizes, tariffs, strict=True):
        ks = np.union1d(log_spaced(n), [at, *tariff.bought(budget)])
        base = _baselines(arena, ks, tariff, resampling(arena.samples.label))
        baselines.append(base)
        for column in arena.names:
            own = resampling(column)
            study = study_score(arena, column, base.ks, own)
            entries.append(_entry(study, base, tariff.per_score[column], at, own))
            notes += _warnings(study)
    result = Comparison(ids, at, level, prices.unit, tuple(baselines), tuple(entries),
                        (), None, (), tuple(notes))  # fmt: skip
    selectors = result.selectors()
    pairs = _pairs([(each, at) for each in selectors], resampling)
    if budget is None:
        return replace(result, pairs=pairs)
    affordable = [
        (each, int(each.baselines.ks[places[-1]]))
        for each in selectors
        if (cost := each.cost()) is not None
        and len(places := np.flatnonzero(cost <= budget * (1 + CLOSE)))
    ]
    return replace(result, pairs=pairs, budget=budget, equal_cost=_pairs(affordable, resampling))


def _baselines(arena: Arena, ks: IntArray, tariff: Tariff, resampling: Resampling) -> Baselines:
    rng, level, n_resamples = resampling
    rows = arena.rows
    made = curves(rows.problem, rows.correct, rows.answer_class, ks=ks).matrices
    oracle, majority = made["coverage"], made.get("majority")
    random = np.broadcast_to(oracle[:, :1], oracle.shape)
    drawn = {"random": random, "majority": majority, "oracle": oracle}
    intervals = {
        name: mean_interval(values, rng, level=level, n_resamples=n_resamples)
        for name, values in drawn.items()
        if values is not None
    }
    generation = None if tariff.generation is None else tariff.generation[ks - 1]
    return Baselines(arena, ks, random, oracle, majority, intervals, generation)


def _entry(
    study: ScoreStudy, base: Baselines, per_score: float | None, at: int, resampling: Resampling
) -> Entry:
    rng, level, n_resamples = resampling
    arms = (study.best_of, base.random, base.oracle)
    column = int(np.searchsorted(base.ks, at))
    drawn = problem_weights(len(base.random), n_resamples, rng, "bootstrap")
    whole = [np.append(arm[:, column].mean(), drawn @ arm[:, column]) for arm in arms]
    return Entry(
        study,
        base,
        mean_interval(study.best_of, rng, level=level, n_resamples=n_resamples),
        None
        if study.weighted is None
        else mean_interval(study.weighted, rng, level=level, n_resamples=n_resamples),
        selection_efficiency(*(arm.mean(axis=0) for arm in arms)),
        percentiles(selection_efficiency(*whole), level, len(base.random)),
        per_score,
    )


def _pairs(
    selectors: Sequence[tuple[Selector, int]], resampling: Callable[[str], Resampling]
) -> tuple[Pair, ...]:
    """Best-of-k of every two verifiers, each against random choice and majority, votes likewise."""
    found = []
    for place, (first, k_a) in enumerate(selectors):
        for second, k_b in selectors[:place]:
            if not _worth_testing(first, second):
                continue
            one, two = (
                each.values[:, int(np.searchsorted(each.baselines.ks, k))]
                for each, k in ((first, k_a), (second, k_b))
            )
            rng, level, n_resamples = resampling(f"{first.label} - {second.label}")
            gap = paired_difference(one, two, rng, level=level, n_resamples=n_resamples)
            raw = float(paired_p_value(one, two, rng))
            ends = (float(gap.estimate), float(gap.low), float(gap.high))
            found.append(Pair(first.label, second.label, k_a, k_b, *ends, raw, raw))
    corrected = holm([pair.raw_p_value for pair in found])
    return tuple(pair._replace(p_value=float(p)) for pair, p in zip(found, corrected, strict=True))


def _worth_testing(first: Selector, second: Selector) -> bool:
    """Fewer questions leave more power to each."""
    kinds = {first.kind, second.kind}
    if "weighted" in kinds:
        return kinds == {"weighted", "majority"} and first.baselines is second.baselines
    if kinds == {"best_of"}:
        return True
    return "best_of" in kinds and first.baselines is second.baselines


def _notes(samples: Sequence[SampleSet], found: Sequence[Arena], ids: tuple[str, ...]) -> list[str]:
    """What a reader must know of the pools."""
    notes = [note for arena in found for note in arena.notes]
    used = {id(arena.samples) for arena in found}
    for each in samples:
        if id(each) not in used:
            why = "holds no such scores" if each.independent else "holds the ends of a search"
            notes.append(f"{each.label} {why} and is left out")
    for arena in found:
        if arena.samples.simulated:
            notes.append(f"{arena.samples.label} is simulated")
        if arena.samples.imported:
            notes.append(f"{arena.samples.label} is imported from {arena.samples.imported}")
        n_ungradable = int(np.isnan(arena.rows.correct).sum())
        if n_ungradable:
            notes.append(f"{arena.samples.label}: {n_ungradable} ungradable answers count as wrong")
    if len(ids) < FEW_PROBLEMS:
        notes.append(f"{len(ids)} problems are few: intervals are rough")
    return notes


def _warnings(study: ScoreStudy) -> list[str]:
    """What a reader must know of a verifier's scores."""
    n = len(study.arena.rows.correct)
    if study.n_missing == n:
        return [f"{study.label} has no score at all"]
    warnings = []
    if study.n_missing:
        warnings.append(
            f"{study.label} has no score for {study.n_missing} of {n} samples: they rank below "
            "all others"
        )
    if study.n_levels == 1:
        warnings.append(f"{study.label} gives every sample the same score")
    if study.weights == "platt" and study.weighted is not None:
        warnings.append(
            f"{study.label} has scores below zero: its votes weigh the probabilities of a Platt "
            "scaling that was fitted on other problems"
        )
    if study.oracle:
        warnings.append(f"{study.label} is an oracle: it looks at the reference answer")
    return warnings
