"""Diverse verifier tree search: several greedy searches that do not compete with each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ttscale.context import Context
from ttscale.search.fields import Pick, check_width
from ttscale.search.final import choose
from ttscale.search.frontier import top
from ttscale.search.stages import stages
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Path, Problem


@dataclass(frozen=True)
class DVTS(Strategy):
    """Split a beam search into n / width independent subtrees (Beeching, Tunstall, Rush, 2024).

    After "Scaling test-time compute with open models". Each subtree keeps the best of its `width`
    continuations at every step, until that one is finished. The finished ones among every subtree's
    last continuations choose the answer; those that were only halfway have no vote.

    n : continuations at each step, over all subtrees.
    width : continuations of each subtree at each step; divides n.
    max_steps : the last of them goes on to the end of the response.
    pick : `weighted` vote of the finished paths, or the `best` of them.
    """

    needs_verifier: ClassVar[bool] = True
    n: Positive = 16
    width: Positive = 4
    max_steps: Positive = 40
    pick: Pick = "weighted"

    def __post_init__(self) -> None:
        check_width("dvts", self.n, self.width)

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Grow all subtrees at once."""
        if self.n == 1:
            return await choose(await ctx.sample(problem.root), ctx, self.pick)
        n_subtrees = self.n // self.width
        ends = await ctx.gather(*(self.subtree(problem.root, ctx) for _ in range(n_subtrees)))
        return await choose([path for last in ends for path in last], ctx, self.pick)

    async def subtree(self, node: Path, ctx: Context) -> list[Path]:
        """Follow the best continuation to its end; the finished ones of the last step."""
        children: list[Path] = []
        for until in stages(self.max_steps, self.n):
            children = await ctx.sample(node, n=self.width, until=until)
            (node,) = top(children, await ctx.score(children), 1)
            if node.done:
                break
        return [child for child in children if child.done]
