"""Adaptive consistency: sample until the vote is decided."""

from __future__ import annotations

from dataclasses import dataclass

from ttscale.adaptive.stopping import Rule, enough
from ttscale.context import Context
from ttscale.errors import InputError
from ttscale.strategy import Positive, Share, Strategy
from ttscale.trace import Answer, Path, Problem
from ttscale.vote import plurality


@dataclass(frozen=True)
class AdaptiveConsistency(Strategy):
    """Stop sampling once a majority is sure enough (Aggarwal et al., 2023, 2305.11860).

    The posterior of the answers' shares is Beta over the two most frequent, or Dirichlet over all.
    `share` asks for a share of the most frequent one; `window` for the last answers to agree
    (early-stopping self-consistency; Li et al., 2024, 2401.10480). Samples are taken in the order
    of their streams, not of completion, which would favour short answers.

    n : the most samples.
    rule : when to stop.
    threshold : of the confidence, or of the share.
    window : samples of a round, after which the rule is asked; all of a round run at once.
    """

    n: Positive = 16
    rule: Rule = "beta"
    threshold: Share = 0.95
    window: Positive = 1

    def __post_init__(self) -> None:
        if self.rule == "window" and self.window < 2 <= self.n:
            raise InputError(
                "one answer always agrees with itself",
                where="adaptive_consistency.window",
                got=self.window,
                hint="a window of 2 or more",
            )

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Sample round by round and vote."""
        paths: list[Path] = []
        classes: list[int | None] = []
        while len(paths) < self.n and not (
            paths and enough(classes, self.rule, self.threshold, self.window)
        ):
            n_more = min(self.window, self.n - len(paths))
            paths += await ctx.sample(problem.root, n=n_more)
            classes = await ctx.classes(paths)
        vote = plurality(classes, ctx.rng)
        winner = None if vote.winner is None else paths[vote.winner]
        return Answer(winner, vote.share, vote.tied, vote.abstained)
