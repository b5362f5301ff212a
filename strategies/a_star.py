"""A*-decoding: always go on from the most promising partial solution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import ClassVar

from ttscale.context import Context
from ttscale.search.best_first import priority
from ttscale.search.fields import NonNegative
from ttscale.search.frontier import distinct
from ttscale.search.stages import stages
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Path, Problem


@dataclass(frozen=True)
class AStar(Strategy):
    """Best-first search over partial solutions (Chatziveroglou, 2025, 2505.13672).

    Expands the partial solution of the highest f, until that is a finished one: the answer. f is
    the verifier's score, plus `past` times the mean score of the steps before.

    n : continuations of each expanded partial solution.
    past : weight of the past in f; 0 is the score alone.
    max_expansions : the last of them goes on to the end of the response; the finished path with
        the highest f is then the answer.
    """

    needs_verifier: ClassVar[bool] = True
    n: Positive = 4
    past: NonNegative = 0.0
    max_expansions: Positive = 40

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Expand in the order of f; of equal ones the earlier."""
        queue: list[tuple[float, int, Path]] = [(-math.inf, 0, problem.root)]
        n_queued = 1
        for until in stages(self.max_expansions, self.n):
            _, _, best = heappop(queue)
            if best.done:
                break
            children = distinct(await ctx.sample(best, n=self.n, until=until))
            await ctx.score(children)
            for child in children:
                values = await ctx.score(list(child.lineage())[1:])
                heappush(queue, (-priority(values, self.past), n_queued, child))
                n_queued += 1
        else:
            _, _, best = min(entry for entry in queue if entry[2].done)
        return Answer(best, score=ctx.scores[best])
