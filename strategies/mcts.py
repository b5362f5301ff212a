"""Monte-Carlo tree search: go on where a solution has looked good, or has not been looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ttscale.context import Context
from ttscale.search.fields import NonNegative, Pick
from ttscale.search.final import choose
from ttscale.search.node import Node
from ttscale.strategy import STEP, Positive, Strategy
from ttscale.trace import Answer, Path, Problem


@dataclass(frozen=True)
class MCTS(Strategy):
    """Tree search by PUCT, as AlphaZero's, over reasoning steps (Feng et al., 2024, 2309.17179).

    A simulation walks down by PUCT to a leaf, samples `width` steps there, scores each with the
    verifier and backs every score up: no rollouts. Several leaves are expanded at once, kept apart
    by virtual visits. A finished leaf is backed up again and costs nothing. The last simulation
    goes where most visits have been, and on to the end of the response.

    n : simulations.
    width : continuations of a leaf; those of one text are one child, with their share as prior.
    batch : leaves expanded at once.
    c_init, c_base : how much PUCT explores; the defaults suit scores in [0, 1].
    pick : `weighted` vote of the finished paths, or the `best` of them.
    """

    needs_verifier: ClassVar[bool] = True
    n: Positive = 16
    width: Positive = 4
    batch: Positive = 4
    c_init: NonNegative = 1.25
    c_base: Positive = 19652
    pick: Pick = "weighted"

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Simulate, a batch of leaves at a time."""
        tree, n_simulated = Node(problem.root), 1
        finished: list[Path] = []
        while n_simulated < self.n:
            leaves: list[Node] = []
            while n_simulated < self.n and len(leaves) < self.batch:
                leaf = tree.descend(self.c_init, self.c_base)
                if leaf in leaves:
                    break
                n_simulated += 1
                if leaf.path.done:
                    leaf.back_up(ctx.scores[leaf.path])
                else:
                    leaf.wait_for(self.width)
                    leaves.append(leaf)
            children = await ctx.sample([leaf.path for leaf in leaves], n=self.width, until=STEP)
            scores = await ctx.score(children)
            for i, leaf in enumerate(leaves):
                own = slice(i * self.width, (i + 1) * self.width)
                leaf.wait_for(-self.width)
                leaf.expand(children[own], scores[own])
            finished += [child for child in children if child.done]
        last = tree.most_visited_leaf().path
        if not last.done:
            finished += await ctx.sample(last, n=self.width if self.n > 1 else 1)
        return await choose(finished, ctx, self.pick)
