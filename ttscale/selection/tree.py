"""Trees of majority votes, and on which side of their phase transition they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ttscale.errors import InputError
from ttscale.vote import Vote, plurality


def vote_up(classes: Sequence[int | None], width: int, rng: np.random.Generator) -> Vote:
    """The leaves' votes, `width` at a time, then the winners' likewise, up to one.

    A last group may be smaller. The root's share of votes is the outcome's; ties are those of the
    root, broken at random at every node; `winner` is the first leaf with the winning class.
    """
    assert width >= 2, "a tree of single votes never ends"
    abstained = sum(answer_class is None for answer_class in classes)
    level = list(classes)
    share, tied = 1.0, 1
    while len(level) > 1:
        votes = [
            (group, plurality(group, rng))
            for group in (level[i : i + width] for i in range(0, len(level), width))
        ]
        level = [None if vote.winner is None else group[vote.winner] for group, vote in votes]
        share, tied = votes[-1][1].share, votes[-1][1].tied
    if level[0] is None:
        return Vote(None, 0.0, 0, abstained)
    return Vote(list(classes).index(level[0]), share, tied, abstained)


class Phase(NamedTuple):
    """Where a committee stands.

    Attributes
    ----------
    correlation : of two members' correctness on one problem, mean over pairs.
    gain : by how much one level of the tree multiplies a weak signal.
    critical_fidelity : of messages, above which the gain exceeds 1.
    side : whether a weak majority grows level by level, or dies out.
    """

    correlation: float
    gain: float
    critical_fidelity: float
    side: Literal["amplifies", "dies out"]


def phase(correct: npt.ArrayLike, width: int, fidelity: float = 1.0) -> Phase:
    """On which side of the phase transition trees of `width` votes are (2601.17311, theorem 4).

    The gain of a level is fidelity · (ρ + (1 - ρ) f'(0)), with ρ the correlation of errors and
    f'(0) the gain of a vote of `width` independent members. It needs graded answers, so it is
    computed after a run, from its pool.

    Parameters
    ----------
    correct : (P, N), 0 or 1: N members' answers to P problems of like difficulty. Where problems
        differ in difficulty, this counts as correlation too.
    width : members of a vote, odd.
    fidelity : share of messages that arrive as they were meant, in [0, 1].
    """
    from ttscale.laws.majority import critical_fidelity

    right = np.asarray(correct, dtype=np.float64)
    if right.ndim != 2 or right.shape[1] < 2 or not np.isin(right, (0.0, 1.0)).all():
        raise InputError(
            "correctness is a table of 0 and 1, problems × members", where="correct", got=right
        )
    if width < 3 or width % 2 == 0:
        raise InputError("the theory is of odd votes of at least 3", where="width", got=width)
    correlation = _pair_correlation(right)
    critical = critical_fidelity(width, correlation)
    gain = fidelity / critical
    return Phase(correlation, gain, critical, "amplifies" if gain > 1 else "dies out")


def _pair_correlation(right: npt.NDArray[np.float64]) -> float:
    """Intraclass correlation of two columns of a row, the same for all pairs; 0 without spread."""
    n = right.shape[1]
    mean = right.mean()
    if mean in (0.0, 1.0):
        return 0.0
    rows = right.sum(axis=1)
    both = (rows * (rows - 1)).mean() / (n * (n - 1))
    return float((both - mean**2) / (mean * (1 - mean)))
