"""Best-of-k and the longest of k equal enumeration over subsets, with uniform tie-breaking."""

from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest
import scorio
from hypothesis import given
from hypothesis import strategies as st

from ttscale.errors import InputError
from ttscale.stats import best_of_k, expected_longest, pass_at_k, selection_efficiency

SAMPLE = st.tuples(st.sampled_from([0.1, 0.5, 0.9, float("nan"), -np.inf]), st.booleans())


def best_of_subset(subset):
    """Mean correctness of the samples that share the top score; NaN is the lowest score."""
    keys = [-np.inf if np.isnan(score) else score for score, _ in subset]
    return np.mean(
        [right for key, (_, right) in zip(keys, subset, strict=True) if key == max(keys)]
    )


@given(st.lists(SAMPLE, min_size=1, max_size=7))
def test_best_of_every_k_equals_enumeration(pool):
    scores, correct = [s for s, _ in pool], [r for _, r in pool]
    values = best_of_k(scores, correct, np.arange(1, len(pool) + 1))
    for k, value in enumerate(values, start=1):
        expected = np.mean([best_of_subset(subset) for subset in combinations(pool, k)])
        assert value == pytest.approx(expected, abs=1e-13)


def test_check_values():
    scores = [0.9, 0.8, 0.8, 0.5, 0.5, 0.5, 0.1, 0.1]
    correct = [0, 1, 0, 1, 1, 0, 0, 0]
    expected = [3 / 8, 23 / 56, 115 / 336, 11 / 42, 0]
    assert best_of_k(scores, correct, [1, 2, 3, 4, 8]) == pytest.approx(expected, abs=1e-14)
    infinite = best_of_k(scores, correct, [2, 4, 8], with_replacement=True)
    assert infinite == pytest.approx([0.40625, 0.315918, 0.175675], abs=1e-6)
    longest = expected_longest([100, 200, 400, 800], [1, 2, 3, 4])
    assert longest == pytest.approx([375, 566.667, 700, 800], abs=1e-3)


def test_every_k_of_a_large_pool_against_exact_fractions():
    n, rng = 700, np.random.default_rng(0)
    correct = rng.random(n) < 0.3
    order = rng.permutation(n)
    ks = [1, 2, 3, 10, 39, 40, 41, 100, 350, 699, 700]
    values = best_of_k(order, correct, ks)
    ranked = correct[np.argsort(-order)]
    for k, value in zip(ks, values, strict=True):
        terms = (comb(n - i - 1, k - 1) for i in range(n) if ranked[i])
        assert value == pytest.approx(float(Fraction(sum(terms), comb(n, k))), abs=1e-13)


def test_a_perfect_score_is_coverage():
    rng = np.random.default_rng(1)
    correct = rng.random((30, 200)) < rng.random((30, 1))
    ks = np.arange(1, 201)
    expected = pass_at_k(200, correct.sum(axis=1)[:, None], ks)
    assert np.allclose(best_of_k(correct, correct, ks), expected, atol=1e-13)


def test_scorio_agrees_where_both_are_defined():
    rng = np.random.default_rng(2)
    scores = rng.integers(0, 4, (15, 12))  # the score is the reward: best-of-k is max@k / 3
    for k in (1, 3, 12):
        mine = expected_longest(scores, k).mean()
        assert mine == pytest.approx(scorio.eval.max_at_k(scores, k, w=np.arange(4.0)))
    distinct = rng.permutation(12).astype(float)
    correct = rng.random(12) < 0.5
    picked = [
        correct[list(subset)][
            scorio.agg.best_of_n(subset, distinct[list(subset)], return_index=True)[1]
        ]
        for subset in combinations(range(12), 4)
    ]
    assert best_of_k(distinct, correct, 4) == pytest.approx(np.mean(picked))


def test_pools_of_different_size_give_nan_beyond_their_own():
    scores = np.array([[3.0, 1.0, 2.0, 7.0], [5.0, 4.0, 0.0, 0.0]])
    correct = np.array([[1, 0, 0, 0], [0, 1, 1, 1]])
    present = np.array([[True, True, True, True], [True, True, False, False]])
    values = best_of_k(scores, correct, [1, 2, 3], present=present)
    assert values[0] == pytest.approx(best_of_k(scores[0], correct[0], [1, 2, 3]))
    assert values[1, :2] == pytest.approx([0.5, 0.0])
    assert np.isnan(values[1, 2])


def test_shapes():
    scores = np.zeros((2, 3, 4))
    assert best_of_k(scores, np.ones(4), [[1, 2], [3, 9]]).shape == (2, 3, 2, 2)
    assert np.isnan(best_of_k(scores, np.ones(4), 9)).all()
    assert isinstance(best_of_k([1.0, 2.0], [0, 1], 2), float)


def test_selection_efficiency():
    efficiency = selection_efficiency([0.5, 0.8, 0.4, 0.5], 0.5, [0.8, 0.8, 0.8, 0.5])
    assert efficiency[:3] == pytest.approx([0.0, 1.0, -1 / 3])
    assert np.isnan(efficiency[3])


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (([1.0, 2.0], [0, 2], 1), "correct[1]"),
        (([1.0, 2.0], [0, float("nan")], 1), "correct[1]"),
        (([1.0, 2.0], [0, 1, 1], 1), "scores, correct, present"),
        (([1.0, 2.0], [0, 1], 0), "k"),
        ((["high", "low"], [0, 1], 1), "scores"),
        ((1.0, 1, 1), "scores"),
        (([], [], 1), "scores"),
    ],
)
def test_bad_input(arguments, where):
    with pytest.raises(InputError) as error:
        best_of_k(*arguments)
    assert error.value.where == where
