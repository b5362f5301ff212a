"""Self-certainty: a vote in which solutions count by how sure the model was of their tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from ttscale.adaptive.confidence import self_certainty, token_confidences
from ttscale.context import Context
from ttscale.search.fields import NonNegative
from ttscale.selection.weights import borda
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Problem
from ttscale.vote import plurality


@dataclass(frozen=True)
class SelfCertainty(Strategy):
    """Borda vote of solutions ranked by self-certainty (Kang et al., 2025, 2502.18581).

    Self-certainty is how far the model's distributions over next tokens are from uniform, over the
    likeliest tokens. The solution of rank r among n has (n - r + 1)^power votes.

    n : solutions to sample.
    power : 0 is the plain majority, a large one the single surest solution.
    top_logprobs : likeliest tokens. Samples are shared with strategies that ask for as many, or
        with all where the experiment's `sampling.top_logprobs` does.
    """

    n: Positive = 16
    power: NonNegative = 0.5
    top_logprobs: Annotated[int, Ge(1), Le(20)] = 20

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Sample n solutions, rank them, and vote."""
        if self.n == 1:
            (path,) = await ctx.sample(problem.root)
            return Answer(path)
        paths = await ctx.sample(problem.root, n=self.n, top_logprobs=self.top_logprobs)
        certainty = [self_certainty(token_confidences(path), self.top_logprobs) for path in paths]
        weights = borda(certainty, self.power).tolist()
        vote = plurality(await ctx.classes(paths), ctx.rng, weights)
        winner = None if vote.winner is None else paths[vote.winner]
        return Answer(winner, vote.share, vote.tied, vote.abstained)
