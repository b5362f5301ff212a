"""Closed-form laws of accuracy against a budget: samples, tokens, FLOPs or any other price.

Every law is a `CurveFamily`: a function of the budget and of parameters on their free scale, with
its derivatives, so that thousands of resampled curves are fitted in one batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ttscale.laws.grid import Array, softplus
from ttscale.laws.parameters import Family

# Values (B, K) and slopes by the free parameters (D, B, K) at budgets (K,), free (B, D).
Law = Callable[[Array, Array], tuple[Array, Array]]


def _share(free: Array) -> tuple[Array, Array]:
    """exp-link of a share, shape (B, 1), and its derivative."""
    share = np.exp(-softplus(-free))[:, None]
    return share, share * (1 - share)


def exponentiated_power(budget: Array, free: Array) -> tuple[Array, Array]:
    """coverage = exp(-A k^-B), A > 0, B > 0 (Brown et al., 2024; Schaeffer et al., 2025)."""
    a, b = np.exp(free[:, 0:1]), np.exp(free[:, 1:2])
    y = a * budget**-b
    value = np.exp(-y)
    return value, np.stack([-value * y, value * y * b * np.log(budget)])


def saturating(budget: Array, free: Array) -> tuple[Array, Array]:
    """accuracy = F_max (1 - (1-p)^N): the TTSPM law (Scaling over Scaling, 2025)."""
    f_max, by_f = _share(free[:, 0])
    p, _ = _share(free[:, 1])
    miss = np.exp(-budget * softplus(free[:, 1:2]))
    return f_max * (1 - miss), np.stack([by_f * (1 - miss), f_max * miss * budget * p])


def sigmoid(budget: Array, free: Array) -> tuple[Array, Array]:
    """accuracy = L + (U - L) / (1 + exp(-s (log C - m)))."""
    lower, by_lower = _share(free[:, 0])
    upper, by_upper = _share(free[:, 1])
    s, m = np.exp(free[:, 2:3]), free[:, 3:4]
    away = np.log(budget) - m
    rise = np.exp(-softplus(-s * away))
    bend = (upper - lower) * rise * (1 - rise)
    slopes = [by_lower * (1 - rise), by_upper * rise, bend * s * away, -bend * s]
    return lower + (upper - lower) * rise, np.stack(slopes)


def power_to_asymptote(budget: Array, free: Array) -> tuple[Array, Array]:
    """accuracy = A_inf - c k^-b, c of either sign."""
    top, by_top = _share(free[:, 0])
    b = np.exp(free[:, 2:3])
    decay = budget**-b
    slopes = [by_top + 0 * decay, -decay, free[:, 1:2] * decay * b * np.log(budget)]
    return top - free[:, 1:2] * decay, np.stack(slopes)


def one_over_k(budget: Array, free: Array) -> tuple[Array, Array]:
    """accuracy = A_inf - c / k: majority vote when p(right mode) has a smooth density."""
    top, by_top = _share(free[:, 0])
    return top - free[:, 1:2] / budget, np.stack([by_top + 0 / budget, -1 / budget + 0 * top])


def offset_one_over_k(budget: Array, free: Array) -> tuple[Array, Array]:
    """accuracy = A_inf - c / (k + k_0): the 1/k approach of majority, right at small k too."""
    top, by_top = _share(free[:, 0])
    c, k_0 = free[:, 1:2], np.exp(free[:, 2:3])
    near = 1 / (budget + k_0)
    return top - c * near, np.stack([by_top + 0 * near, -near, c * near * near * k_0])


def overoptimization(budget: Array, free: Array) -> tuple[Array, Array]:
    """accuracy = A_1 + d (a - b d), d = sqrt(log k - (k-1)/k): best-of-k under an imperfect score.

    d^2 is the KL divergence of best-of-k from one sample; with b > 0 the law turns down at
    d = a / 2b (Gao, Schulman and Hilton, 2022).
    """
    d = np.sqrt(np.maximum(np.log(budget) - (budget - 1) / budget, 0.0))
    one = np.ones((len(free), len(budget)))
    slopes = np.stack([one, d * one, -d * d * one])
    return np.einsum("bd,dbk->bk", free, slopes), slopes


@dataclass(frozen=True)
class CurveFamily(Family):
    """A closed-form law of a curve.

    Parameters
    ----------
    parameters : with links and the spread of the starts; the prior is so weak that only a
        direction the data leave flat feels it.
    law : value and slopes.
    source : paper or derivation.
    turns_down : whether the law can fall again.
    stride : samples over which the law rises by a step (majority needs two more votes).
    """

    law: Law
    source: str
    turns_down: bool = False
    stride: int = 1

    def curve(self, free: Array, budgets: Array) -> Array:
        """Accuracy at budgets (K,) for free parameters (B, D), shape (B, K)."""
        return self.law(np.asarray(budgets, dtype=np.float64), free)[0]

    def limit(self, free: Array) -> Array:
        """The value at an unbounded budget, shape (B,); NaN for a law that turns down."""
        values = self.values(free)
        named = [p.name for p in self.parameters]
        if self.turns_down:
            return np.full(len(free), np.nan)
        if named == ["alpha", "beta"]:
            from scipy.special import betainc

            return np.asarray(1 - betainc(values[:, 0], values[:, 1], 0.5))
        if named == ["A", "B"]:
            return np.ones(len(free))
        return np.asarray(values[:, named.index("U") if "U" in named else 0])


def inflection(A: float, B: float) -> float:
    """k* = (A B / (B+1))^(1/B), beyond which each further sample gains less than the one before.

    For coverage = exp(-A k^-B); FORMULAS 2.1 [derived].
    """
    return float((A * B / (B + 1)) ** (1 / B))


def samples_for_coverage(A: float, B: float, coverage: float) -> float:
    """k with exp(-A k^-B) = coverage: (A / -log coverage)^(1/B)."""
    return float((A / -np.log(coverage)) ** (1 / B))


def saturating_gain_end(f_max: float, p: float, epsilon: float) -> int:
    """First N >= 0 with F(N+1) - F(N) <= epsilon, for F(N) = F_max (1 - (1-p)^N).

    N* = ceil(log(epsilon / (F_max p)) / log(1-p)), settled by scanning its neighbours, since a
    floating ceil errs at exact ties. Source: TTSPM (Scaling over Scaling, 2025); FORMULAS 3.1.
    """
    if epsilon <= 0:
        raise ValueError("epsilon must be positive")
    if p <= 0 or f_max * p <= epsilon:
        return 0
    if p >= 1:
        return 1
    near = int(np.ceil(np.log(epsilon / (f_max * p)) / np.log1p(-p)))
    tie = 1 + 1e-12
    candidates = range(max(near - 2, 0), near + 3)
    return next(n for n in candidates if f_max * p * (1 - p) ** n <= epsilon * tie)


def saturating_share_reached(p: float, delta: float) -> int:
    """N that reaches (1 - delta) of F_max: ceil(log delta / log(1-p)), 0 < p < 1."""
    return int(np.ceil(np.log(delta) / np.log1p(-p) * (1 - 1e-14)))


def sigmoid_budget(share: float, s: float, m: float) -> float:
    """log C at which a sigmoid law has covered `share` of its range: m + logit(share) / s."""
    return float(m + np.log(share / (1 - share)) / s)
