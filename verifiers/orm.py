"""An outcome reward model: one score for a whole solution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ttscale.aggregate import aggregate
from ttscale.context import Context
from ttscale.strategy import Verifier
from ttscale.trace import Path, Problem


@dataclass(frozen=True)
class OutcomeRewardModel(Verifier):
    """A reward model's score of the solution as a whole (Cobbe et al., 2021, 2110.14168).

    model : name of the reward model in the experiment's `models`.
    """

    model: str = "orm"

    async def __call__(
        self, problem: Problem, paths: Sequence[Path], ctx: Context
    ) -> Sequence[float]:
        """Score every path as one step."""
        scores = await ctx.step_scores(self.model, paths, as_one_step=True)
        return [aggregate(steps, "last") for steps in scores]
