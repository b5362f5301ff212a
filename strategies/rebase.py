"""REBASE: share out the next step's continuations by the rewards of this step's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ttscale.context import Context
from ttscale.search.allocation import rebase_widths
from ttscale.search.fields import Pick, PositiveFloat
from ttscale.search.final import choose
from ttscale.search.frontier import repeated
from ttscale.search.stages import stages
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Path, Problem


@dataclass(frozen=True)
class Rebase(Strategy):
    """Reward-balanced tree search (Wu et al., 2024, 2408.00724).

    A partial solution gets continuations in proportion to the softmax of its score; a finished one
    takes one off the width that is left, so n solutions come of it.

    n : continuations at each step.
    temperature : of the softmax over scores; the default suits scores in [0, 1].
    max_steps : the last of them goes on to the end of the response.
    pick : `weighted` vote of the finished paths, or the `best` of them.
    """

    needs_verifier: ClassVar[bool] = True
    n: Positive = 16
    temperature: PositiveFloat = 0.2
    max_steps: Positive = 40
    pick: Pick = "weighted"

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Grow the tree step by step."""
        leaves, widths = [problem.root], [self.n]
        finished: list[Path] = []
        for until in stages(self.max_steps, self.n):
            children = await ctx.sample(repeated(leaves, widths), until=until)
            finished += [child for child in children if child.done]
            leaves = [child for child in children if not child.done]
            if not leaves:
                break
            scores = await ctx.score(leaves)
            widths = rebase_widths(scores, self.n - len(finished), self.temperature)
        return await choose(finished, ctx, self.pick)
