"""An ensemble: several verifiers' scores put together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ttscale.context import Context
from ttscale.errors import InputError
from ttscale.selection.weights import borda
from ttscale.strategy import Verifier
from ttscale.trace import Path, Problem

SUREST = 1e-6
"""Probabilities are held this far from 0 and 1, so that no member outvotes all others."""


@dataclass(frozen=True)
class Ensemble(Verifier):
    """Weighted mean of what several verifiers say, brought to one scale.

    of : the verifiers, each a name or a mapping with a `name`.
    by : the scale. `logit` takes scores as probabilities and gives the probability at their mean
        log-odds (a product of experts: Hinton, 2002); `rank` takes each member's ranks among the
        responses that are scored together, from 1/N to 1, whatever its scores mean; `score` takes
        scores as they are, such as with the coefficients of a logistic regression as weights,
        which is what Platt scaling of several verifiers is.
    weights : one for each verifier; equal if left out. `score` adds up, the others divide by the
        sum of the weights.

    NaN where a member has no score. An oracle is no member: it would leave nothing to combine.
    """

    of: tuple[Verifier, ...]
    by: Literal["logit", "rank", "score"] = "rank"
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.of:
            raise ValueError("an ensemble needs members: `of: [mean_logprob, judge]`")
        if any(member.oracle for member in self.of):
            raise ValueError("an oracle is no member of an ensemble: it would decide alone")
        if self.weights and len(self.weights) != len(self.of):
            raise ValueError(f"{len(self.of)} members need as many weights")
        if self.by != "score" and (any(w < 0 for w in self.weights) or sum(self._weights) <= 0):
            raise ValueError(f"weights by {self.by} are not negative, and not all 0")

    @property
    def _weights(self) -> tuple[float, ...]:
        return self.weights or (1.0,) * len(self.of)

    @property
    def needs_logprobs(self) -> bool:
        """Whether a member does."""
        return any(member.needs_logprobs for member in self.of)

    async def __call__(
        self, problem: Problem, paths: Sequence[Path], ctx: Context
    ) -> Sequence[float]:
        """Ask every member, and combine."""
        given = [await member(problem, paths, ctx) for member in self.of]
        scores = np.array(given, dtype=np.float64).reshape(len(self.of), len(paths))
        weights = np.array(self._weights)
        if self.by == "score":
            return [float(total) for total in weights @ scores]
        weights = weights / weights.sum()
        if self.by == "rank":
            ranks = np.array([borda(row, 1.0) / max(len(paths), 1) for row in scores])
            ranks[np.isnan(scores)] = math.nan
            return [float(rank) for rank in weights @ ranks]
        odds = weights @ self._log_odds(scores, ctx)
        return [float(chance) for chance in 1 / (1 + np.exp(-odds))]

    def _log_odds(self, scores: NDArray[np.float64], ctx: Context) -> NDArray[np.float64]:
        outside = scores[(scores < 0) | (scores > 1)]
        if outside.size:
            raise InputError(
                "an ensemble by log-odds takes probabilities, and a member's score is none",
                where=f"strategy {ctx.arm}",
                got=float(outside[0]),
                hint="`by: rank`, or `by: score` with weights",
            )
        chances = np.clip(scores, SUREST, 1 - SUREST)
        odds: NDArray[np.float64] = np.log(chances / (1 - chances))
        return odds
