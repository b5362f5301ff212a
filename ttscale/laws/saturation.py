"""Where a law saturates: the budget after which one more sample, or a doubling, is too little."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ttscale.errors import InputError
from ttscale.laws.grid import Array
from ttscale.laws.lawfit import LawFit

if TYPE_CHECKING:
    from ttscale.laws.fit import Fit

# How far past the largest fitted budget a law is believed: from k = 100 to k = 10,000.
REACH = 100.0

Per = Literal["sample", "doubling"]


@dataclass(frozen=True)
class Saturation:
    """The first budget whose next step gains no more than epsilon.

    Attributes
    ----------
    n : samples, or None where the data cannot tell.
    low, high : interval; `high` is None where it lies beyond the reach of the data.
    epsilon : the gain in accuracy that is no longer worth a step.
    per : the step, one 'sample' or a 'doubling'.
    reason : why `n` or `high` is None; None when both are known.
    """

    n: int | None
    low: int | None
    high: int | None
    epsilon: float
    per: Per
    reason: str | None

    def to_json(self) -> dict[str, object]:
        """The `saturation` entry of `ttscale fit --json`."""
        return asdict(self)


def saturation_points(law: LawFit, free: Array, epsilon: float, reach: float, per: Per) -> Array:
    """First k >= 1 whose step gains at most epsilon, for parameters (B, D): (B,), inf past reach.

    A law whose gain first grows saturates after the last step that still gains more. Powers of
    two bracket that step and bisection finds it.
    """
    powers: Array = np.exp2(np.arange(int(np.ceil(np.log2(max(reach, 2.0)))) + 2, dtype=np.float64))
    stride = law.stride

    def gain(ks: Array) -> Array:
        return (law.curves(free, ks + stride) - law.curves(free, ks)) / stride

    steps = np.diff(law.curves(free, powers)) if per == "doubling" else gain(powers[:-1])
    worth = steps > epsilon
    last = np.where(worth.any(axis=1), worth.shape[1] - 1 - worth[:, ::-1].argmax(axis=1), -1)
    first = 2.0 ** (last + 1)
    if per == "sample":
        low = np.maximum(first / 2, 1.0)
        while np.any(first - low > 1):
            middle = np.floor((low + first) / 2)
            above = gain(middle[:, None])[:, 0] > epsilon
            low, first = np.where(above, middle, low), np.where(above, first, middle)
    return np.where((last == worth.shape[1] - 1) | (first > reach), np.inf, first)


def saturation(
    fit: Fit, epsilon: float = 0.01, *, per: Per = "sample", reach: float = REACH
) -> Saturation:
    """First number of samples whose next sample (or doubling) gains at most epsilon.

    Refuses, with the reason, where the answer or the upper end of its interval lies more than
    `reach` times beyond the largest budget that was fitted, or where no law could be fitted.
    """
    if not 0 < epsilon < 1:
        raise InputError(
            "The smallest worthwhile gain is a share of accuracy.",
            where="epsilon",
            got=epsilon,
            hint="0.01 for one point of accuracy",
        )
    if per not in ("sample", "doubling"):
        raise InputError("Unknown step.", where="per", got=per, hint="'sample' or 'doubling'")
    if not fit.laws:
        return Saturation(None, None, None, epsilon, per, fit.reason)
    limit = reach * fit.fitted_to

    def points(law: LawFit, free: Array) -> Array:
        return saturation_points(law, free, epsilon, limit, per)[:, None]

    value, low, high = (float(end[0]) for end in fit.pooled(points))
    reason = _reason(fit, value, high, epsilon, per, limit)
    ends = _whole(np.ceil(value)), _whole(np.floor(low)), _whole(np.ceil(high))
    return Saturation(*ends, epsilon, per, reason)


def saturation_by_price(
    fit: Fit, price_per_sample: float, *, gain: float = 0.01, price: float = 1.0
) -> Saturation:
    """First N whose next sample gains less than `gain` of accuracy per `price`.

    "Less than one point of accuracy per 0.05 USD" at 0.002 USD a sample is
    `saturation_by_price(fit, 0.002, gain=0.01, price=0.05)`; any unit will do, used for both.
    """
    for name, number in (("price_per_sample", price_per_sample), ("price", price), ("gain", gain)):
        if not (np.isfinite(number) and number > 0):
            raise InputError("Prices and gains are positive.", where=name, got=number)
    return saturation(fit, gain * price_per_sample / price)


def _whole(number: float) -> int | None:
    return int(number) if np.isfinite(number) else None


def _reason(
    fit: Fit, value: float, high: float, epsilon: float, per: Per, limit: float
) -> str | None:
    far = f"{limit:,.0f} samples, as far as a fit up to k = {fit.fitted_to:,} is believed"
    if not np.isfinite(value):
        return f"a {per} still gains more than {epsilon:g} at {far}"
    if not fit.has_draws:
        return "no interval: the fit was made without bootstrap resamples"
    if not np.isfinite(high):
        return f"the upper end of the interval lies beyond {far}"
    return None
