"""A study: one sample set's curves with intervals, and the laws fitted to each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ttscale.cost.units import parse_quantity
from ttscale.errors import InputError, closest
from ttscale.laws.coverage import fit_coverage
from ttscale.laws.curve import fit_curve
from ttscale.laws.draws import finite
from ttscale.laws.families import COVERAGE_LAWS, MAJORITY_LAWS, POOLED, SELECTOR_LAWS
from ttscale.laws.fit import Fit
from ttscale.laws.pool import checked_ks
from ttscale.laws.sampled import COVERAGE, has_column, sampled_curves
from ttscale.laws.saturation import Per, saturation_by_price
from ttscale.record.pool import Counts
from ttscale.record.samples import SampleSet
from ttscale.stats import Interval, mean_interval
from ttscale.stats.pool_curves import Curves

FAR = (2, 4, 10, 100)
"""Budgets predicted when none are asked for, in multiples of the largest one that was fitted."""


class Price(NamedTuple):
    """What one sample costs and what a point (0.01) of accuracy is worth, in one unit."""

    per_sample: float
    point: float
    dimension: str

    @classmethod
    def parse(cls, price: str | None, worth: str | None) -> Price | None:
        """From two amounts such as `0.002 USD` and `5 cents`; None from neither."""
        if price is None and worth is None:
            return None
        if price is None or worth is None:
            raise InputError(
                "a price and what it is weighed against come together",
                where="--price, --worth",
                got="--price alone" if worth is None else "--worth alone",
                hint='--price "0.002 USD" --worth "0.05 USD": of a sample, of a point of accuracy',
            )
        cost = parse_quantity(price, where="--price")
        point = parse_quantity(worth, dimensions=[cost.dimension], where="--worth")
        if cost.amount >= 100 * point.amount:
            raise InputError(
                "one sample costs as much as all of accuracy is worth, so none pays",
                where="--price, --worth",
                got=f"{price} a sample, {worth} a point",
                hint="--worth is what one point (0.01) of accuracy is worth",
            )
        return cls(cost.amount, point.amount, cost.dimension)


@dataclass(frozen=True)
class Study:
    """One sample set, what its samples show, and what laws make of it.

    Attributes
    ----------
    samples : what was studied.
    curves : estimates of each problem, (problems, ks), by selector: `coverage`, `majority`,
        `best_of:<score>`, `weighted_majority:<score>`; a counts file has coverage alone.
    observed : the mean curve of each selector with its interval, each end of shape (ks,).
    fits : the laws of each selector.
    ks : budgets to predict, shape (K,).
    fit_up_to : the largest k that the fits saw; None for all.
    epsilon, per, price : which step is too small to be worth it, see `Fit.saturation`.
    notes : what a reader must know beside what the fits' own notes say.
    """

    samples: SampleSet
    curves: Curves
    observed: Mapping[str, Interval]
    fits: Mapping[str, Fit]
    ks: npt.NDArray[np.float64]
    fit_up_to: int | None
    epsilon: float
    per: Per
    price: Price | None
    notes: tuple[str, ...] = ()

    @property
    def selectors(self) -> tuple[str, ...]:
        """Coverage first."""
        return tuple(self.fits)

    def is_oracle(self, selector: str) -> bool:
        """Whether a selector's score looks at the reference answer, as far as the pool says."""
        return self.samples.is_oracle(selector.partition(":")[2])

    @cached_property
    def records(self) -> dict[str, dict[str, Any]]:
        """The JSON record of each selector: curve, laws, saturation, predictions."""
        return {selector: self._record(selector) for selector in self.selectors}

    def to_json(self) -> dict[str, Any]:
        """The object that `ttscale fit --json` prints; docs/fit.md explains its keys."""
        metadata, n = self.samples.metadata, self.curves.n_samples
        others = {name: record for name, record in self.records.items() if name != COVERAGE}
        coverage = self.records[COVERAGE]
        return {
            "source": self.samples.source,
            "sample_set": self.samples.name,
            "model": metadata.get("model"),
            "benchmark": metadata.get("benchmark"),
            "simulated": self.samples.simulated,
            "imported": self.samples.imported,
            "oracles": [name for name in self.selectors if self.is_oracle(name)],
            "n_problems": len(n),
            "n_samples": int(n.sum()),
            "n_samples_per_problem": [int(n.min()), int(n.max())],
            "counts": self._counts(),
            "fit_up_to": self.fit_up_to,
            "level": self.fits[COVERAGE].level,
            **coverage,
            "curves": {name: record["curve"] for name, record in others.items()},
            "selectors": others,
            "notes": [*self.notes, *coverage["notes"]],
        }

    def _record(self, selector: str) -> dict[str, Any]:
        fit, ks = self.fits[selector], self.curves.ks
        record = fit.to_json(self.ks, epsilon=self.epsilon, per=self.per)
        for common in ("selector", "n_problems", "level"):
            del record[common]
        curve = _points(ks, self.observed[selector], ("estimate", "low", "high"))
        if selector in self.curves.standard_errors:
            errors = _monte_carlo_errors(self.curves.standard_errors[selector])
            curve = [
                {**p, "monte_carlo_error": float(e)} for p, e in zip(curve, errors, strict=True)
            ]
        return {
            "oracle": self.is_oracle(selector),
            "curve": curve,
            "selected": fit.selected,
            **record,
            "saturation_by_price": self._saturation_by_price(fit),
            **self._heldout(fit, curve),
        }

    def _heldout(self, fit: Fit, curve: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """What the law predicted where `fit_up_to` hid the samples, beside what they show."""
        hidden = [p for p in curve if self.fit_up_to is not None and p["k"] > self.fit_up_to]
        if not hidden:
            return {"heldout": [], "heldout_rms_error": None}
        ks = np.array([point["k"] for point in hidden])
        predicted = fit.predict(ks)
        names = ("prediction", "prediction_low", "prediction_high")
        points = _points(ks, predicted, names)
        miss = predicted.value - [point["estimate"] for point in hidden]
        return {
            "heldout": [{**seen, **said} for seen, said in zip(hidden, points, strict=True)],
            "heldout_rms_error": finite(float(np.sqrt(np.mean(miss**2)))),
        }

    def _saturation_by_price(self, fit: Fit) -> dict[str, Any] | None:
        if self.price is None:
            return None
        point = saturation_by_price(fit, self.price.per_sample, gain=0.01, price=self.price.point)
        return {
            **point.to_json(),
            "price_per_sample": self.price.per_sample,
            "worth_of_a_point": self.price.point,
            "unit": self.price.dimension,
        }

    def _counts(self) -> dict[str, Any]:
        """How the samples ended; None for what the source does not say."""
        table, pool = self.curves, self.samples.pool
        truncated = abstained = None
        tally = self.samples.tally
        counted = pool is not None or tally is not None
        if tally is not None:
            truncated = tally.ends.get("n_truncated")
        if pool is not None and has_column(pool, "finish_reason"):
            truncated = pool.table["finish_reason"].to_pylist().count("length")
        if "majority" in table.matrices:
            abstained = int(table.n_abstain.sum())
        return {
            "n_correct": int(table.n_correct.sum()),
            "n_never_solved": int((table.n_correct == 0).sum()),
            "n_always_solved": int((table.n_correct == table.n_samples).sum()),
            "n_ungradable": int(table.n_ungradable.sum()) if counted else None,
            "n_truncated": truncated,
            "n_abstained": abstained,
            "n_nan_scores": {name: int(n.sum()) for name, n in table.n_nan_scores.items()},
        }


def study(
    samples: SampleSet,
    *,
    law: str = "auto",
    fit_up_to: int | None = None,
    ks: npt.ArrayLike | None = None,
    epsilon: float = 0.01,
    per: Per = "sample",
    price: Price | None = None,
    n_bootstrap: int = 1000,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> Study:
    """Estimate every selector's curve from a sample set, and fit laws to each.

    Parameters
    ----------
    samples : independent draws; see `choose_samples`.
    law : 'auto', or one law by name: it is used for the curves it is a law of, the others keep
        'auto'.
    fit_up_to : largest k that the fits may see; observed points beyond it are held out.
    ks : budgets to predict; 2, 4, 10 and 100 times the largest fitted one when left out.
    epsilon, per, price : the step that is too small to be worth it.
    n_bootstrap, level : of the intervals.
    rng : a fresh generator seeded 0 when left out.

    Raises InputError for what cannot be fitted; counts that bear no law give fits with a reason.
    """
    budget = _checked_budget(fit_up_to, samples.counts)
    _check_step(epsilon, per)
    wanted = None if ks is None else checked_ks(ks)
    curve_rng, interval_rng, *fit_rngs = (np.random.default_rng(0) if rng is None else rng).spawn(4)
    table, notes = sampled_curves(samples, budget, curve_rng)
    laws, more_notes = _laws(law, table.matrices)
    options: dict[str, Any] = {"fit_up_to": budget, "n_bootstrap": n_bootstrap, "level": level}
    fits = {
        COVERAGE: fit_coverage(
            table.n_samples, table.n_correct, law=laws[COVERAGE], rng=fit_rngs[0], **options
        )
    }
    for name, matrix in table.matrices.items():
        if name != COVERAGE:
            fits[name] = fit_curve(
                matrix, table.ks, selector=name, law=laws[name], rng=fit_rngs[1], **options
            )
    observed = {
        name: mean_interval(matrix, interval_rng, level=level)
        for name, matrix in table.matrices.items()
    }
    if wanted is None:
        wanted = fits[COVERAGE].fitted_to * np.array(FAR, dtype=np.float64)
    return Study(
        samples, table, observed, fits, wanted, budget, epsilon, per, price, (*notes, *more_notes)
    )


def _laws(law: str, selectors: Mapping[str, object]) -> tuple[dict[str, str], list[str]]:
    """The law to fit to each selector, and a note where that is not the one asked for."""
    if law in ("auto", POOLED):
        return dict.fromkeys(selectors, "auto"), []
    offered = {name: _offered(name) for name in selectors}
    if not any(law in laws for laws in offered.values()):
        known = {name for laws in offered.values() for name in laws}
        raise InputError(
            "there is no such law of these curves: " + ", ".join(selectors),
            where="law",
            got=law,
            hint=closest(law, ("auto", *known)),
        )
    keep = [name for name, laws in offered.items() if law not in laws]
    notes = [f"{law} is no law of {', '.join(keep)}: auto chose there"] if keep else []
    return {name: "auto" if name in keep else law for name in selectors}, notes


def _offered(selector: str) -> tuple[str, ...]:
    if selector == COVERAGE:
        return COVERAGE_LAWS
    return MAJORITY_LAWS if "majority" in selector else SELECTOR_LAWS


def _checked_budget(fit_up_to: int | None, counts: Counts) -> int | None:
    largest = int(counts.n_samples.max())
    if fit_up_to is None or 1 <= fit_up_to <= largest:
        return fit_up_to
    raise InputError(
        "a fit sees at least one sample of a problem and at most all of them",
        where="fit_up_to",
        got=fit_up_to,
        hint=f"a whole number from 1 to {largest:,}; budgets beyond the samples are what --k names",
    )


def _check_step(epsilon: float, per: str) -> None:
    """What `saturation` would refuse is refused before the fit, not after."""
    if not 0 < epsilon < 1:
        raise InputError(
            "the smallest worthwhile gain is a share of accuracy",
            where="epsilon",
            got=epsilon,
            hint="0.01 for one point of accuracy",
        )
    if per not in ("sample", "doubling"):
        raise InputError("unknown step", where="per", got=per, hint="sample or doubling")


def _points(
    ks: npt.NDArray[Any], ends: Sequence[npt.NDArray[np.float64]], names: Sequence[str]
) -> list[dict[str, Any]]:
    rows = zip(ks, *ends, strict=True)
    return [
        {"k": int(k), **{name: finite(v) for name, v in zip(names, row, strict=True)}}
        for k, *row in rows
    ]


def _monte_carlo_errors(errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Standard errors of the mean over problems, from those of each problem (problems, ks)."""
    return np.asarray(np.sqrt(np.square(errors).sum(axis=0)) / len(errors))
