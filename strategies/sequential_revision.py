"""Sequential revision: chains of attempts, each made with those before it in view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ttscale.context import Context
from ttscale.errors import InputError
from ttscale.search.final import choose
from ttscale.selection.asking import fitting_prompt
from ttscale.selection.listing import shown
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Problem
from ttscale.vote import plurality

REVISE = """\
{problem}

Here are your attempts so far, the latest last. They may be wrong.

{solutions}

Find what is wrong in them, and solve the problem anew."""


@dataclass(frozen=True)
class SequentialRevision(Strategy):
    """Chains of revisions side by side (Snell et al., 2024, 2408.03314, sec. 6).

    n attempts in all: few long chains search near an answer, many short ones far. Models that were
    not trained to revise spoil right answers, so all attempts of all chains are in the final vote.

    n : attempts in all.
    chains : that run at once; divides n. With as many chains as attempts this is majority voting.
    context : attempts that a revision sees.
    pick : `majority` of the attempts, or with a verifier `weighted` vote or the `best`.
    """

    n: Positive = 8
    chains: Positive = 2
    context: Positive = 4
    pick: Literal["majority", "weighted", "best"] = "majority"

    def __post_init__(self) -> None:
        if self.n > 1 and self.n % self.chains:
            raise InputError(
                "the chains must be of one length",
                where="sequential_revision.chains",
                got=f"chains {self.chains}, n {self.n}",
                hint="a number of chains that divides n",
            )

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Begin the chains, revise, and choose among all attempts."""
        n_chains = min(self.chains, self.n)
        chains = [[path] for path in await ctx.sample(problem.root, n=n_chains)]
        for _ in range(self.n // n_chains - 1):
            prompts = [
                fitting_prompt(
                    ctx,
                    [shown(path.response) for path in chain[-self.context :]],
                    lambda seen: REVISE.format(problem=problem.root.text, solutions=seen),
                    name="Attempt",
                )
                for chain in chains
            ]
            for chain, path in zip(chains, await ctx.sample(prompts), strict=True):
                chain.append(path)
        attempts = [path for chain in chains for path in chain]
        if self.pick != "majority":
            return await choose(attempts, ctx, self.pick)
        vote = plurality(await ctx.classes(attempts), ctx.rng)
        winner = None if vote.winner is None else attempts[vote.winner]
        return Answer(winner, vote.share, vote.tied, vote.abstained)
