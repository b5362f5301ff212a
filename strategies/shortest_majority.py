"""Shortest majority: a vote in which answers that came quickly count more."""

from __future__ import annotations

from dataclasses import dataclass

from ttscale.context import Context
from ttscale.selection.weights import shortness
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Problem
from ttscale.vote import plurality


@dataclass(frozen=True)
class ShortestMajority(Strategy):
    """Vote by count over the log of the mean length (Zeng et al., 2025, 2502.12215).

    An answer that c solutions of mean length l give has the score c / log l: long chains of
    thought are more often wrong. A solution without an answer abstains.

    n : solutions to sample.
    """

    n: Positive = 16

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Sample n solutions and vote."""
        paths = await ctx.sample(problem.root, n=self.n)
        classes = await ctx.classes(paths)
        weights = shortness(classes, [path.n_generated for path in paths])
        vote = plurality(classes, ctx.rng, weights)
        winner = None if vote.winner is None else paths[vote.winner]
        return Answer(winner, vote.share, vote.tied, vote.abstained)
