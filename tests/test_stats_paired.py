"""Paired tests keep their level, corrections keep the family's, turning points are not noise."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscale.errors import InputError
from ttscale.stats import best_of_k, holm, mcnemar, paired_p_value, rate_mixture, turning_point


def test_sign_flips_are_listed_where_few_problems_differ():
    gap = np.array([0.4, 0.1, -0.2, 0.3, 0.0, 0.0])
    sums = [abs(sum(s * g for s, g in zip(signs, gap, strict=False)))
            for signs in product((-1, 1), repeat=4)]  # fmt: skip
    expected = np.mean([total >= abs(gap.sum()) - 1e-12 for total in sums])
    rng = np.random.default_rng(0)
    assert paired_p_value(0.5 + gap, np.full(6, 0.5), rng) == pytest.approx(expected)
    one, two = np.array([1, 1, 1, 1, 1, 0, 0, 1]), np.array([0, 0, 0, 0, 0, 1, 0, 1])
    assert paired_p_value(one, two, rng) == pytest.approx(mcnemar(one, two).p_value)


@pytest.mark.parametrize("test", ["sign_flip", "bootstrap"])
def test_a_real_difference_is_found_and_equal_arms_differ_in_nothing(test):
    rng = np.random.default_rng(1)
    shared = rng.random(60)
    better = shared + 0.05 + 0.02 * rng.normal(size=60)
    assert paired_p_value(better, shared, rng, test=test) < 0.001
    columns = np.stack([better, shared], 1), np.stack([shared, shared], 1)
    found = paired_p_value(*columns, rng, test=test, n_resamples=999)
    assert found.shape == (2,)
    assert found[0] == pytest.approx(1 / 1000)
    assert found[1] == 1.0


@pytest.mark.parametrize("test", ["sign_flip", "bootstrap"])
def test_false_alarms_stay_at_their_level(test):
    """Best-of-8 of two scores without information, 60 problems, 600 studies: 5 % +- 2.4 %."""
    rng, alarms = np.random.default_rng(2), 0
    for _ in range(600):
        right = rng.random((60, 16)) < rng.beta(0.5, 1, 60)[:, None]
        arms = (best_of_k(rng.normal(size=right.shape), right, 8) for _ in range(2))
        alarms += paired_p_value(*arms, rng, test=test, n_resamples=499) <= 0.05
    assert abs(alarms / 600 - 0.05) < 0.024


def test_holm_by_hand_and_nan_is_no_test():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    found = holm([[0.02, np.nan], [0.5, 0.9]])
    assert found == pytest.approx(np.array([[0.06, np.nan], [1.0, 1.0]]), nan_ok=True)
    assert holm([]).shape == (0,)
    with pytest.raises(InputError):
        holm([0.1, 1.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_raises_keeps_order_and_is_below_bonferroni(p_values):
    raw, corrected = np.array(p_values), holm(p_values)
    assert np.all(corrected >= raw) and np.all(corrected <= np.minimum(1, raw * len(raw)) + 1e-15)
    assert np.all(np.diff(corrected[np.argsort(raw, kind="stable")]) >= 0)


def curves(rng, flukes, n_problems=200, n=32):
    right = rng.random((n_problems, n)) < rng.beta(1, 2, n_problems)[:, None]
    scores = right + rng.normal(size=right.shape)
    scores = np.where(~right & (rng.random(right.shape) < flukes), 9.0, scores)
    return best_of_k(scores, right, np.arange(1, n + 1))


def test_a_turn_is_found_where_there_is_one():
    ks = np.arange(1, 33)
    down = turning_point(curves(np.random.default_rng(3), 0.05), ks, np.random.default_rng(4))
    assert down.turns_down and down.drop.low > 0.05
    assert down.k_low <= down.k <= down.k_high < 32
    up = turning_point(curves(np.random.default_rng(3), 0.0), ks, np.random.default_rng(4))
    assert not up.turns_down
    assert up.k_high == 32


def test_a_flat_curve_seldom_turns_down_though_its_highest_point_is_above_its_end():
    rng, alarms = np.random.default_rng(5), 0
    for _ in range(300):
        right = rng.random((40, 16)) < rng.beta(1, 2, 40)[:, None]
        matrix = best_of_k(rng.normal(size=right.shape), right, np.arange(1, 17))
        alarms += turning_point(matrix, np.arange(1, 17), rng, n_resamples=300).turns_down
    assert alarms / 300 < 0.05


def test_turning_points_without_spread():
    alike = np.tile([0.2, 0.5, 0.3], (5, 1))
    found = turning_point(alike, [1, 2, 4], np.random.default_rng(6))
    assert (found.k, found.k_low, found.k_high, found.turns_down) == (2, 2, 2, True)
    alone = turning_point(alike[:1], [1, 2, 4], np.random.default_rng(6))
    assert (alone.k, alone.k_low, alone.k_high, alone.turns_down) == (2, 1, 4, False)
    with pytest.raises(InputError):
        turning_point(alike, [1, 2], np.random.default_rng(6))
    with pytest.raises(InputError):
        paired_p_value([0.1, np.nan], [0.1, 0.2], np.random.default_rng(6))


def test_the_mixture_of_rates_has_the_spread_of_the_rates_not_of_their_estimates():
    rng = np.random.default_rng(7)
    rate = rng.beta(2, 4, 2000)
    n, c = np.full(2000, 10), rng.binomial(10, rate)
    mixture = rate_mixture(n, c)
    assert mixture.weight.sum() == pytest.approx(1)
    mean = mixture.weight @ mixture.rate
    spread = mixture.weight @ (mixture.rate - mean) ** 2
    assert mean == pytest.approx((c / n).mean(), abs=1e-3)
    assert spread == pytest.approx(rate.var(), rel=0.1)
    assert (c / n).var() > 1.4 * rate.var()
    half = rate_mixture(n, c, np.stack([np.ones(2000), np.arange(2000) % 2]))
    np.testing.assert_allclose(half.weight[0], mixture.weight)
    odd = rate_mixture(n[1::2], c[1::2])
    np.testing.assert_allclose(half.weight[1], odd.weight)
