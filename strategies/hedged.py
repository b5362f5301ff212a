"""Hedged sampling: one of the n solutions is the greedy one."""

from __future__ import annotations

from dataclasses import dataclass

from ttscale.context import Context
from ttscale.selection.drawing import draw
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Problem
from ttscale.vote import plurality


@dataclass(frozen=True)
class Hedged(Strategy):
    """Vote over n - 1 samples and a greedy solution (Khairi et al., 2025, 2506.20544).

    The greedy solution hedges against a temperature that harms, in tasks and languages in which
    the model is weak. The paper pairs it with other choices than the vote: `minimum_bayes_risk`
    and `checklist_selection` are hedged too.

    n : solutions; one alone is a plain sample.
    """

    n: Positive = 16

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Sample, and vote."""
        paths = await draw(problem, ctx, self.n, hedged=True)
        vote = plurality(await ctx.classes(paths), ctx.rng)
        winner = None if vote.winner is None else paths[vote.winner]
        return Answer(winner, vote.share, vote.tied, vote.abstained)
