"""Majority voting: the expected correctness of the most frequent answer among k samples.

Rules: the most frequent answer class wins; ties are broken uniformly; abstentions (no parsable
answer) use up draws and never win; a draw of abstentions only is wrong. Where the grader accepts
several classes, add these functions' values over those classes: they are chances of winning.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ttscale.errors import InputError
from ttscale.stats.arrays import (
    FloatArray,
    IntArray,
    finite_numbers,
    refuse,
    whole_numbers,
)
from ttscale.stats.plurality import Independent, Subset, ballots, win_probability

_T = TypeVar("_T", bound=np.generic)


def majority_at_k(
    class_counts: npt.ArrayLike,
    correct_class: npt.ArrayLike,
    k: npt.ArrayLike,
    n_abstain: npt.ArrayLike = 0,
) -> FloatArray:
    """Chance that the correct class wins the plurality vote of k of a problem's samples.

    class_counts: (classes,) for one problem, (problems, classes) padded with zeros for many, or
    rows of unequal length. correct_class: index of the right class, -1 if no sample was right
    (value 0); shape () or (problems,). n_abstain: () or (problems,). k: any shape.
    Returns k.shape, or (problems,) + k.shape; NaN where k exceeds the samples, abstentions counted.
    The mean over all k-subsets, computed without chance (`ttscale.stats.plurality`): error < 1e-9.
    """
    counts = whole_numbers("class_counts", _padded(class_counts))
    own, rivals = _own_and_rivals(counts.astype(np.float64), correct_class)
    abstain = _per_problem("n_abstain", whole_numbers("n_abstain", n_abstain), len(own))
    n = np.atleast_2d(counts).sum(axis=1) + abstain
    ks = whole_numbers("k", k, at_least=1)
    columns, column_of_k = np.unique(ks.ravel(), return_inverse=True)
    values = np.where(columns <= n[:, None], 0.0, np.nan)
    asked = np.flatnonzero(own)
    votes = ballots(own[asked], rivals[asked], n[asked].astype(np.float64), np.zeros(len(asked)))
    for column, size in enumerate(columns):
        for theta, alike in _alike(n[asked], int(size)):
            draw = Subset(int(size), theta)
            values[asked[alike], column] = win_probability(votes.only(alike), draw)
    return values[:, column_of_k.ravel()].reshape(counts.shape[:-1] + ks.shape)[()]


def majority_at_k_iid(
    class_probabilities: npt.ArrayLike,
    correct_class: npt.ArrayLike,
    k: npt.ArrayLike,
    p_abstain: npt.ArrayLike = 0.0,
    p_unrepeated: npt.ArrayLike = 0.0,
) -> FloatArray:
    """`majority_at_k` for an infinite pool: k independent draws from known class probabilities.

    class_probabilities: (classes,) or (problems, classes). p_abstain: mass that never wins;
    p_unrepeated: mass of answers so diverse that none comes twice (each can still tie or win with
    one vote). Everything adds up to 1. Shapes and error as `majority_at_k`; every k is allowed.
    """
    chances = finite_numbers("class_probabilities", _padded(class_probabilities), 0.0, 1.0)
    own, rivals = _own_and_rivals(chances, correct_class)
    silent, diverse = (
        _per_problem(name, finite_numbers(name, value, 0.0, 1.0), len(own))
        for name, value in (("p_abstain", p_abstain), ("p_unrepeated", p_unrepeated))
    )
    total = own + rivals.sum(axis=1) + silent + diverse
    refuse(
        np.abs(total - 1.0) > 1e-6,
        "sum of probabilities",
        total,
        "probabilities of classes, abstentions and unrepeated answers must add up to 1",
        "give the missing mass as p_abstain or p_unrepeated",
    )
    ks = whole_numbers("k", k, at_least=1)
    columns, column_of_k = np.unique(ks.ravel(), return_inverse=True)
    values = np.zeros((len(own), len(columns)))
    asked = np.flatnonzero(own)
    own, rivals, diverse = own / total, rivals / total[:, None], diverse / total
    votes = ballots(own[asked], rivals[asked], np.ones(len(asked)), diverse[asked])
    for column, size in enumerate(columns):
        if len(asked):
            values[asked, column] = win_probability(votes, Independent(int(size)))
    return values[:, column_of_k.ravel()].reshape(chances.shape[:-1] + ks.shape)[()]


def majority_limit(class_sizes: npt.ArrayLike, correct_class: npt.ArrayLike) -> FloatArray:
    """maj@infinity: 1 where the correct class is the only mode, 1/(number tied) where it ties.

    class_sizes: counts or probabilities, (classes,) or (problems, classes). From counts it is the
    pool's own mode, which is noisy where the two leading classes are close.
    """
    sizes = finite_numbers("class_sizes", _padded(class_sizes), 0.0)
    own, rivals = _own_and_rivals(sizes, correct_class)
    strongest = rivals.max(axis=1, initial=0.0)
    tied = 1 + (rivals == own[:, None]).sum(axis=1)
    value = np.where((own > 0) & (own >= strongest), 1.0 / tied, 0.0)
    return value.reshape(sizes.shape[:-1])[()]


def _padded(rows: npt.ArrayLike) -> npt.ArrayLike:
    """Rows of unequal length filled up with zeros; anything else as it is."""
    if not isinstance(rows, (list, tuple)) or not all(hasattr(row, "__len__") for row in rows):
        return rows
    if len({len(row) for row in rows}) <= 1:
        return rows
    padded: npt.NDArray[np.object_] = np.array(list(zip_longest(*rows, fillvalue=0)), np.object_).T
    return padded


def _own_and_rivals(
    sizes: FloatArray, correct_class: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Per problem the size of the correct class, and of all others with a zero in its place."""
    if sizes.ndim not in (1, 2):
        raise InputError(
            "class sizes are one row per problem",
            where="class_counts",
            got=f"an array of shape {sizes.shape}",
            hint="shape (classes,) or (problems, classes)",
        )
    correct = whole_numbers("correct_class", correct_class, at_least=-1)
    n_classes = sizes.shape[-1]
    refuse(
        correct >= n_classes,
        "correct_class",
        correct,
        f"correct_class is no column of the {n_classes} classes",
        f"0 .. {n_classes - 1}, or -1 where no sample was right",
    )
    sizes = np.atleast_2d(sizes)
    is_own = np.arange(n_classes) == _per_problem("correct_class", correct, len(sizes))[:, None]
    return np.where(is_own, sizes, 0.0).sum(axis=1), np.where(is_own, 0.0, sizes)


def _per_problem(name: str, values: npt.NDArray[_T], n_problems: int) -> npt.NDArray[_T]:
    if values.shape not in ((), (1,), (n_problems,)):
        raise InputError(
            f"one {name} per problem is needed",
            where=name,
            got=f"shape {values.shape} for {n_problems} problems",
            hint="one for all, or one per problem",
        )
    return np.broadcast_to(values, n_problems)


def _alike(n: IntArray, k: int) -> Iterator[tuple[float, IntArray]]:
    """Problems with n >= k, grouped so that one theta puts k within 1.5 sd for all of a group."""
    left = np.unique(n[n >= k])
    while len(left):
        theta = np.minimum(k / left, 1.0 - 0.5 / left)
        fits = np.abs(k - left[0] * theta) <= 1.5 * np.sqrt(left[0] * theta * (1.0 - theta))
        last = int(np.flatnonzero(fits | (left == left[0]))[-1])
        yield float(theta[last]), np.flatnonzero((n >= left[0]) & (n <= left[last]))
        left = left[last + 1 :]
