"""A node of a Monte-Carlo search tree: what its subtree has shown so far."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ttscale.search.frontier import distinct
from ttscale.search.puct import puct
from ttscale.trace import Path


@dataclass(slots=True, eq=False)
class Node:
    """A partial solution in a Monte-Carlo search tree.

    Attributes
    ----------
    path : the partial solution.
    parent : the node above; None for the prompt.
    prior : the share of its siblings' samples that have its text.
    visits, total : scores backed up through this node: their number and their sum.
    pending : visits under way (virtual visits): they count as visits, but not in the mean, so that
        they turn the next walk elsewhere whatever the scores' scale (Liu et al., 2020, 1810.11755).
    """

    path: Path
    parent: Node | None = None
    prior: float = 1.0
    visits: int = 0
    total: float = 0.0
    pending: int = 0
    children: list[Node] = field(default_factory=list)

    @property
    def value(self) -> float:
        """Q: the mean of the scores backed up through this node."""
        return self.total / self.visits if self.visits else -math.inf

    def upwards(self) -> Iterator[Node]:
        """This node and those above it."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent

    def descend(self, c_init: float, c_base: float) -> Node:
        """The leaf that PUCT leads to; of equal children the first."""
        node = self
        while node.children:
            scores = puct(
                [child.value for child in node.children],
                [child.prior for child in node.children],
                [child.visits + child.pending for child in node.children],
                node.visits + node.pending,
                c_init,
                c_base,
            )
            node = node.children[int(np.argmax(scores))]
        return node

    def most_visited_leaf(self) -> Node:
        """The leaf that visits lead to; of equal children the one with the highest value."""
        node = self
        while node.children:
            node = max(node.children, key=lambda child: (child.visits, child.value))
        return node

    def wait_for(self, n_visits: int) -> None:
        """Add virtual visits from here up; a negative number takes them off again."""
        for node in self.upwards():
            node.pending += n_visits

    def back_up(self, score: float) -> None:
        """Count one score from here up."""
        for node in self.upwards():
            node.visits += 1
            node.total += score

    def expand(self, paths: Sequence[Path], scores: Sequence[float]) -> None:
        """Add continuations, those of one text as one child, and back up every score.

        A continuation whose score is NaN stays out of the tree.
        """
        judged = [(path, s) for path, s in zip(paths, scores, strict=True) if not math.isnan(s)]
        n_with = Counter(path.response for path in paths)
        nodes = {
            path.response: Node(path, self, n_with[path.response] / len(paths))
            for path in distinct([path for path, _ in judged])
        }
        self.children = list(nodes.values())
        for path, score in judged:
            nodes[path.response].back_up(score)
