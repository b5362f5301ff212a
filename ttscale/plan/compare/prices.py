"""What samples and their scores cost, from recorded tokens and ledgers or as the user says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ttscale.cost import Hardware
from ttscale.errors import InputError, closest
from ttscale.plan.compare.arena import Arena
from ttscale.plan.points import CLOSE
from ttscale.plan.pricing import DIMENSIONS, Meter, sample_cost, verification_cost
from ttscale.stats.arrays import FloatArray


@dataclass(frozen=True)
class Prices:
    """What sampling and scoring cost, in one unit.

    Attributes
    ----------
    meter : prices samples and recorded verification; generated tokens if not given.
    per_sample : cost of one sample, instead of the meter's.
    per_score : cost of one score, by verifier, instead of what the run's ledger says.
    label : the unit's name, if it is not the meter's.
    """

    meter: Meter = field(default_factory=lambda: Meter("tokens"))
    per_sample: float | None = None
    per_score: Mapping[str, float] = field(default_factory=dict)
    label: str | None = None

    @property
    def unit(self) -> str:
        """What costs are counted in."""
        return self.label or self.meter.dimension

    @classmethod
    def parse(
        cls,
        unit: str = "tokens",
        *,
        hardware: str | None = None,
        model: str | None = None,
        sample_cost: float | None = None,
        score_costs: Sequence[str] = (),
    ) -> Prices:
        """Read the options of the command line; raises InputError.

        With `sample_cost` the unit is a mere name; else it is one of `DIMENSIONS`, and hardware and
        model are as for plans. `score_costs` are like `prm=0.002`.
        """
        if sample_cost is not None and not 0 <= sample_cost < np.inf:
            raise InputError("a cost is not negative", where="--sample-cost", got=sample_cost)
        if sample_cost is None and unit not in DIMENSIONS:
            hint = f"{closest(unit, DIMENSIONS)} Any other name goes with --sample-cost"
            raise InputError("samples cannot be priced in this unit", where="--unit", got=unit,
                             hint=hint)  # fmt: skip
        per_score = {}
        for text in score_costs:
            name, _, number = text.rpartition("=")
            try:
                per_score[name] = float(number)
            except ValueError:
                per_score[name] = -1.0
            if not name or not 0 <= per_score[name] < np.inf:
                raise InputError("this is no verifier's cost", where="--score-cost", got=text,
                                 hint="NAME=COST of one score, such as prm=0.002")  # fmt: skip
        if sample_cost is not None:
            return cls(Meter("tokens"), sample_cost, per_score, unit)
        meter = Meter(unit, Hardware.load(hardware) if hardware else None,
                      {} if model is None else {"": model})  # fmt: skip
        return cls(meter, None, per_score)


class Tariff(NamedTuple):
    """Costs on one set of samples: of 1 to n of them, (n,), and of a score by verifier.

    None is unknown. All are means over problems.
    """

    generation: FloatArray | None
    per_score: Mapping[str, float | None]

    def bought(self, budget: float | None) -> set[int]:
        """The most samples that a budget pays for, unscored or with the scores of each verifier."""
        if self.generation is None or budget is None:
            return set()
        every = np.arange(1, len(self.generation) + 1)
        prices = {0.0, *(each for each in self.per_score.values() if each is not None)}
        within = [self.generation + every * each <= budget * (1 + CLOSE) for each in prices]
        return {int(np.count_nonzero(one)) for one in within} - {0}


def make_tariff(
    arena: Arena, n: int, prices: Prices, ids: tuple[str, ...], notes: list[str]
) -> Tariff:
    """What samples and scores of an arena cost, for up to n of them; adds to `notes`."""
    every = np.arange(1, n + 1)
    run, samples, label = arena.source.run, arena.samples, arena.samples.label
    generation = None
    if prices.per_sample is not None:
        generation = np.asarray(prices.per_sample * every, dtype=np.float64)
    elif prices.meter.dimension != "tokens" or arena.rows.n_generated is not None:
        costs = sample_cost(arena.source, len(ids), prices.meter)(every)
        generation = np.asarray(costs.mean(axis=0), dtype=np.float64)
    else:
        notes.append(f"{label}: costs are unknown, the pool has no n_generated_tokens")
    per_score: dict[str, float | None] = {}
    for name in arena.names:
        if name in prices.per_score:
            per_score[name] = prices.per_score[name]
        elif (
            (run.arms_with(name) or samples.is_rescored(name))
            and run.ledger is not None
            and prices.per_sample is None
        ):
            spent = verification_cost(arena.source, name, len(ids), ids, prices.meter)
            per_score[name] = float(spent.mean())
        else:
            per_score[name] = None
            notes.append(
                f"{label}: what {name} costs is unknown, no run's ledger tells; "
                f"--score-cost {name}=… says it"
            )
    return Tariff(generation, per_score)


def shared_budget(tariffs: Sequence[Tariff], k: int) -> float | None:
    """What k samples cost where they are cheapest; None where equal cost is equal k, or unknown."""
    costs = [tariff.generation[k - 1] for tariff in tariffs if tariff.generation is not None]
    free = not any(each for tariff in tariffs for each in tariff.per_score.values())
    if len(costs) < len(tariffs) or (free and len(tariffs) == 1):
        return None
    return float(min(costs))
