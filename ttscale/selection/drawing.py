"""Solutions to choose among."""

from __future__ import annotations

from ttscale.context import Context
from ttscale.trace import Path, Problem


async def draw(problem: Problem, ctx: Context, n: int, *, hedged: bool) -> list[Path]:
    """n solutions, of which, hedged, the last is greedy (Khairi et al., 2025, 2506.20544).

    One solution is a plain sample: there is nothing to hedge.
    """
    if not hedged or n == 1:
        return await ctx.sample(problem.root, n=n)
    sampled = await ctx.sample(problem.root, n=n - 1)
    return sampled + await ctx.sample(problem.root, temperature=0.0)
