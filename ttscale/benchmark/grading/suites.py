"""Votes by generated tests (CodeMonkeys: Ehrlich et al., 2025, 2501.14723).

Every trajectory writes a program and tests. All tests are run on all programs, and a program's
votes are the tests it passes, whoever wrote them. With fewer trajectories there are fewer tests as
well: a subset's votes count its own tests only.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ttscale.benchmark.sandbox import Check, Limits, run_checks


class Suite(NamedTuple):
    """Which programs pass which tests.

    Attributes
    ----------
    passed : bool, shape (n programs, n tests).
    authors : int, shape (n tests,): the program that each test came with.
    """

    passed: NDArray[np.bool_]
    authors: NDArray[np.int64]


async def run_suite(
    programs: Sequence[Sequence[str] | None],
    tests: Sequence[Sequence[str]],
    limits: Limits | None = None,
) -> Suite:
    """Run every test on every program.

    Parameters
    ----------
    programs : each trajectory's program, in the parts that `run_checks` takes; None for a
        trajectory without one, which passes nothing.
    tests : each trajectory's tests. A test that several wrote is run once and counts for each.

    Raises
    ------
    InputError : there is no sandbox to be had on this machine.
    """
    assert len(programs) == len(tests), "one list of tests for each program"
    authors = [author for author, own in enumerate(tests) for _ in own]
    texts = [test for own in tests for test in own]
    distinct = list(dict.fromkeys(texts))
    columns = [distinct.index(text) for text in texts]
    checks = [Check(text) for text in distinct]

    async def row(program: Sequence[str] | None) -> list[bool]:
        if program is None:
            return [False] * len(checks)
        return [v.outcome == "passed" for v in await run_checks(program, checks, limits)]

    rows = await asyncio.gather(*(row(program) for program in programs))
    passed = np.array(rows, dtype=bool).reshape(len(programs), len(distinct))
    return Suite(passed[:, columns], np.array(authors, dtype=np.int64))


def votes(
    suite: Suite, chosen: Sequence[int] | NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Tests of the chosen trajectories that each of their programs passes.

    Parameters
    ----------
    chosen : the trajectories; all when left out.

    Returns shape (n chosen,), in their order.
    """
    rows = np.arange(len(suite.passed)) if chosen is None else np.asarray(chosen, dtype=np.int64)
    own = np.isin(suite.authors, rows)
    counted: NDArray[np.int64] = suite.passed[rows][:, own].sum(axis=1, dtype=np.int64)
    return counted


def vote_accuracy(
    suite: Suite,
    correct: Sequence[bool],
    k: int,
    rng: np.random.Generator,
    n_draws: int = 1000,
) -> float:
    """Expected correctness of the program with the most votes among k trajectories.

    A tie counts as the mean correctness over its programs. Over all subsets of size k where these
    are at most `n_draws`, else over so many random ones.

    Parameters
    ----------
    correct : whether each trajectory's program is right.
    k : from 1 to the number of trajectories.
    """
    n = len(suite.passed)
    assert len(correct) == n, "one verdict for each program"
    assert 1 <= k <= n, f"k is from 1 to {n}, not {k}"
    right = np.asarray(correct, dtype=np.float64)
    if math.comb(n, k) <= n_draws:
        subsets = [np.array(subset) for subset in combinations(range(n), k)]
    else:
        subsets = [rng.choice(n, size=k, replace=False) for _ in range(n_draws)]
    scores = []
    for subset in subsets:
        tally = votes(suite, subset)
        scores.append(right[subset][tally == tally.max()].mean())
    return float(np.mean(scores))
