"""What a fit is: its laws, the one selected, and what they say of any budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from ttscale.laws.draws import Estimate, Prediction, weighted_quantiles
from ttscale.laws.families import POOLED
from ttscale.laws.grid import Array
from ttscale.laws.lawfit import LawFit
from ttscale.laws.mixing import MixingFamily
from ttscale.laws.pool import checked_ks
from ttscale.laws.saturation import REACH, Per, Saturation, saturation

# A law whose share of the pooled one is smaller changes no reported digit.
LEAST_WEIGHT = 1e-3


@dataclass(frozen=True)
class Asymptote:
    """The limit of accuracy at an unbounded budget, and whether the data or the law says so."""

    value: float
    low: float
    high: float
    identified: bool
    reason: str | None

    def to_json(self) -> dict[str, object]:
        """The `asymptote` entry of `ttscale fit --json`."""
        numbers = Estimate(self.value, self.low, self.high).to_json()
        return {**numbers, "identified": self.identified, "reason": self.reason}


@dataclass(frozen=True)
class Peak:
    """Where an observed curve is highest, and how much it falls from there to its end.

    Attributes
    ----------
    k : budget of the highest mean accuracy.
    drop : accuracy there minus accuracy at the largest budget, with its interval.
    turns_down : whether the interval of the drop excludes zero.
    """

    k: int
    drop: Estimate
    turns_down: bool

    def to_json(self) -> dict[str, object]:
        """As JSON values."""
        return {"k": self.k, "drop": self.drop.to_json(), "turns_down": self.turns_down}


@dataclass(frozen=True)
class Fit:
    """Laws fitted to one curve of one pool.

    Attributes
    ----------
    selector : the curve, 'coverage' or another selector's name.
    laws : every law that was fitted; empty when the data bear none.
    selected : name of the law behind predictions; 'pooled' weighs several.
    n_problems, fitted_to : problems, and the largest budget the fit saw.
    level : of the intervals.
    notes : what a reader must know: what was never solved, left out, or is not identified.
    checklist : see `ttscale.laws.checklist`.
    peak : the highest point of an observed curve that is not coverage.
    reason : why no law could be fitted; None when some were.
    """

    selector: str
    laws: tuple[LawFit, ...]
    selected: str
    n_problems: int
    fitted_to: float
    level: float
    notes: tuple[str, ...] = ()
    checklist: Mapping[str, object] = field(default_factory=dict, repr=False)
    peak: Peak | None = None
    reason: str | None = None

    @property
    def has_draws(self) -> bool:
        """Whether there are bootstrap refits, and so intervals."""
        return all(len(law.draws) for law in self.laws)

    def members(self) -> list[tuple[LawFit, float]]:
        """The laws behind the predictions, each with its weight."""
        if self.selected != POOLED:
            return [(law, 1.0) for law in self.laws if law.name == self.selected]
        return [(law, law.weight) for law in self.laws if law.weight >= LEAST_WEIGHT]

    def pooled(self, quantity: Callable[[LawFit, Array], Array]) -> Prediction:
        """Any quantity of the selected law with its interval, each of shape (K,).

        `quantity` maps a law and parameters (B, D) to (B, K). One law's value is that of its best
        parameters; the pooled law's is the weighted median over laws, and its interval is of all
        laws' draws, each law with its weight.
        """
        members = self.members()
        weights = np.array([weight for _, weight in members])
        points = np.concatenate([quantity(law, law.free[None]) for law, _ in members])
        value = weighted_quantiles(points, weights, (0.5,))[0]
        if not self.has_draws:
            return Prediction(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
        draws = np.concatenate([quantity(law, law.draws) for law, _ in members])
        shares = np.concatenate([np.full(len(law.draws), w / len(law.draws)) for law, w in members])
        low, high = weighted_quantiles(draws, shares, ((1 - self.level) / 2, (1 + self.level) / 2))
        return Prediction(value, low, high)

    def predict(self, ks: ArrayLike) -> Prediction:
        """Predicted accuracy at `ks` samples, with pointwise intervals, each of shape (K,).

        See `pooled`; all NaN when no law could be fitted.
        """
        budgets = checked_ks(ks)
        if not self.laws:
            nothing = np.full(len(budgets), np.nan)
            return Prediction(nothing, nothing, nothing)
        return self.pooled(lambda law, free: law.curves(free, budgets))

    def saturation(
        self, epsilon: float = 0.01, *, per: Per = "sample", reach: float = REACH
    ) -> Saturation:
        """See `ttscale.laws.saturation.saturation`."""
        return saturation(self, epsilon, per=per, reach=reach)

    def asymptote(self) -> Asymptote:
        """Accuracy at an unbounded budget, and what that number rests on."""
        if not self.laws:
            return Asymptote(np.nan, np.nan, np.nan, False, self.reason)
        ends = self.pooled(lambda law, free: law.limits(free)[:, None])
        value, low, high = (float(end[0]) for end in ends)
        reason = self._unidentified() if np.isfinite(value) else "the selected law turns down"
        return Asymptote(value, low, high, reason is None, reason)

    def _unidentified(self) -> str | None:
        """Why the limit is the law's assumption rather than the data's word, or None."""
        if self.selector != "coverage":
            return None
        families = [law.family for law, _ in self.members()]
        if not any(isinstance(f, MixingFamily) and f.has_unsolvable for f in families):
            return "the law fixes the limit: that every problem is solvable is no finding"
        return (
            "not identified: problems that can never be solved cannot be told from problems with "
            f"a success rate far below 1 in {self.fitted_to:,}"
        )

    def to_json(
        self,
        ks: ArrayLike | None = None,
        *,
        epsilon: float = 0.01,
        per: Per = "sample",
    ) -> dict[str, object]:
        """The record of the fit, as `ttscale fit --json` prints it.

        `extrapolation` is at `ks`, by default 1, 10, 100 and 10,000 times the fitted range's end
        rounded to powers of ten, or the fitted budgets' own range for a law of money or FLOPs.
        """
        budgets = self._far() if ks is None else checked_ks(ks)
        prediction = self.predict(budgets)
        laws = [law.to_json(law.name == self.selected) for law in self.laws]
        if self.selected == POOLED:
            laws.append(
                {
                    "family": POOLED,
                    "form": "weighted median over laws",
                    "parameters": {},
                    "heldout_error": None,
                    "weight": 1.0,
                    "selected": True,
                }
            )
        extrapolation = [
            {
                "k": _plain(k),
                "prediction": row["value"],
                "low": row["low"],
                "high": row["high"],
                "extrapolated": bool(k > self.fitted_to),
            }
            for k, row in zip(
                budgets,
                (Estimate(*e).to_json() for e in zip(*prediction, strict=True)),
                strict=True,
            )
        ]
        return {
            "selector": self.selector,
            "n_problems": self.n_problems,
            "fitted_to": _plain(self.fitted_to),
            "level": self.level,
            "laws": laws,
            "saturation": self.saturation(epsilon, per=per).to_json(),
            "extrapolation": extrapolation,
            "asymptote": self.asymptote().to_json(),
            "peak": None if self.peak is None else self.peak.to_json(),
            "notes": list(self.notes),
            "reason": self.reason,
            "checklist": dict(self.checklist),
        }

    def _far(self) -> Array:
        """Powers of ten from the end of the fitted range to a hundred times it."""
        first = int(np.floor(np.log10(max(self.fitted_to, 1.0))))
        last = int(np.ceil(np.log10(max(self.fitted_to, 1.0) * REACH)))
        return np.asarray(10.0 ** np.arange(max(first, 0), last + 1))


def _plain(number: float) -> int | float:
    """A whole number as an int."""
    return int(number) if float(number).is_integer() else float(number)
