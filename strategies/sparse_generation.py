"""Sparse generation: samples that read part of the KV cache, more of them for the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ttscale.context import Context
from ttscale.cost.policy import parse_policy
from ttscale.search.final import choose
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Problem
from ttscale.vote import plurality


@dataclass(frozen=True)
class SparseGeneration(Strategy):
    """Spend on samples what sparse attention saves (Kinetics: Sadhukhan et al., 2025, 2506.05333).

    n : solutions to sample.
    policy : what decoding attends to, as in `attention:`; budgets are tokens in each layer.
    pick : `majority` of the answers, or with a verifier the `best` or a `weighted` vote.
    """

    n: Positive = 16
    policy: str = "block_topk:1024"
    pick: Literal["majority", "best", "weighted"] = "majority"

    def __post_init__(self) -> None:
        parse_policy(self.policy, "sparse_generation.policy")

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Sample n solutions under the policy and choose."""
        paths = await ctx.sample(problem.root, n=self.n, attention=self.policy)
        if self.pick != "majority":
            return await choose(paths, ctx, self.pick)
        vote = plurality(await ctx.classes(paths), ctx.rng)
        winner = None if vote.winner is None else paths[vote.winner]
        return Answer(winner, vote.share, vote.tied, vote.abstained)
