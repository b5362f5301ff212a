"""Self-consistency: sample n solutions, answer with the most frequent answer."""

from __future__ import annotations

from dataclasses import dataclass

from ttscale.context import Context
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Problem
from ttscale.vote import plurality


@dataclass(frozen=True)
class MajorityVote(Strategy):
    """Marginalise over reasoning paths by a vote over answers (Wang et al., 2023, 2203.11171).

    Votes are over equivalence classes of answers; a path without an answer abstains.
    """

    n: Positive = 16

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Sample n solutions and vote."""
        paths = await ctx.sample(problem.root, n=self.n)
        vote = plurality(await ctx.classes(paths), ctx.rng)
        winner = None if vote.winner is None else paths[vote.winner]
        return Answer(winner, score=vote.share, tied=vote.tied, abstained=vote.abstained)
