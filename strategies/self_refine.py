"""Self-refine: the model criticises its solution and improves it."""

from __future__ import annotations

from dataclasses import dataclass

from ttscale.context import Context
from ttscale.selection.asking import fitting_prompt
from ttscale.selection.listing import shown
from ttscale.strategy import Positive, Strategy
from ttscale.thinking import final
from ttscale.trace import Answer, Problem

CRITICISE = """\
{problem}

{solution}

Check this solution step by step and say what is wrong with it and how to mend it. If nothing is \
wrong, write only: {stop}"""

REFINE = """\
{problem}

{both}

Write the solution anew, mending what the feedback says is wrong."""


@dataclass(frozen=True)
class SelfRefine(Strategy):
    """Feedback and refinement by one model, in turns (Madaan et al., 2023, 2303.17651).

    The last version is the answer; an earlier one where that gives none.

    rounds : the most.
    stop : what the model writes if nothing is left to mend.
    tokens : of one feedback.
    """

    rounds: Positive = 2
    stop: str = "NOTHING TO MEND"
    tokens: Positive = 256

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Solve, criticise, refine."""
        versions = await ctx.sample(problem.root)
        for _ in range(self.rounds):
            solution = shown(versions[-1].response)
            asked = fitting_prompt(
                ctx,
                [solution],
                lambda text: CRITICISE.format(
                    problem=problem.root.text, solution=text, stop=self.stop
                ),
            )
            (feedback,) = await ctx.sample(asked, max_tokens=self.tokens)
            if self.stop in final(feedback.response):
                break
            told = fitting_prompt(
                ctx,
                [solution, f"Feedback on it:\n{shown(feedback.response)}"],
                lambda both: REFINE.format(problem=problem.root.text, both=both),
            )
            versions += await ctx.sample(told)
        answering = [path for path in versions if ctx.answer(path) is not None]
        path = answering[-1] if answering else versions[-1]
        return Answer(path, abstained=len(versions) - len(answering))
