"""Counts-only estimators equal enumeration over subsets, exact fractions, and scorio."""

import subprocess
import sys
from fractions import Fraction
from itertools import combinations, permutations
from math import ceil, comb

import numpy as np
import pytest
import scorio
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from ttscale.errors import InputError
from ttscale.stats import (
    accept_first,
    g_pass_at_k,
    pass_at_k,
    pass_hat_k,
    rate_until_success,
    within_problem_variance,
)


@st.composite
def outcomes(draw):
    return draw(st.lists(st.booleans(), min_size=1, max_size=7))


@given(outcomes())
def test_every_k_equals_enumeration_over_all_subsets(right):
    n, c = len(right), sum(right)
    for k in range(1, n + 1):
        subsets = [sum(subset) for subset in combinations(right, k)]
        assert pass_at_k(n, c, k) == pytest.approx(np.mean([s >= 1 for s in subsets]), abs=1e-13)
        assert pass_hat_k(n, c, k) == pytest.approx(np.mean([s == k for s in subsets]), abs=1e-13)
        for tau in (0.0, 0.25, 0.5, 2 / 3, 1.0):
            needed = max(1, ceil(round(tau * k, 9)))
            expected = np.mean([s >= needed for s in subsets])
            assert g_pass_at_k(n, c, k, tau) == pytest.approx(expected, abs=1e-13)


def test_check_values():
    expected = [3 / 10, 0.533333, 0.916667, 0.991667, 1]
    assert pass_at_k(10, 3, [1, 2, 5, 7, 8]) == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize("n", [31, 32, 33, 100, 1000, 10_000])
def test_relative_error_against_exact_fractions(n):
    rng = np.random.default_rng(n)
    for marked in {1, 2, n // 3, n - 1, *rng.integers(1, n, 5)}:
        for k in {1, 2, n // 2, *rng.integers(1, n, 5)}:
            missed = Fraction(comb(n - int(marked), int(k)), comb(n, int(k)))
            assert pass_at_k(n, marked, k) == pytest.approx(float(1 - missed), rel=1e-11)
            assert pass_hat_k(n, n - marked, k) == pytest.approx(float(missed), rel=1e-11)


def test_shapes_and_nan_beyond_n():
    values = pass_at_k(np.array([[4], [2]]), np.array([[1], [2]]), np.arange(1, 5))
    assert values.shape == (2, 4)
    assert np.isnan(values).tolist() == [[False] * 4, [False, False, True, True]]
    assert values[0].tolist() == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert isinstance(pass_at_k(10, 3, 1), float)
    assert np.isnan(pass_at_k(0, 0, 1))
    assert np.isnan(pass_hat_k(3, 3, 4))
    assert np.isnan(g_pass_at_k(3, 3, 4, 0.5))
    assert pass_at_k(5, 0, [1, 5]).tolist() == [0.0, 0.0]
    assert pass_at_k(10.0, 3.0, 1) == pytest.approx(0.3)


def test_scorio_agrees():
    rng = np.random.default_rng(0)
    outcomes = (rng.random((20, 30)) < rng.random((20, 1))).astype(int)
    n, c = 30, outcomes.sum(axis=1)
    for k in (1, 2, 7, 20, 30):
        assert pass_at_k(n, c, k).mean() == pytest.approx(scorio.eval.pass_at_k(outcomes, k))
        assert pass_hat_k(n, c, k).mean() == pytest.approx(scorio.eval.pass_hat_k(outcomes, k))
        for tau in (0.0, 0.1, 0.3, 0.5, 0.9, 1.0):
            expected = scorio.eval.g_pass_at_k_tau(outcomes, k, tau)
            assert g_pass_at_k(n, c, k, tau).mean() == pytest.approx(expected)


def test_the_threshold_of_g_pass_is_not_rounded_up():
    # 0.1 * 30 is 3.0000000000000004 in floating point; three right answers are enough.
    assert g_pass_at_k(30, 3, 30, 0.1) == pytest.approx(1.0)


def test_unbiased_where_the_plug_in_is_not():
    n, p, c = 20, 0.15, np.arange(21)
    chance = binom.pmf(c, n, p)
    for k, truth, plug_in in (
        (5, 0.556295, 0.518236),
        (10, 0.803126, 0.724687),
        (20, 0.961240, 0.872441),
    ):
        assert chance @ pass_at_k(n, c, k) == pytest.approx(truth, abs=1e-6)
        assert chance @ (1 - (1 - c / n) ** k) == pytest.approx(plug_in, abs=1e-6)


def test_exact_variance_and_its_jackknife():
    n, p, c = 20, 0.15, np.arange(21)
    chance = binom.pmf(c, n, p)
    for k, variance in ((1, 0.006375), (5, 0.046751), (10, 0.050125), (20, 0.037257)):
        value = pass_at_k(n, c, k)
        assert chance @ value**2 - (chance @ value) ** 2 == pytest.approx(variance, abs=1e-6)
    jackknife = chance @ within_problem_variance(n, c[:, None], [1, 5, 10])
    assert jackknife / [0.006375, 0.046751, 0.050125] == pytest.approx([1.0, 1.08, 1.44], abs=0.01)
    assert np.isnan(within_problem_variance(5, 2, 5))


@given(st.integers(1, 6).flatmap(lambda n: st.tuples(*[st.sampled_from("arR") for _ in range(n)])))
def test_accept_first_equals_enumeration_over_all_orders(pool):
    """`R` is accepted and right, `a` accepted and wrong, `r` rejected."""
    n, accepted, right = len(pool), sum(s in "aR" for s in pool), pool.count("R")
    orders = list(permutations(pool))
    for k in range(1, n + 1):
        first = [next((i for i, s in enumerate(order[:k]) if s in "aR"), None) for order in orders]
        hits = [i is not None and o[i] == "R" for i, o in zip(first, orders, strict=True)]
        found = accept_first(n, accepted, right, k)
        assert found.correct == pytest.approx(np.mean(hits), abs=1e-12)
        assert found.returned == pytest.approx(np.mean([i is not None for i in first]), abs=1e-12)
        drawn = [k if i is None else i + 1 for i in first]
        assert found.attempts == pytest.approx(np.mean(drawn), abs=1e-12)


def test_sampling_until_success_is_unbiased():
    p, r = 0.1, 3
    trials = np.arange(r, 2000)
    chance = np.array([comb(int(t) - 1, r - 1) * p**r * (1 - p) ** (int(t) - r) for t in trials])
    assert chance @ rate_until_success(r, trials) == pytest.approx(0.1, abs=1e-6)
    assert chance @ (r / trials) == pytest.approx(0.1391, abs=1e-4)
    assert np.isnan(rate_until_success(1, 5))


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (([5, 3], [1, 4], 1), "n_correct[1]"),
        ((5, -1, 1), "n_correct"),
        ((-5, 0, 1), "n_samples"),
        ((5, 2.5, 1), "n_correct"),
        ((5, float("nan"), 1), "n_correct"),
        ((5, 2, 0), "k"),
        ((5, 2, [1, 0]), "k[1]"),
        (("five", 2, 1), "n_samples"),
        (([5, 5, 5], [1, 2], 1), "n_samples, n_correct"),
        (([5, 5, 5], [1, 2, 3], [1, 2]), "n_samples, n_correct, k"),
    ],
)
@pytest.mark.parametrize("estimator", [pass_at_k, pass_hat_k, within_problem_variance])
def test_bad_counts_are_input_errors_that_say_where(estimator, arguments, where):
    with pytest.raises(InputError) as error:
        estimator(*arguments)
    assert error.value.where == where
    assert error.value.got is not None
    assert error.value.hint


def test_other_bad_input():
    with pytest.raises(InputError, match="tau"):
        g_pass_at_k(5, 2, 3, 1.5)
    with pytest.raises(InputError, match="n_accepted_correct"):
        accept_first(5, 2, 3, 1)


def test_importing_stats_stays_light():
    code = (
        "import sys, ttscale.stats; print({'scipy', 'torch', 'vllm', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
