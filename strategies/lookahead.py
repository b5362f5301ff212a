"""Lookahead search: a beam search that scores where a partial solution leads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ttscale.context import Context
from ttscale.search.allocation import even_widths
from ttscale.search.fields import Natural, Pick, check_width
from ttscale.search.final import choose
from ttscale.search.frontier import distinct, repeated, top
from ttscale.search.stages import stages
from ttscale.strategy import STEP, Positive, Strategy
from ttscale.trace import Answer, Path, Problem


@dataclass(frozen=True)
class Lookahead(Strategy):
    """Beam search by the score of a greedy rollout of k steps (Snell et al., 2024, 2408.03314).

    A rollout is billed, scored and dropped; its candidate goes on from where it was. With k = 0
    this is beam search.

    n : continuations at each step.
    width : continuations of each path in the beam; divides n.
    k : steps of a rollout, at temperature 0.
    max_steps : the last of them goes on to the end of the response, without rollouts.
    pick : `weighted` vote of the finished paths, or the `best` of them.
    """

    needs_verifier: ClassVar[bool] = True
    n: Positive = 16
    width: Positive = 4
    k: Natural = 1
    max_steps: Positive = 40
    pick: Pick = "weighted"

    def __post_init__(self) -> None:
        check_width("lookahead", self.n, self.width)

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
            ahead = await self.roll_out(live, ctx)
            beam = top(live, await ctx.score(ahead), self.n // self.width)
        finished = top(finished, await ctx.score(finished), self.n)
        return await choose(finished, ctx, self.pick)

    async def roll_out(self, paths: list[Path], ctx: Context) -> list[Path]:
        """Every path k greedy steps further, or to its end."""
        for _ in range(self.k):
            on = [path for path in paths if not path.done]
            further = iter(await ctx.sample(on, until=STEP, temperature=0.0))
            paths = [path if path.done else next(further) for path in paths]
        return paths
