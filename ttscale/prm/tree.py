"""A problem's responses as a tree of tokens: every distinct prefix stands once.

The forward pass over the tree, with every token attending to its ancestors, equals one pass over
each response; tokens that responses share are computed once.

The label of a prefix is the share of right responses among those that went on from it: rollouts
asked for there, rollouts from above that came past, and the solutions themselves, for what follows
a prefix is a sample from the policy whoever asked for it. A rollout says nothing about the prefixes
above the one it was asked for: those it has in common with other solutions were not drawn anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ttscale.prm.labelling import Labelled

Ints = npt.NDArray[np.int64]


class Tree(NamedTuple):
    """The tokens of one problem after the prefix that all prompts share.

    Attributes
    ----------
    token_ids, parents : (n,) a token and the place of the one before it, which is always earlier in
        the arrays; −1 follows the shared prefix.
    depths : (n,) tokens between the shared prefix and this one.
    marks : (m,) places where a step or a response ends.
    n_right, n_total : (m,) of all responses that went on from a mark, how many are right, and all.
    final : (m,) whether a response ends here.
    visits : for each solution, the indices of its marks, in order.
    written : (w, 2) every token of a right response, as the place before it and its id.
    """

    token_ids: Ints
    parents: Ints
    depths: Ints
    marks: Ints
    n_right: Ints
    n_total: Ints
    final: npt.NDArray[np.bool_]
    visits: tuple[tuple[int, ...], ...]
    written: Ints

    @property
    def targets(self) -> npt.NDArray[np.float64]:
        """(m,) share of right responses."""
        share: npt.NDArray[np.float64] = self.n_right / self.n_total
        return share

    def weights(self, n_whole: int) -> npt.NDArray[np.float64]:
        """(m,) 1, but less for a step that fewer responses passed than a label is made of.

        The end of a response has its label from the grader and counts in full.
        """
        return np.where(self.final, 1.0, np.minimum(1.0, self.n_total / n_whole))

    def ancestors(self) -> npt.NDArray[np.bool_]:
        """(n, n) whether the column's token is the row's own or stands before it."""
        mask = np.zeros((len(self.parents), len(self.parents)), dtype=bool)
        for place, parent in enumerate(self.parents.tolist()):
            if parent >= 0:
                mask[place] = mask[parent]
            mask[place, place] = True
        return mask

    def pruned(self, endings: Ints) -> tuple[Tree, Ints]:
        """The tree of these endings alone, given as indices of marks, and the tokens it keeps.

        Labels stay as they are: they are of all responses.
        """
        kept = np.zeros(len(self.token_ids), dtype=bool)
        for end in self.marks[endings].tolist():
            place = end
            while place >= 0 and not kept[place]:
                kept[place] = True
                place = int(self.parents[place])
        rows, marked = np.flatnonzero(kept), kept[self.marks]
        place_of, mark_of = np.cumsum(kept) - 1, np.cumsum(marked) - 1
        here = set(zip(self.parents[rows].tolist(), self.token_ids[rows].tolist(), strict=True))
        written = self.written[[(int(place), int(ahead)) in here for place, ahead in self.written]]
        return Tree(
            self.token_ids[rows],
            _moved(self.parents[rows], place_of),
            self.depths[rows],
            place_of[self.marks[marked]],
            self.n_right[marked],
            self.n_total[marked],
            self.final[marked],
            tuple(tuple(mark_of[list(way)].tolist()) for way in self.visits if marked[way[-1]]),
            np.stack([_moved(written[:, 0], place_of), written[:, 1]], axis=1),
        ), rows


def _moved(places: Ints, place_of: Ints) -> Ints:
    """Where these tokens stand in the pruned tree; −1 stays what it is."""
    moved: Ints = np.where(places >= 0, place_of[places], -1)
    return moved


def shared_prefix(problems: Sequence[Labelled]) -> int:
    """How many tokens the prompts of all problems begin with in common."""
    prompts = [problem.prompt for problem in problems]
    shortest, longest = min(prompts), max(prompts)  # what these two share, all share
    n = 0
    while n < len(shortest) and shortest[n] == longest[n]:
        n += 1
    return n


def tree(problem: Labelled, n_shared: int) -> Tree:
    """Grow the tree of one problem; `n_shared` tokens of its prompt are left out."""
    counts = _count(problem)
    token_ids: list[int] = []
    parents: list[int] = []
    depths: list[int] = []
    place_of: dict[tuple[int, int], int] = {}
    marks: dict[int, bytes] = {}
    visits = []
    written: dict[tuple[int, int], None] = {}
    question = problem.prompt[n_shared:]
    for response in problem.responses:
        place, places = -1, []
        for depth, token in enumerate(question + response.token_ids):
            if response.right and depth >= len(question):
                written[place, token] = None
            child = place_of.setdefault((place, token), len(token_ids))
            if child == len(token_ids):
                token_ids.append(token)
                parents.append(place)
                depths.append(depth)
            place = child
            places.append(place)
        ends = [places[len(question) + end - 1] for end in response.ends]
        for place, end in zip(ends, response.ends, strict=True):
            marks[place] = response.token_ids[:end].tobytes()
        if not response.n_prefix:
            visits.append(ends)
    order = sorted(marks)
    index = {place: i for i, place in enumerate(order)}
    known = [counts[marks[place]] for place in order]
    return Tree(
        np.array(token_ids),
        np.array(parents),
        np.array(depths),
        np.array(order),
        np.array([count.n_right for count in known]),
        np.array([count.n_total for count in known]),
        np.array([count.n_ends > 0 for count in known]),
        tuple(tuple(index[place] for place in ends) for ends in visits),
        np.array(list(written), dtype=np.int64).reshape(-1, 2),
    )


class _Count(NamedTuple):
    """Of the responses that went on from a prefix or ended there: right ones, all, those ended."""

    n_right: int = 0
    n_total: int = 0
    n_ends: int = 0


def _count(problem: Labelled) -> dict[bytes, _Count]:
    """The counts of every prefix of whole steps, by its token ids."""
    counts: dict[bytes, _Count] = {}
    for response in problem.responses:
        for end in response.ends:
            if end < response.n_prefix:
                continue
            prefix = response.token_ids[:end].tobytes()
            old = counts.get(prefix, _Count())
            counts[prefix] = _Count(
                old.n_right + response.right,
                old.n_total + 1,
                old.n_ends + (end == len(response.token_ids)),
            )
    return counts
