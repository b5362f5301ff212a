"""From the flat columns of a pool to one matrix (problems, ks) per selector.

Rule for unequal pools: a matrix is NaN where a problem has fewer than k samples. By default ks end
at the smallest pool, so every mean is over all problems; with ks beyond it, `mean_interval` gives
NaN unless told to average what is available, and `Curves.n_problems` says how many that are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ttscale.errors import InputError
from ttscale.stats.arrays import (
    BoolArray,
    FloatArray,
    IntArray,
    real_numbers,
    refuse,
    whole_numbers,
)
from ttscale.stats.coverage import pass_at_k
from ttscale.stats.majority import majority_at_k
from ttscale.stats.ordering import best_of_k
from ttscale.stats.voting import weighted_majority_at_k

_T = TypeVar("_T", bound=np.generic)

CELLS = 1 << 22
"""Numbers of a (problems, classes) table that are worked on at once."""


@dataclass(frozen=True)
class Curves:
    """Per-problem estimates of every selector, and what was counted on the way.

    matrices: selector -> (problems, ks), with selectors `coverage`, `majority`, `best_of:<score>`,
    `weighted_majority:<score>`. standard_errors: the Monte Carlo errors of the weighted votes, of
    the same shape; other selectors are exact. n_nan_scores: score -> (problems,).
    """

    problems: npt.NDArray[np.generic]
    ks: IntArray
    n_samples: IntArray
    n_correct: IntArray
    n_abstain: IntArray
    n_ungradable: IntArray
    n_nan_scores: dict[str, IntArray]
    matrices: dict[str, FloatArray]
    standard_errors: dict[str, FloatArray] = field(default_factory=dict)

    @property
    def n_problems(self) -> IntArray:
        """(ks,) how many problems have at least k samples."""
        count: IntArray = np.count_nonzero(self.n_samples[:, None] >= self.ks, axis=0)
        return count


def log_spaced(n_max: int, n_points: int = 50) -> IntArray:
    """At most n_points different whole ks from 1 to n_max, evenly spread in log k."""
    return np.unique(np.rint(np.geomspace(1, max(1, n_max), n_points)).astype(np.int64))


def curves(
    problem: npt.ArrayLike,
    correct: npt.ArrayLike,
    answer_class: npt.ArrayLike | None = None,
    scores: Mapping[str, npt.ArrayLike] | None = None,
    *,
    ks: npt.ArrayLike | None = None,
    rng: np.random.Generator | None = None,
    n_resamples: int = 200,
) -> Curves:
    """Coverage, majority and best-of-k matrices of a pool given as columns, one row per sample.

    problem: (rows,) ids of any sortable kind. correct: (rows,) 0/1, None or NaN = ungradable, which
    counts as wrong and is reported. answer_class: (rows,) whole numbers equal for equal answers of
    one problem; -1, None or NaN abstains. Without it there are no votes. If the grader disagrees
    with itself inside a class, the class counts with the share of its samples that are right; if it
    accepts several classes, their votes are not merged. scores: name -> (rows,), NaN ranks lowest.
    ks default to 50 log-spaced ones up to the smallest pool. Weighted votes are estimated only if
    an `rng` is given, with n_resamples subsets per problem, the same ones for all scores.
    """
    ids, code = np.unique(np.asarray(problem), return_inverse=True)
    code = code.ravel()
    grade = _column("correct", correct, len(code))
    if not len(code):
        raise InputError("the pool is empty", where="problem", hint="at least one sample")
    refuse(
        ~(np.isnan(grade) | (grade == 0) | (grade == 1)),
        "correct",
        grade,
        "correct must be true, false or missing",
        "1, 0, or None for an ungradable answer",
    )
    table = _Table.of(code, len(ids))
    n = table.n_samples
    right = np.nan_to_num(grade)
    grid = (
        log_spaced(int(n.min())) if ks is None else np.unique(whole_numbers("ks", ks, at_least=1))
    )
    c = table.count(right > 0)
    matrices = {"coverage": pass_at_k(n[:, None], c[:, None], grid)}
    errors: dict[str, FloatArray] = {}

    label = np.full(len(code), -1)
    if answer_class is not None:
        given = _column("answer_class", answer_class, len(code))
        label = whole_numbers("answer_class", np.nan_to_num(given, nan=-1.0), at_least=-1)
        matrices["majority"] = _majority(table, label, right, grid)
    nan_scores: dict[str, IntArray] = {}
    seed = None if rng is None else int(rng.integers(2**63))
    for name, column in (scores or {}).items():
        score = _column(f"scores[{name}]", column, len(code))
        nan_scores[name] = table.count(np.isnan(score))
        padded = table.pad(score), table.pad(right)
        matrices[f"best_of:{name}"] = best_of_k(*padded, grid, present=table.present)
        if seed is not None and answer_class is not None:
            key = f"weighted_majority:{name}"
            matrices[key], errors[key] = weighted_majority_at_k(
                table.pad(label),
                *padded,
                grid,
                np.random.default_rng(seed),
                n_resamples=n_resamples,
                present=table.present,
            )
    return Curves(
        problems=ids,
        ks=grid,
        n_samples=n,
        n_correct=c,
        n_abstain=table.count(label < 0) if answer_class is not None else np.zeros_like(n),
        n_ungradable=table.count(np.isnan(grade)),
        n_nan_scores=nan_scores,
        matrices=matrices,
        standard_errors=errors,
    )


@dataclass(frozen=True)
class _Table:
    """Where each row of the pool stands in a matrix (problems, most samples of any)."""

    code: IntArray
    place: IntArray
    n_samples: IntArray

    @classmethod
    def of(cls, code: IntArray, n_problems: int) -> _Table:
        n_samples = np.bincount(code, minlength=n_problems)
        order = np.argsort(code, kind="stable")
        place = np.empty(len(code), dtype=np.int64)
        start = np.cumsum(n_samples) - n_samples
        place[order] = np.arange(len(code)) - np.repeat(start, n_samples)
        return cls(code, place, n_samples)

    @property
    def present(self) -> BoolArray:
        return np.arange(int(self.n_samples.max())) < self.n_samples[:, None]

    def pad(self, column: npt.NDArray[_T]) -> npt.NDArray[_T]:
        matrix = np.zeros((len(self.n_samples), int(self.n_samples.max())), dtype=column.dtype)
        matrix[self.code, self.place] = column
        return matrix

    def count(self, marked: BoolArray) -> IntArray:
        return np.bincount(self.code[marked], minlength=len(self.n_samples))


def _majority(table: _Table, label: IntArray, right: FloatArray, ks: IntArray) -> FloatArray:
    """`vote_of_counts` of a pool given as rows."""
    votes = label >= 0
    cells, cell = np.unique(
        np.stack([table.code[votes], label[votes]]), axis=1, return_inverse=True
    )
    size, hits = np.bincount(cell.ravel()), np.bincount(cell.ravel(), weights=right[votes])
    return vote_of_counts(cells[0], size, hits, table.count(~votes), ks)


def vote_of_counts(
    owner: IntArray,
    size: IntArray,
    hits: npt.NDArray[np.integer] | FloatArray,
    n_abstain: IntArray,
    ks: IntArray,
) -> FloatArray:
    """Expected correctness of a vote of k samples, from the sizes of answer classes.

    owner: (classes,) each class's problem, ascending. size: (classes,) its samples. hits: of them,
    the right ones. n_abstain: (problems,) samples that cast no vote.
    Returns (problems, ks): the sum over a problem's classes of (chance to win the vote) x (share of
    the class that is right); NaN where k exceeds a problem's samples.
    """
    n_problems = len(n_abstain)
    n_samples = n_abstain + np.bincount(owner, weights=size, minlength=n_problems).astype(np.int64)
    column = np.arange(len(owner)) - np.searchsorted(owner, owner)
    width = int(column.max(initial=0)) + 1
    total = np.where(ks <= n_samples[:, None], 0.0, np.nan)
    starts = np.searchsorted(owner, np.arange(n_problems + 1))
    step = max(1, CELLS // width)
    for first in range(0, n_problems, step):
        last = min(first + step, n_problems)
        mine = slice(int(starts[first]), int(starts[last]))
        counts = np.zeros((last - first, width), dtype=np.int64)
        counts[owner[mine] - first, column[mine]] = size[mine]
        candidate = np.flatnonzero(hits[mine]) + mine.start
        at = owner[candidate]
        chance = majority_at_k(counts[at - first], column[candidate], ks, n_abstain[at])
        np.add.at(total, at, chance * (hits[candidate] / size[candidate])[:, None])
    return total


def _column(name: str, values: npt.ArrayLike, n_rows: int) -> FloatArray:
    column = real_numbers(name, values)
    if column.shape != (n_rows,):
        got = f"shape {column.shape} for {n_rows} samples"
        raise InputError("a column needs one entry per sample", where=name, got=got)
    return column
