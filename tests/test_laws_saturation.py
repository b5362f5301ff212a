"""Saturation points: against scanning, at the reference values, and refusals with a reason."""

from __future__ import annotations

import numpy as np
import pytest

from ttscale.errors import InputError
from ttscale.laws import CURVES, MIXING, fit_coverage, saturation_by_price
from ttscale.laws.draws import weighted_quantiles
from ttscale.laws.grid import grid_for
from ttscale.laws.lawfit import LawFit, Search
from ttscale.laws.saturation import saturation_points

NO_SEARCH = Search(0, 0, 0.0, 0, 1.0)


def law_of(name: str, *values: float) -> LawFit:
    family = MIXING.get(name) or CURVES[name]
    free = family.free(np.array(values))
    return LawFit(family, free, free[None], NO_SEARCH, 0.95, grid=grid_for(1_000))


def scanned(law: LawFit, epsilon: float, end: int) -> int:
    """The first k after which no single step of the scanned range gains more than epsilon."""
    curve = law.curves(law.free[None], np.arange(1.0, end + 1))[0]
    worth = np.flatnonzero(np.diff(curve) > epsilon)
    return 1 if not len(worth) else int(worth[-1]) + 2


@pytest.mark.parametrize(("epsilon", "expected"), [(0.01, 15), (0.001, 115)])
def test_exponentiated_power_law_reference_points(epsilon, expected):
    law = law_of("exponentiated_power", 3.0, 0.4)
    assert saturation_points(law, law.free[None], epsilon, 1e6, "sample")[0] == expected


@pytest.mark.parametrize(("epsilon", "expected"), [(0.02, 8192), (0.01, 65536)])
def test_doublings_of_the_exponentiated_power_law(epsilon, expected):
    law = law_of("exponentiated_power", 3.0, 0.4)
    assert saturation_points(law, law.free[None], epsilon, 1e6, "doubling")[0] == expected


@pytest.mark.parametrize(
    "law",
    [
        law_of("beta", 0.4, 3.0),
        law_of("scaled_beta", 0.5, 2.0, 0.3),
        law_of("zero_inflated_kumaraswamy", 0.6, 2.0, 0.2),
        law_of("saturating", 0.1, 0.2),
        law_of("sigmoid", 0.05, 0.7, 1.5, 3.0),
        law_of("one_over_k", 0.7, 0.3),
        law_of("overoptimization", 0.3, 0.2, 0.06),
    ],
)
@pytest.mark.parametrize("epsilon", [0.02, 0.003])
def test_bisection_finds_what_scanning_finds(law, epsilon):
    found = saturation_points(law, law.free[None], epsilon, 4_000, "sample")[0]
    assert found == scanned(law, epsilon, 2_000)


def test_majority_saturates_by_pairs_of_votes():
    law = law_of("majority_mixture", 3.0, 2.0)
    found = saturation_points(law, law.free[None], 0.001, 1e4, "sample")[0]
    curve = law.curves(law.free[None], np.array([found, found + 2, found - 3, found - 1]))[0]
    assert (curve[1] - curve[0]) / 2 <= 0.001
    assert (curve[3] - curve[2]) / 2 > 0.0005


def pool(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return np.full(100, 100), rng.binomial(100, rng.beta(0.4, 3.0, 100))


def test_a_fit_says_where_it_saturates_with_an_interval():
    fit = fit_coverage(*pool(), law="beta", n_bootstrap=200)
    point = fit.saturation(0.001)
    assert point.reason is None
    assert point.low <= point.n <= point.high
    gain = np.diff(fit.predict([point.n - 1, point.n, point.n + 1]).value)
    assert gain[0] > 0.001 >= gain[1]
    assert fit.saturation(0.01).n < point.n, "a coarser gain saturates earlier"


def test_refusals_give_their_reason():
    fit = fit_coverage(*pool(), law="beta", n_bootstrap=50)
    far = fit.saturation(1e-7)
    assert far.n is None
    assert "still gains more than" in far.reason
    assert fit.saturation(1e-3, reach=0.5).n is None, "beyond the reach nothing is promised"
    edge = fit.saturation(1e-3, reach=fit.saturation(1e-3).n / 100 + 0.005)
    assert edge.n is not None
    assert edge.high is None
    assert "upper end" in edge.reason
    bare = fit_coverage(*pool(), law="beta", n_bootstrap=0).saturation(1e-3)
    assert bare.n is not None
    assert "without bootstrap" in bare.reason
    nothing = fit_coverage([10] * 5, [0] * 5).saturation(1e-3)
    assert nothing.n is None
    assert "none of the 5 problems" in nothing.reason


def test_by_price_is_by_gain():
    fit = fit_coverage(*pool(), law="beta", n_bootstrap=50)
    by_price = saturation_by_price(fit, 0.002, gain=0.01, price=0.02)
    assert by_price == fit.saturation(0.001)
    assert saturation_by_price(fit, 0.02, gain=0.01, price=0.02).n < by_price.n


@pytest.mark.parametrize("epsilon", [0.0, -1.0, 1.0, float("nan")])
def test_gains_that_make_no_sense_are_refused(epsilon):
    fit = fit_coverage(*pool(), law="beta", n_bootstrap=0)
    with pytest.raises(InputError, match="share of accuracy"):
        fit.saturation(epsilon)
    with pytest.raises(InputError, match="positive"):
        saturation_by_price(fit, -0.1)


def test_weighted_quantiles():
    rng = np.random.default_rng(0)
    draws, weights = rng.normal(size=(101, 3)), rng.random(101)
    levels = (0.1, 0.5, 0.9)
    found = weighted_quantiles(draws, weights, levels)
    for column in range(3):
        expected = np.quantile(draws[:, column], levels, weights=weights, method="inverted_cdf")
        np.testing.assert_allclose(found[:, column], expected)
    ends = np.array([[1.0], [2.0], [np.inf], [np.inf]])
    low, high = weighted_quantiles(ends, np.ones(4), (0.2, 0.9))[:, 0]
    assert (low, high) == (1.0, np.inf)


def test_a_pooled_curve_rises():
    fit = fit_coverage(np.full(100, 50), [50] * 95 + [49, 48, 30, 5, 0], n_bootstrap=20)
    prediction = fit.predict(np.geomspace(1, 1e7, 60))
    for end in prediction:
        assert np.all(np.diff(end) >= 0)
