"""What an imperfect verifier allows: ceilings and the best number of attempts.

Attempts at a task of type t are drawn until the verifier accepts one or `n_attempts` are used.
Closed forms of FORMULAS 3.3; the setting is Stroebl et al., 2024 (2411.17501).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ttscale.laws.grid import Array


class Outcome(NamedTuple):
    """Probabilities that the returned answer is right, wrong, or that none was accepted."""

    right: Array
    wrong: Array
    none: Array


@dataclass(frozen=True)
class ImperfectVerifier:
    """Tasks of several types behind one verifier.

    Parameters
    ----------
    accuracy : P(a sample is correct) of each type, shape (T,).
    weight : prior share of each type, shape (T,), summing to one.
    completeness : P(accept | correct), a number or shape (T,).
    soundness : P(reject | wrong), a number or shape (T,).
    """

    accuracy: ArrayLike
    weight: ArrayLike
    completeness: ArrayLike = 1.0
    soundness: ArrayLike = 1.0

    def _rates(self) -> tuple[Array, Array, Array, Array]:
        """Weights, and chances that one attempt is accepted right, accepted wrong, rejected."""
        accuracy = np.asarray(self.accuracy, dtype=np.float64)
        weight = np.asarray(self.weight, dtype=np.float64)
        hit = np.asarray(self.completeness) * accuracy
        fluke = (1 - np.asarray(self.soundness)) * (1 - accuracy)
        return weight, hit, fluke, 1 - hit - fluke

    def outcome(self, n_attempts: ArrayLike) -> Outcome:
        """What comes back from up to `n_attempts` attempts (inf allowed), shape as given."""
        weight, hit, fluke, reject = self._rates()
        left = reject ** np.asarray(n_attempts, dtype=np.float64)[..., None]
        with np.errstate(invalid="ignore", divide="ignore"):
            tries = np.where(reject < 1, (1 - left) / (1 - reject), 0.0)
        return Outcome(tries @ (weight * hit), tries @ (weight * fluke), left @ weight)

    def precision(self) -> Array:
        """P(correct | accepted) for each type: the ceiling of resampling, shape (T,)."""
        _, hit, fluke, _ = self._rates()
        return hit / (hit + fluke)

    def value(
        self, n_attempts: ArrayLike, wrong: float, right: float = 1.0, cost: float = 0.0
    ) -> Array:
        """Expected value of up to `n_attempts` attempts, prior-weighted.

        `right` is earned by a correct answer, `wrong` (below zero) by a wrong one, `cost` is paid
        for each attempt. EV(K) = sum_t weight_t v_t (1 - beta_t^K) / (1 - beta_t).
        """
        weight, hit, fluke, reject = self._rates()
        gain = right * hit + wrong * fluke - cost
        ks = np.asarray(n_attempts, dtype=np.float64)[..., None]
        with np.errstate(invalid="ignore", divide="ignore"):
            tries = np.where(reject < 1, (1 - reject**ks) / (1 - reject), ks)
        worth = weight * gain
        return np.asarray(np.where(worth == 0, 0.0, tries) @ worth)  # endless tries for nothing

    def published_value(self, n_attempts: int, wrong: float, right: float = 1.0) -> float:
        """The expected value as published, which counts the chance of getting there twice.

        Each attempt's value under the types' posterior, times a reach factor that uses the
        posterior again; it can exceed the true success rate. For comparison with the paper only.
        """
        weight, hit, fluke, reject = self._rates()
        gain, total = right * hit + wrong * fluke, 0.0
        for attempt in range(n_attempts):
            posterior = weight * reject**attempt
            posterior = posterior / posterior.sum()
            total += float((posterior @ gain) * (posterior @ reject**attempt))
        return total

    def best_attempts(
        self, wrong: float, right: float = 1.0, cost: float = 0.0, limit: int = 1_000_000
    ) -> float:
        """First K >= 0 whose next attempt does not pay; inf where every attempt up to `limit` does.

        With harder types rejecting more and earning less, the gain changes sign at most once.
        """
        weight, hit, fluke, reject = self._rates()
        gain = weight * (right * hit + wrong * fluke - cost)
        ks = np.unique(np.concatenate([np.arange(1000), np.geomspace(1e3, limit, 4000)]).round())
        # Only the sign matters: by the largest rejection rate, so that nothing underflows to zero.
        share = reject / max(float(reject.max()), 1e-300)
        stops = np.flatnonzero((share ** ks[:, None]) @ gain <= 0)
        return float(ks[stops[0]]) if len(stops) else np.inf
