"""Beam search: after every step, keep the partial solutions that the verifier scores highest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ttscale.context import Context
from ttscale.search.allocation import even_widths
from ttscale.search.fields import Pick, check_width
from ttscale.search.final import choose
from ttscale.search.frontier import distinct, repeated, top
from ttscale.search.stages import stages
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Path, Problem


@dataclass(frozen=True)
class BeamSearch(Strategy):
    """Keep the best n / width partial solutions after every step (Snell et al., 2024, 2408.03314).

    The n continuations of a step are shared out evenly over the beam. Finished ones leave it, so do
    those that repeat another's text; the best n finished ones choose the answer.

    n : continuations at each step.
    width : continuations of each path in the beam; divides n.
    max_steps : the last of them goes on to the end of the response.
    pick : `weighted` vote of the finished paths, or the `best` of them.
    """

    needs_verifier: ClassVar[bool] = True
    n: Positive = 16
    width: Positive = 4
    max_steps: Positive = 40
    pick: Pick = "weighted"

    def __post_init__(self) -> None:
        check_width("beam_search", self.n, self.width)

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Grow the beam step by step."""
        beam: list[Path] = [problem.root]
        finished: list[Path] = []
        for until in stages(self.max_steps, self.n):
            widths = even_widths(len(beam), self.n)
            children = await ctx.sample(repeated(beam, widths), until=until)
            finished += [child for child in children if child.done]
            live = distinct([child for child in children if not child.done])
            if not live:
                break
            beam = top(live, await ctx.score(live), self.n // self.width)
        finished = top(finished, await ctx.score(finished), self.n)
        return await choose(finished, ctx, self.pick)
