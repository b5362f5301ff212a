"""Generative selection: the model reads its own solutions and names the best."""

from __future__ import annotations

from dataclasses import dataclass

from ttscale.context import Context
from ttscale.selection.asking import choose_by_asking
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Problem

QUESTION = """\
{problem}

Here are proposed solutions to the problem above.

{solutions}

Compare the solutions, find mistakes in them, and decide which one is right. End with the number \
of the best solution, as in "Best: 1"."""


@dataclass(frozen=True)
class GenerativeSelection(Strategy):
    """Best-of-n by a comparison of all solutions at once (GenSelect; Toshniwal et al., 2025).

    The model that solved the problem, or another one, is shown the solutions in a random order and
    reasons about which is the best (2507.17797). Nobody is asked where all answers agree; a verdict
    that names no solution does not count, and without any the most frequent answer is taken.

    n : solutions to sample.
    verdicts : how often the model is asked; the answer chosen most often wins.
    tokens : of one verdict.
    model : name in the experiment's `models`; the policy if left out.
    """

    n: Positive = 8
    verdicts: Positive = 1
    tokens: Positive = 512
    model: str | None = None

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Sample n solutions and have one chosen."""
        paths = await ctx.sample(problem.root, n=self.n)
        choice = await choose_by_asking(
            ctx,
            paths,
            lambda solutions: QUESTION.format(problem=problem.root.text, solutions=solutions),
            n_verdicts=self.verdicts,
            model=self.model,
            max_tokens=self.tokens,
        )
        if choice.winner is None:
            return Answer(None, abstained=self.n)
        abstained = sum(ctx.answer(path) is None for path in paths)
        return Answer(paths[choice.winner], choice.share, choice.tied, abstained)
