"""Particles' weights, effective size, temperature, and the distribution of what is drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from ttscale.search.resample import (
    effective_size,
    entropic_temperature,
    particle_weights,
    resample,
)

WEIGHTS = np.array([0.5, 0.0, 0.3, 0.15, 0.05])


def test_weights_are_the_odds_to_the_power_of_one_over_the_temperature() -> None:
    assert particle_weights([0.9, 0.5, 0.1]) == pytest.approx(
        [0.890110, 0.098901, 0.010989], abs=1e-6
    )
    assert particle_weights([0.9, 0.5, 0.1], 2.0) == pytest.approx([9 / 13, 3 / 13, 1 / 13])
    assert effective_size(particle_weights([0.9, 0.5, 0.1])) == pytest.approx(1.246575, abs=1e-6)


def test_scores_that_are_log_odds_are_taken_as_they_are() -> None:
    weights = particle_weights([math.log(3), 0.0], probabilities=False)
    assert weights == pytest.approx([0.75, 0.25])


def test_certain_scores_do_not_break_the_weights() -> None:
    assert particle_weights([1.0, 1.0, 0.0]) == pytest.approx([0.5, 0.5, 0.0], abs=1e-12)
    assert particle_weights([math.nan, 0.2]).tolist() == [0.0, 1.0]
    assert particle_weights([math.nan, math.nan]).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("weights", "progress", "temperature"),
    [
        ([1.0, 0.0, 0.0, 0.0], 0.1, 0.9 / 0.25),
        ([1.0, 0.0, 0.0, 0.0], 0.5, 1.0),
        ([0.5, 0.5, 0.0, 0.0], 0.1, 1.0),
        ([0.25, 0.25, 0.25, 0.25], 0.0, 1.0),
    ],
)
def test_the_entropic_temperature_rises_early_while_few_are_effective(
    weights, progress, temperature
) -> None:
    assert entropic_temperature(weights, progress) == pytest.approx(temperature)


@pytest.mark.parametrize("scheme", ["multinomial", "systematic"])
def test_draws_follow_the_weights(scheme) -> None:
    drawn = np.concatenate(
        [resample(WEIGHTS, 8, np.random.default_rng(seed), scheme) for seed in range(2000)]
    )
    counts = np.bincount(drawn, minlength=5)
    assert counts[1] == 0
    positive = WEIGHTS > 0
    expected = WEIGHTS[positive] * counts.sum()
    if scheme == "multinomial":
        assert chisquare(counts[positive], expected).pvalue > 1e-3
    else:
        # Less variance than independent draws: a chi-square statistic far too small for them.
        assert np.abs(counts[positive] / expected - 1).max() < 0.05


def test_multinomial_draws_of_one_index_are_binomial() -> None:
    n, p = 4, 0.5
    draws = [resample(WEIGHTS, n, np.random.default_rng(seed)).count(0) for seed in range(2000)]
    expected = [math.comb(n, k) * p**k * (1 - p) ** (n - k) * 2000 for k in range(n + 1)]
    assert chisquare(np.bincount(draws, minlength=n + 1), expected).pvalue > 1e-3


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=20).filter(lambda w: sum(w) > 1e-6),
    st.integers(0, 50),
    st.integers(0, 2**32),
)
def test_systematic_draws_are_within_one_of_their_expectation(weights, n, seed) -> None:
    w = np.array(weights) / sum(weights)
    counts = np.bincount(
        np.array(resample(w, n, np.random.default_rng(seed), "systematic"), dtype=int),
        minlength=len(w),
    )
    assert counts.sum() == n
    assert (np.abs(counts - n * w) < 1 + 1e-6).all()


def test_nothing_to_draw_draws_nothing() -> None:
    assert resample(WEIGHTS, 0, np.random.default_rng(0)) == []
