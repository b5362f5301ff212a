"""Intervals hold the truth as often as they say, and never pretend to know more than the data."""

import numpy as np
import pytest
from scipy.special import betaincinv, betaln
from scipy.stats import binomtest

from ttscale.errors import InputError
from ttscale.stats import (
    design_effect,
    jeffreys,
    mcnemar,
    mean_interval,
    paired_difference,
    pass_at_k,
    pass_at_k_posterior,
    problem_weights,
    replicates,
    wilson,
)


@pytest.mark.parametrize("method", ["bayes", "bootstrap"])
def test_intervals_hold_the_true_curve(method):
    """400 simulated sets of 60 problems with p ~ Beta(0.5, 1): at each k, 95 % +- 3 % hold it."""
    rng = np.random.default_rng(0)
    ks, trials = np.array([1, 4, 16]), 400
    truth = 1 - np.exp(betaln(0.5, 1 + ks) - betaln(0.5, 1))
    held = np.zeros(3)
    for _ in range(trials):
        c = rng.binomial(16, rng.beta(0.5, 1, 60))
        interval = mean_interval(pass_at_k(16, c[:, None], ks), rng, n_resamples=500, method=method)
        held += (interval.low <= truth) & (truth <= interval.high)
    assert np.all(np.abs(held / trials - 0.95) < 0.03)


def test_paired_intervals_hold_the_true_difference():
    rng = np.random.default_rng(1)
    held, trials = 0, 400
    for _ in range(trials):
        rate = rng.beta(0.5, 1, 50)
        better = rate + 0.1 * (1 - rate)
        first, second = (rng.binomial(8, p) / 8 for p in (better, rate))
        found = paired_difference(first, second, rng, n_resamples=500)
        held += found.low <= 0.1 * (1 - 1 / 3) <= found.high
    assert abs(held / trials - 0.95) < 0.03


def test_pairing_removes_what_both_arms_share():
    rng = np.random.default_rng(2)
    shared = rng.random(200)
    first, second = np.clip(shared + 0.05, 0, 1), shared
    paired = paired_difference(first, second, rng)
    alone = mean_interval(first, rng)
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)
    assert paired.chance_positive == 1.0
    same = paired_difference(first, first, rng)
    assert same.chance_positive == pytest.approx(0.5, abs=0.05)
    assert same.low < -0.001 < 0.001 < same.high  # 200 problems alike: not certain, only small
    mixed = paired_difference(np.stack([first, first], 1), np.stack([first, second], 1), rng)
    assert mixed.low[0] < 0 < mixed.low[1]
    few = paired_difference([1, 1, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0], rng, n_resamples=20_000)
    wide = paired_difference([1, 1, 0, 1, 0, 0], [0] * 6, rng, n_resamples=20_000, method="bayes")
    assert few[:3] == pytest.approx(wide[:3], abs=0.02)
    swapped = paired_difference(second, first, rng)
    assert swapped.estimate == pytest.approx(-paired.estimate)


def test_on_zeros_and_ones_the_bayes_interval_is_jeffreys():
    rng = np.random.default_rng(3)
    for solved, n in ((0, 20), (3, 20), (20, 20)):
        values = np.arange(n) < solved
        found = mean_interval(values, rng, n_resamples=40_000)
        expected = jeffreys(n, solved)
        assert found == pytest.approx(expected, abs=0.005)
        assert found.low <= found.estimate <= found.high


def test_agreeing_problems_do_not_make_certainty():
    rng = np.random.default_rng(4)
    assert mean_interval(np.zeros(30), rng).high > 0.05
    assert mean_interval(np.ones(30), rng).low < 0.95
    point = mean_interval(np.zeros(30), rng, method="bootstrap")
    assert point.low == point.high == 0.0
    alone = mean_interval([0.4], rng)
    assert alone.low < 0.15
    assert alone.high > 0.75


def test_all_columns_share_their_resamples():
    rng = np.random.default_rng(5)
    values = np.random.default_rng(6).random(40)
    twice = np.stack([values, values, 1 - values], axis=1)
    interval = mean_interval(twice, rng, method="bootstrap")
    assert interval.low[0] == interval.low[1]
    assert interval.low[2] == pytest.approx(1 - interval.high[0])


def test_replicates_of_a_curve_are_curves():
    """Coverage rises with k in every replicate, because weights are common to all ks."""
    rng = np.random.default_rng(7)
    curve = pass_at_k(32, rng.integers(0, 33, 25)[:, None], np.arange(1, 33))
    for method in ("bayes", "bootstrap"):
        draws = replicates(curve, problem_weights(25, 100, rng, method))
        assert draws.shape == (100, 32)
        assert np.all(np.diff(draws, axis=1) > -1e-12)


def test_weights_mean_what_they_say():
    rng = np.random.default_rng(8)
    counts = problem_weights(7, 500, rng, "bootstrap") * 7
    assert np.allclose(counts, np.round(counts))
    assert np.allclose(counts.sum(axis=1), 7)
    posterior = problem_weights(7, 4000, rng, "bayes")
    assert posterior.shape == (4000, 9)
    assert np.allclose(posterior.sum(axis=1), 1)
    assert posterior.mean(axis=0) == pytest.approx([1 / 8] * 7 + [1 / 16] * 2, abs=0.01)


def test_missing_values():
    rng = np.random.default_rng(9)
    values = np.array([[0.5, 0.25, np.nan], [0.25, np.nan, np.nan], [0.75, 0.75, np.nan]])
    whole = mean_interval(values, rng)
    assert whole.estimate[0] == 0.5
    assert np.isnan(whole.estimate[1:]).all()
    assert np.isnan(whole.low[1:]).all()
    some = mean_interval(values, rng, available=True)
    assert some.estimate[1] == 0.5
    assert 0.0 <= some.low[1] < 0.5 < some.high[1] <= 1.0
    assert np.isnan(some.estimate[2])


@pytest.mark.parametrize("method", ["bayes", "bootstrap"])
def test_available_means_are_intervals_of_the_smaller_set(method):
    rng = np.random.default_rng(10)
    values = rng.random(50)
    gaps = np.concatenate([values, np.full(150, np.nan)])
    full = mean_interval(values, rng, n_resamples=20_000, method=method)
    gappy = mean_interval(gaps, rng, n_resamples=20_000, method=method, available=True)
    assert gappy.estimate == pytest.approx(full.estimate)
    assert gappy.low == pytest.approx(full.low, abs=0.01)
    assert gappy.high == pytest.approx(full.high, abs=0.01)


def test_tokens_need_a_support_or_the_bootstrap():
    rng = np.random.default_rng(11)
    tokens = rng.integers(100, 2000, 30)
    with pytest.raises(InputError, match="support"):
        mean_interval(tokens, rng)
    interval = mean_interval(tokens, rng, method="bootstrap")
    assert interval.low < tokens.mean() < interval.high
    assert mean_interval(tokens, rng, support=(0, 4096)).low < tokens.mean()


def test_wilson():
    assert wilson(10, 3) == pytest.approx((0.3, 0.107791, 0.603222), abs=1e-6)
    edges = wilson([5, 5, 0], [0, 5, 0])
    assert edges.low[0] == 0.0
    assert edges.high[1] == 1.0
    assert np.isnan(edges.low[2])
    expected = binomtest(37, 113).proportion_ci(0.9, method="wilson")
    found = wilson(113, 37, level=0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_posterior_of_one_problems_coverage():
    found = pass_at_k_posterior(20, 0, [1, 100])
    assert found.low.tolist() == [0.0, 0.0]
    assert found.high[0] == pytest.approx(betaincinv(0.5, 20.5, 0.975))
    assert found.high[1] == pytest.approx(1 - (1 - found.high[0]) ** 100)
    certain = pass_at_k_posterior(20, 20, 1)
    assert certain.high == 1.0
    assert certain.low < 0.95
    draws = np.random.default_rng(12).beta(3.5, 17.5, 200_000)
    found = pass_at_k_posterior(20, 3, 5)
    expected = 1 - (1 - draws) ** 5
    assert found.estimate == pytest.approx(expected.mean(), abs=0.003)
    assert (found.low, found.high) == pytest.approx(
        np.quantile(expected, [0.025, 0.975]), abs=0.005
    )


def test_mcnemar():
    first = np.array([1] * 9 + [0] * 2 + [1] * 5 + [0] * 4)
    second = np.array([0] * 9 + [1] * 2 + [1] * 5 + [0] * 4)
    found = mcnemar(first, second)
    assert (found.n_only_first, found.n_only_second) == (9, 2)
    assert found.p_value == pytest.approx(binomtest(9, 11).pvalue)
    assert mcnemar(first, first).p_value == 1.0
    assert mcnemar(np.ones(3000), np.zeros(3000)).p_value == pytest.approx(0.0, abs=1e-300)


def test_design_effect():
    assert design_effect([1, 11], 0.1).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda rng: mean_interval([], rng), "values"),
        (lambda rng: mean_interval(0.5, rng), "values"),
        (lambda rng: mean_interval([0.5], rng, level=95), "level"),
        (lambda rng: mean_interval([0.5], rng, method="jackknife"), "method"),
        (lambda rng: mean_interval([0.5], rng, n_resamples=0), "problem_weights"),
        (lambda rng: paired_difference([0.5], [0.5, 0.5], rng), "first, second"),
        (lambda rng: mcnemar([0.5], [1]), "first[0]"),
        (lambda rng: mcnemar([0, 1], [1]), "first, second"),
        (lambda rng: wilson(3, 4), "n_correct"),
        (lambda rng: wilson(3, 2, level=0), "level"),
    ],
)
def test_bad_input(call, where):
    with pytest.raises(InputError) as error:
        call(np.random.default_rng(0))
    assert error.value.where == where
