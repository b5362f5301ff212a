"""Everything that was measured, in every unit it can be priced in; nothing is extrapolated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ttscale.cost import Hardware
from ttscale.errors import InputError
from ttscale.plan.candidates import Candidate, all_candidates
from ttscale.plan.frontier import Choice, choose, enough, frontier
from ttscale.plan.points import Points, make_points
from ttscale.plan.pricing import Meter, sample_cost, search_costs, verification_cost
from ttscale.plan.sources import Source, Sources
from ttscale.stats.arrays import FloatArray, IntArray

UNITS = ("samples", "tokens", "flops", "bytes", "seconds", "usd")
DECIDING = ("flops", "tokens", "samples")
"""What is cheap is decided in the first of these that the sources can be priced in."""


@dataclass(frozen=True)
class Measured:
    """Every candidate at every number of samples it was measured at.

    Attributes
    ----------
    sources : what was read.
    points : accuracy, and cost in one unit, by unit.
    unit : that in which cheap is meant.
    choice : the most accurate point in it.
    enough : the cheapest point less than `epsilon` below that one.
    missing : why there is no cost in a unit.
    """

    sources: Sources
    points: Mapping[str, Points]
    unit: str
    choice: Choice
    enough: int
    epsilon: float
    missing: Mapping[str, str]

    def frontier(self, unit: str) -> IntArray:
        """Points that nothing cheaper matches, by rising cost."""
        return frontier(self.points[unit])

    def costs(self, point: int) -> dict[str, float]:
        """What a point of the deciding unit costs a problem, by unit."""
        wanted = self._identity(self.unit, point)
        found = {}
        for unit, points in self.points.items():
            for index in range(len(points)):
                if self._identity(unit, index) == wanted:
                    found[unit] = float(points.cost[index])
        return found

    def _identity(self, unit: str, point: int) -> tuple[str, str, str, int]:
        points = self.points[unit]
        each = points.of(point)
        return each.source, each.sample_set, each.selector, int(points.n[point])


def measure(
    sources: Sources,
    hardware: Hardware | None,
    rng: np.random.Generator,
    *,
    epsilon: float = 0.01,
    models: Mapping[str, str] | None = None,
) -> Measured:
    """Price every candidate of the sources, as far as their samples reach.

    Parameters
    ----------
    hardware : for seconds and USD; they are missing without it.
    epsilon : a difference in accuracy too small to pay for.
    models : architectures in place of what the sources record, as of `Meter`.
    """
    counted = all(source.rows.n_generated is not None for source in sources.sources)
    base = Meter("tokens" if counted else "samples", None, models or {})
    candidates = all_candidates(sources, base, _one_sample(sources, base), rng)
    whole = make_points(candidates, rng)
    points, missing = {}, {}
    for unit in UNITS:
        try:
            meter = Meter(unit, hardware, models or {})
            points[unit] = _repriced(whole, sources, meter)
        except InputError as error:
            missing[unit] = error.what
    unit = next(name for name in DECIDING if name in points)
    choice = choose(points[unit], np.inf, rng)
    cheap = enough(points[unit], np.inf, choice.point, epsilon)
    return Measured(sources, points, unit, choice, cheap, epsilon, missing)


def _one_sample(sources: Sources, meter: Meter) -> float:
    """A budget so small that no candidate goes beyond its samples by a law."""
    n_problems = len(sources.problem_ids)
    first = np.array([1])
    return min(
        float(sample_cost(source, n_problems, meter)(first).mean()) for source in sources.sources
    )


def _repriced(points: Points, sources: Sources, meter: Meter) -> Points:
    """The same points at their cost in another unit; those that have none in it are left out."""
    costs: list[FloatArray] = []
    for each in points.candidates:
        cost = _cost(each, sources, meter)
        costs.append(np.full((points.n_problems, len(each.ns)), np.nan) if cost is None else cost)
    joined = np.concatenate(costs, axis=1)
    kept = ~np.isnan(joined[0])
    return replace(
        points,
        candidate=points.candidate[kept],
        n=points.n[kept],
        cost=joined.mean(axis=0)[kept],
        accuracy=points.accuracy[kept],
        low=points.low[kept],
        high=points.high[kept],
        extrapolated=points.extrapolated[kept],
        allowed=points.allowed[kept],
        values=points.values[:, kept],
        costs=joined[:, kept],
        draws=points.draws[:, kept],
    )


def _cost(each: Candidate, sources: Sources, meter: Meter) -> FloatArray | None:
    """What a candidate costs on each problem at its numbers of samples, (P, K)."""
    ids = sources.problem_ids
    if each.selector == "strategy":
        if meter.dimension == "samples":
            return None
        return search_costs(sources.runs[each.source], each.sample_set, ids, meter, each.source)[
            :, None
        ]
    source = _source_of(each, sources.sources)
    cost = sample_cost(source, len(ids), meter)(each.ns)
    verifier = each.selector.partition(":")[2]
    if verifier:
        check = verification_cost(source, verifier, len(ids), ids, meter)
        cost = cost + check[:, None] * each.ns
    return np.asarray(cost, dtype=np.float64)


def _source_of(each: Candidate, sources: Sequence[Source]) -> Source:
    return next(
        source
        for source in sources
        if (source.samples.source, source.samples.name) == (each.source, each.sample_set)
    )
