"""Compute-optimal: a pilot tells how hard a problem is, a plan how much it gets."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from ttscale.adaptive.planned import Bin, Planned, read_plan
from ttscale.context import Context
from ttscale.errors import InputError
from ttscale.search.fields import Pick
from ttscale.search.final import choose
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Path, Problem
from ttscale.vote import plurality


@dataclass(frozen=True)
class ComputeOptimal(Strategy):
    """Spend by predicted difficulty (Snell et al., 2024, 2408.03314).

    A few samples are the pilot, which counts in cost and vote. Its reading, the share of its most
    frequent answer, or its mean score where the plan was made with a verifier, puts the problem
    into a bin, and the bin says how many samples it gets in all and how they are chosen among.

    plan : JSON of `ttscale plan RUN --budget … --json`, relative to where ttscale is run. It takes
        the place of all other fields.
    pilot : samples of the pilot.
    edges : rising readings that separate bins.
    budgets : samples of each bin, hardest first; one more than edges.
    pick : how a verifier chooses, `best` or `weighted`; a plain vote where it is left out.
    """

    plan: str | None = None
    pilot: Positive = 4
    edges: tuple[float, ...] = (0.5, 1.0)
    budgets: tuple[Positive, ...] = (16, 8, 4)
    pick: Pick | None = None

    def __post_init__(self) -> None:
        if len(self.budgets) != len(self.edges) + 1 or sorted(self.edges) != list(self.edges):
            raise InputError(
                "edges rise, and there is one budget more than edges",
                where="compute_optimal.budgets",
                got=f"edges {list(self.edges)}, budgets {list(self.budgets)}",
            )
        if min(self.budgets) < self.pilot:
            raise InputError(
                "a budget holds the pilot's samples",
                where="compute_optimal.budgets",
                got=f"pilot {self.pilot}, budgets {list(self.budgets)}",
            )

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Take the pilot, read it, and go on to the bin's number of samples."""
        planned = read_plan(self.plan) if self.plan else self.allotted()
        paths = await ctx.sample(problem.root, n=planned.n_pilot)
        bin_ = planned.bin_of(await self.reading(planned, paths, ctx))
        if bin_.n > len(paths):
            paths += await ctx.sample(problem.root, n=bin_.n - len(paths))
        if bin_.pick is not None:
            return await choose(paths, ctx, bin_.pick)
        vote = plurality(await ctx.classes(paths), ctx.rng)
        winner = None if vote.winner is None else paths[vote.winner]
        return Answer(winner, vote.share, vote.tied, vote.abstained)

    def allotted(self) -> Planned:
        """The fields as a plan."""
        edges: list[float | None] = [*self.edges, None]
        bins = zip(edges, self.budgets, strict=True)
        return Planned(self.pilot, None, tuple(Bin(edge, n, self.pick) for edge, n in bins))

    async def reading(self, planned: Planned, pilot: list[Path], ctx: Context) -> float:
        """The pilot's mean score, or the share of its most frequent answer."""
        if planned.verifier is not None:
            known = [score for score in await ctx.score(pilot) if not math.isnan(score)]
            return math.fsum(known) / len(known) if known else math.nan
        counts = Counter(one for one in await ctx.classes(pilot) if one is not None)
        return max(counts.values(), default=0) / len(pilot)
