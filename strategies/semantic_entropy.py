"""Semantic entropy: parallel answers, round after round, until they agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ttscale.adaptive.entropy import secretary_stops, semantic_entropy
from ttscale.context import Context
from ttscale.search.fields import NonNegative
from ttscale.selection.asking import fitting_prompt
from ttscale.selection.listing import shown
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Path, Problem
from ttscale.vote import plurality

AGAIN = """\
{problem}

Here is what was answered so far; it may be wrong.

{solutions}

Think again, taking from these what is right, and answer the problem."""


@dataclass(frozen=True)
class SemanticEntropy(Strategy):
    """Rounds of n answers conditioned on the round before (SEAT; Xu et al., 2025, 2507.06829).

    A round's entropy is that of its answers over equivalence classes. The rounds end once it falls
    to a threshold, or by the secretary rule: after a third of the rounds (1/e), at the first that
    is below all of those. The last round votes; an earlier one where it gives no answer.

    n : answers of a round; one alone has no entropy and ends after the first.
    rounds : the most.
    stop : `threshold` or `secretary`.
    threshold : in nats, of at most log n.
    """

    n: Positive = 4
    rounds: Positive = 4
    stop: Literal["threshold", "secretary"] = "threshold"
    threshold: NonNegative = 0.5

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Answer in rounds until the answers agree."""
        prompt, rounds = problem.root, list[list[Path]]()
        entropies: list[float] = []
        while True:
            rounds.append(await ctx.sample(prompt, n=self.n))
            entropies.append(semantic_entropy(await ctx.classes(rounds[-1])))
            if len(rounds) == self.rounds or self.n == 1 or self.stops(entropies):
                break
            prompt = fitting_prompt(
                ctx,
                [shown(path.response) for path in rounds[-1]],
                lambda answers: AGAIN.format(problem=problem.root.text, solutions=answers),
            )
        for paths in reversed(rounds):
            vote = plurality(await ctx.classes(paths), ctx.rng)
            if vote.winner is not None:
                return Answer(paths[vote.winner], vote.share, vote.tied, vote.abstained)
        return Answer(None, abstained=self.n)

    def stops(self, entropies: list[float]) -> bool:
        """Whether the last round is the last."""
        if self.stop == "secretary":
            return secretary_stops(entropies, self.rounds)
        return entropies[-1] <= self.threshold
