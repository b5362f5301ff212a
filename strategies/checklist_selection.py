"""CHOPS: a checklist for the task, and one call that reads all solutions against it."""

from __future__ import annotations

from dataclasses import dataclass

from ttscale.context import Context
from ttscale.selection.asking import choose_by_asking
from ttscale.selection.drawing import draw
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Problem

QUESTION = """\
{problem}

Here are proposed solutions to the problem above.

{solutions}

Judge each solution by this checklist:
{checklist}

Then choose the solution that passes most checks. End with its number, as in "Best: 1"."""


@dataclass(frozen=True)
class ChecklistSelection(Strategy):
    """Checklisted one-pass selection of a hedged sample (CHOPS; Khairi et al., 2025, 2506.20544).

    One call of the model sees all solutions and a checklist of the task, and names one of them.
    Nobody is asked where all answers agree; where no solution is named the most frequent answer is
    taken.

    n : solutions to sample.
    checklist : what a good solution does, for the task at hand.
    hedged : whether one of the solutions is greedy.
    tokens : of the verdict.
    model : name in the experiment's `models`; the policy if left out.
    """

    n: Positive = 5
    checklist: tuple[str, ...] = (
        "It answers exactly what is asked.",
        "Each step follows from the steps before it.",
        "Its calculations and facts are right.",
        "Its final answer is stated clearly and in the form asked for.",
    )
    hedged: bool = True
    tokens: Positive = 512
    model: str | None = None

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Sample n solutions and have one chosen by the checklist."""
        paths = await draw(problem, ctx, self.n, hedged=self.hedged)
        checklist = "\n".join(f"- {check}" for check in self.checklist)
        choice = await choose_by_asking(
            ctx,
            paths,
            lambda solutions: QUESTION.format(
                problem=problem.root.text, solutions=solutions, checklist=checklist
            ),
            model=self.model,
            max_tokens=self.tokens,
        )
        if choice.winner is None:
            return Answer(None, abstained=self.n)
        abstained = sum(ctx.answer(path) is None for path in paths)
        return Answer(paths[choice.winner], choice.share, choice.tied, abstained)
