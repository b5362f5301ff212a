"""ETS: a tree search that keeps few nodes in memory, and different ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ttscale.context import Context
from ttscale.search.allocation import rebase_widths
from ttscale.search.clusters import cluster, ngram_counts
from ttscale.search.fields import NonNegative, Pick, PositiveFloat
from ttscale.search.final import choose
from ttscale.search.frontier import repeated
from ttscale.search.prune import prune
from ttscale.search.stages import stages
from ttscale.search.tree import ancestry
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Path, Problem


@dataclass(frozen=True)
class ETS(Strategy):
    """Efficient tree search (Hooper et al., 2025, 2502.13575).

    REBASE on the leaves that an integer program keeps: those that carry much of REBASE's width,
    hang on shared nodes, and cover different steps. Steps are told apart by clustering their text;
    the paper embeds it with a sentence encoder, here it is counted by character trigrams, which see
    spelling rather than meaning.

    n : continuations at each step.
    temperature : of the softmax over scores; the default suits scores in [0, 1].
    sharing : price of keeping all nodes, the paper's lambda_b.
    diversity : worth of covering all clusters, lambda_d; the paper has 1.5, 1.4 and 1.45 for a
        width of 16, 64 and 256.
    cut : cosine distance, averaged over pairs, up to which steps are one cluster.
    cost : what a node costs: 1, as in the authors' program, or its tokens, as in KV memory.
    max_steps : the last of them goes on to the end of the response.
    pick : `weighted` vote of the finished paths, or the `best` of them.
    """

    needs_verifier: ClassVar[bool] = True
    n: Positive = 16
    temperature: PositiveFloat = 0.2
    sharing: NonNegative = 1.0
    diversity: NonNegative = 1.5
    cut: NonNegative = 0.05
    cost: Literal["nodes", "tokens"] = "nodes"
    max_steps: Positive = 40
    pick: Pick = "weighted"

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Grow and prune the tree step by step."""
        leaves, widths = [problem.root], [self.n]
        finished: list[Path] = []
        for until in stages(self.max_steps, self.n):
            children = await ctx.sample(repeated(leaves, widths), until=until)
            finished += [child for child in children if child.done]
            leaves = [child for child in children if not child.done]
            if not leaves:
                break
            width = self.n - len(finished)
            widths = rebase_widths(await ctx.score(leaves), width, self.temperature)
            leaves = self.survivors(leaves, widths)
            widths = rebase_widths(await ctx.score(leaves), width, self.temperature)
        return await choose(finished, ctx, self.pick)

    def survivors(self, leaves: list[Path], widths: list[int]) -> list[Path]:
        """The leaves that the integer program keeps."""
        nodes, above = ancestry(leaves)
        tokens = self.cost == "tokens"
        kept = prune(
            widths,
            above,
            cluster(ngram_counts([leaf.text for leaf in leaves]), self.cut),
            sharing=self.sharing,
            diversity=self.diversity,
            leaf_costs=[len(leaf.token_ids) for leaf in leaves] if tokens else None,
            node_costs=[len(node.token_ids) for node in nodes] if tokens else None,
        )
        return [leaf for leaf, keep in zip(leaves, kept, strict=True) if keep]
