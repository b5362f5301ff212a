"""Selective allocation: hard sub-problems are reasoned about, easy ones are answered at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from ttscale.context import Context
from ttscale.selection.asking import fitting, fitting_prompt
from ttscale.selection.listing import read_items, read_share, shown
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Path, Problem

DECOMPOSE = """\
{problem}

Do not solve the problem. List the sub-problems to be solved for it, in order, one a line, \
numbered 1. 2. 3."""

CONTEXT = """\
{problem}

What is known so far:

{known}

Next sub-problem: {goal}

"""
ASSESS = "How hard is this sub-problem? Write only a number from 0 (trivial) to 1 (very hard)."
QUICK = "Write only its result."
REASON = "Think step by step, and write down its result."
TOGETHER = "\n\nFrom this, the answer to the whole problem follows. "


@dataclass(frozen=True)
class SelectiveAllocation(Strategy):
    """Decompose, assess, allocate, carry on (SCALE, AAAI 2026).

    The model lists sub-problems, rates how hard each one is given what is known, answers easy ones
    at once and reasons about hard ones. The results, shortened where need be, are put into its
    mouth before the final answer. A rating that cannot be read counts as hard; how many were hard
    is noted. Without sub-problems it is a plain sample.

    threshold : difficulty up to which a sub-problem is easy.
    most : sub-problems.
    listing, quick : tokens of the list, and of a quick result.
    reserve : tokens that are kept free for the final answer.
    """

    threshold: Annotated[float, Ge(0), Le(1)] = 0.2
    most: Positive = 6
    listing: Positive = 256
    quick: Positive = 32
    reserve: Positive = 128

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Solve the sub-problems one by one, then the problem."""
        asked = ctx.prompt(DECOMPOSE.format(problem=problem.root.text))
        (listed,) = await ctx.sample(asked, max_tokens=self.listing)
        goals = read_items(listed.response, self.most)
        if not goals:
            (path,) = await ctx.sample(problem.root)
            return Answer(path)
        known: list[str] = []
        for goal in goals:
            (rating,) = await ctx.sample(self.ask(problem, known, goal, ASSESS, ctx), max_tokens=16)
            difficulty = read_share(rating.response)
            hard = difficulty is None or difficulty > self.threshold
            ctx.notes["hard_parts" if hard else "easy_parts"] += 1
            question = self.ask(problem, known, goal, REASON if hard else QUICK, ctx)
            limit = ctx.sampling.max_tokens if hard else self.quick
            (result,) = await ctx.sample(question, max_tokens=limit)
            known.append(f"{goal}\n{shown(result.response)}")

        def carried(parts: list[str]) -> Path:
            return ctx.extend(problem.root, "\n\n".join(parts) + TOGETHER)

        reply = min(self.reserve, ctx.sampling.max_tokens // 2)
        together = fitting(ctx, known, lambda parts: carried(list(parts)), reply)
        (final,) = await ctx.sample(together)
        return Answer(final)

    def ask(
        self, problem: Problem, known: list[str], goal: str, request: str, ctx: Context
    ) -> Path:
        """A question about a sub-problem, with what is known."""
        return fitting_prompt(
            ctx,
            known,
            lambda texts: (
                CONTEXT.format(problem=problem.root.text, known=texts or "nothing", goal=goal)
                + request
            ),
            name="Result",
        )
