"""Best-of-N: sample n solutions, answer with the one the verifier scores highest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ttscale.context import Context
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Problem
from ttscale.vote import argmax


@dataclass(frozen=True)
class BestOfN(Strategy):
    """Draw n samples and keep the best by a verifier (Cobbe et al., 2021, 2110.14168)."""

    needs_verifier: ClassVar[bool] = True
    n: Positive = 16

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Sample n solutions and pick the highest score."""
        paths = await ctx.sample(problem.root, n=self.n)
        best = argmax(await ctx.score(paths), ctx.rng)
        winner = None if best.winner is None else paths[best.winner]
        return Answer(winner, score=best.share, tied=best.tied, abstained=best.abstained)
