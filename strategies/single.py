"""One sample: the baseline every other strategy is measured against."""

from __future__ import annotations

from dataclasses import dataclass

from ttscale.context import Context
from ttscale.strategy import Strategy
from ttscale.trace import Answer, Problem


@dataclass(frozen=True)
class Single(Strategy):
    """Sample once and answer with it."""

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Sample once."""
        (path,) = await ctx.sample(problem.root)
        return Answer(path)
