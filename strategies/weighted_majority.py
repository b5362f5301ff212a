"""Weighted majority: sample n solutions, vote over answers, each vote weighted by its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ttscale.context import Context
from ttscale.search.final import choose
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Problem


@dataclass(frozen=True)
class WeightedMajority(Strategy):
    """Vote over answers, weighted by a verifier (Li et al., 2023, 2206.02336; best-of-N weighted).

    Votes are over equivalence classes of answers; a path without an answer abstains.

    n : solutions to sample.
    """

    needs_verifier: ClassVar[bool] = True
    n: Positive = 16

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Sample n solutions and vote by their scores."""
        return await choose(await ctx.sample(problem.root, n=self.n), ctx, "weighted")
