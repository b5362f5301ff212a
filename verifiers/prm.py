"""A process reward model: a score for every step, put together into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ttscale.aggregate import Aggregate, aggregate
from ttscale.context import Context
from ttscale.strategy import Verifier
from ttscale.trace import Path, Problem


@dataclass(frozen=True)
class ProcessRewardModel(Verifier):
    """A reward model's scores of the steps (Lightman et al., 2023, 2305.20050), aggregated.

    model : name of the reward model in the experiment's `models`.
    aggregate : `last`, `min`, `product`, `mean`, or `model`: the model's own score of the solution
        so far, shown to it as a single step.
    """

    model: str = "prm"
    aggregate: Aggregate = "last"

    async def __call__(
        self, problem: Problem, paths: Sequence[Path], ctx: Context
    ) -> Sequence[float]:
        """Score the steps of every path, and aggregate them."""
        scores = await ctx.step_scores(self.model, paths, as_one_step=self.aggregate == "model")
        return [aggregate(steps, self.aggregate) for steps in scores]
