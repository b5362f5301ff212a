"""Repetition: another strategy run n times, and a vote over its answers, or the best of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ttscale.context import Context
from ttscale.search.final import choose
from ttscale.strategies.single import Single
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Problem
from ttscale.vote import plurality


@dataclass(frozen=True)
class Repeated(Strategy):
    """A choice among n answers of another strategy: self-consistency over anything.

    Runs are branches with samples and random numbers of their own, all at once, and an even share
    of the budget. Majority over budget-forced traces (s1's parallel scaling; 2501.19393, sec. 6):
    `{name: repeated, n: 8, of: {name: budget_forcing, waits: 2}}`.

    of : the strategy; if it asks for scores, this one's entry names the verifier.
    n : how often it is run; once is that strategy itself.
    pick : `majority` of the answers, or with a verifier `weighted` vote or the `best`.
    """

    of: Strategy = field(default_factory=Single)
    n: Positive = 8
    pick: Literal["majority", "weighted", "best"] = "majority"

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Run the strategy n times and choose."""
        if self.n == 1:
            return await self.of(problem, ctx)
        answers = await ctx.gather(*(self.of(problem, ctx) for _ in range(self.n)))
        paths = [answer.path for answer in answers if answer.path is not None]
        silent = self.n - len(paths)
        if not paths:
            return Answer(None, abstained=silent)
        if self.pick != "majority":
            return await choose(paths, ctx, self.pick)
        vote = plurality(await ctx.classes(paths), ctx.rng)
        winner = None if vote.winner is None else paths[vote.winner]
        share = vote.share * len(paths) / self.n
        return Answer(winner, share, vote.tied, vote.abstained + silent)
