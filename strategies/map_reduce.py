"""Map and reduce: the model splits its work, the parts run at once, the model merges them."""

from __future__ import annotations

from dataclasses import dataclass

from ttscale.context import Context
from ttscale.selection.asking import fitting
from ttscale.selection.listing import read_items
from ttscale.strategy import Positive, Strategy, Until
from ttscale.trace import Answer, Path, Problem


@dataclass(frozen=True)
class MapReduce(Strategy):
    """Goals, branches that work on one goal each, a conclusion (Multiverse, 2506.09991).

    All is one response of at most `sampling.max_tokens`, as the paper has it, but the branches run
    side by side and do not see each other; the conclusion sees all, and their tokens are computed
    once more for it. Models that were not trained for it are led by words put into their mouth. A
    response that lists no goals is gone on with, as one branch. Where branches leave too little
    room for the conclusion they lose their beginnings, which is noted.

    width : the most branches.
    outline : tokens of the list of goals.
    conclusion : tokens that are kept free for it; what is left is shared out over the branches.
    cue, part, reduce : words that open the list, a branch (with {i} and {goal}), the conclusion.
    """

    width: Positive = 4
    outline: Positive = 96
    conclusion: Positive = 96
    cue: str = "Independent parts of the work:\n1."
    part: str = "\n\nPart {i}: {goal}\n"
    reduce: str = "\n\nTogether, "

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Outline, work on the goals at once, conclude."""
        opened = ctx.extend(problem.root, self.cue)
        (outline,) = await ctx.sample(opened, until=Until(("\n\n",), self.outline))
        goals = read_items(outline.response, self.width)
        heads = [self.part.format(i=i, goal=goal) for i, goal in enumerate(goals, start=1)]

        def concluded(texts: list[str]) -> Path:
            parts = "".join(head + text for head, text in zip(heads, texts, strict=True))
            return ctx.extend(outline, parts + self.reduce)

        room = ctx.room(concluded([""] * len(goals))) - self.conclusion
        if not goals or room < len(goals):
            return Answer(await self.gone_on(outline, ctx))
        starts = [ctx.extend(outline, head) for head in heads]
        branches = await ctx.sample(starts, until=Until(n_tokens=room // len(goals)))
        texts = [branch.text.rstrip() for branch in branches]
        asked = fitting(ctx, texts, lambda parts: concluded(list(parts)), self.conclusion)
        (conclusion,) = await ctx.sample(asked)
        return Answer(conclusion)

    async def gone_on(self, outline: Path, ctx: Context) -> Path:
        """A response that is not split, to its end."""
        if outline.done:
            return outline
        (path,) = await ctx.sample(outline)
        return path
