"""A committee: members solve by themselves, and votes of b go up a tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from ttscale.context import Context
from ttscale.selection.tree import vote_up
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Problem

CUE = "\n\nIn short, the answer is"


@dataclass(frozen=True)
class Committee(Strategy):
    """Majority votes of b in a tree, over messages of bounded length (2601.17311).

    A star of n members needs a reader who takes in n messages; a tree needs one for b. Whether a
    weak majority survives the levels depends on the members' correlation and the messages'
    fidelity: `ttscale.selection.tree.phase` tells from a run's pool. Messages that give another
    answer than their solution, or none, are noted as `unfaithful`.

    n : members; with n = width^levels all votes are full.
    width : messages that a node reads.
    message : tokens of a message, which each member writes after its solution; the solution itself
        where it is left out.
    cue : words that open a message.
    """

    n: Positive = 9
    width: Annotated[int, Ge(2)] = 3
    message: Positive | None = None
    cue: str = CUE

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Sample n solutions, have them summed up, and vote up the tree."""
        solutions = await ctx.sample(problem.root, n=self.n)
        messages = list(solutions)
        if self.message is not None and self.n > 1:
            cued = [ctx.extend(path, self.cue) for path in solutions]
            heard = [i for i, path in enumerate(cued) if ctx.room(path) >= 1]
            said = await ctx.sample([cued[i] for i in heard], max_tokens=self.message)
            for i, message in zip(heard, said, strict=True):
                messages[i] = message
            classes = await ctx.classes([*solutions, *messages])
            pairs = zip(classes[: self.n], classes[self.n :], strict=True)
            ctx.notes["unfaithful"] += sum(meant != heard for meant, heard in pairs)
        vote = vote_up(await ctx.classes(messages), self.width, ctx.rng)
        winner = None if vote.winner is None else messages[vote.winner]
        return Answer(winner, vote.share, vote.tied, vote.abstained)
