"""Closed-form laws: reference values, gradients, the plain log-log fit."""

from __future__ import annotations

import numpy as np
import pytest

from ttscale.laws import loglog_fit
from ttscale.laws.curvefit import CurveTable
from ttscale.laws.curves import (
    inflection,
    samples_for_coverage,
    saturating_gain_end,
    saturating_share_reached,
    sigmoid_budget,
)
from ttscale.laws.families import CURVES
from ttscale.laws.lawfit import best

# N* at epsilon = 0.01 and 0.001 for F_max and p = .05, .1, .2, .3, .5.
SATURATION = {
    1.0: ((32, 77), (22, 44), (14, 24), (10, 16), (6, 9)),
    0.9: ((30, 75), (21, 43), (13, 24), (10, 16), (6, 9)),
    0.8: ((28, 72), (20, 42), (13, 23), (9, 16), (6, 9)),
}


def test_exponentiated_power_law_reference_values():
    law = CURVES["exponentiated_power"]
    free = law.free(np.array([[3.0, 0.4]]))
    ks = np.array([1.0, 10, 100, 1_000, 10_000])
    expected = [0.049787, 0.302909, 0.621594, 0.827549, 0.927413]
    np.testing.assert_allclose(law.curve(free, ks)[0], expected, atol=6e-7)
    assert inflection(3, 0.4) == pytest.approx(0.680194, abs=1e-6)
    assert samples_for_coverage(3, 0.4, 0.9) == pytest.approx(4326.218, abs=1e-3)


@pytest.mark.parametrize(("f_max", "rows"), SATURATION.items())
def test_saturating_law_stops_where_the_reference_says(f_max, rows):
    for p, (coarse, fine) in zip((0.05, 0.1, 0.2, 0.3, 0.5), rows, strict=True):
        assert saturating_gain_end(f_max, p, 0.01) == coarse
        assert saturating_gain_end(f_max, p, 0.001) == fine


def test_saturating_law_at_its_edges():
    assert saturating_gain_end(1.0, 0.5, 0.125) == 2, "an exact tie counts as saturated"
    assert saturating_gain_end(0.01, 0.5, 0.01) == 0
    assert saturating_gain_end(1.0, 0.0, 0.01) == 0
    assert saturating_gain_end(1.0, 1.0, 0.01) == 1
    assert saturating_share_reached(0.5, 0.125) == 3


def test_sigmoid_budget_for_a_share_of_the_range():
    assert sigmoid_budget(0.95, 1.5, 4.0) == pytest.approx(5.962959, abs=1e-6)


@pytest.mark.parametrize("name", CURVES)
def test_gradients_are_those_of_the_law(name):
    family, rng = CURVES[name], np.random.default_rng(0)
    free = family.centre + 0.3 * rng.standard_normal((4, len(family.parameters)))
    budgets = np.array([1.0, 2.0, 5.0, 33.0, 100.0])
    _, slopes = family.law(budgets, free)
    for d in range(free.shape[1]):
        step = np.zeros_like(free)
        step[:, d] = 1e-6
        change = family.law(budgets, free + step)[0] - family.law(budgets, free - step)[0]
        np.testing.assert_allclose(slopes[d], change / 2e-6, atol=1e-7)


@pytest.mark.parametrize("name", CURVES)
def test_one_budget_for_each_row_is_the_same_law(name):
    family, rng = CURVES[name], np.random.default_rng(1)
    free = family.centre + 0.3 * rng.standard_normal((3, len(family.parameters)))
    own = np.array([[3.0], [17.0], [240.0]])
    for row in range(3):
        alone = family.curve(free[row : row + 1], own[row])[0, 0]
        assert family.curve(free, own)[row, 0] == pytest.approx(alone, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("exponentiated_power", (2.5, 0.45)),
        ("saturating_curve", (0.8, 0.05)),
        ("sigmoid", (0.1, 0.8, 1.2, 3.0)),
        ("power_to_asymptote", (0.7, 0.4, 0.6)),
        ("one_over_k", (0.7, -0.2)),
        ("offset_one_over_k", (0.7, 0.4, 3.0)),
        ("majority_mixture", (3.0, 2.0)),
        ("overoptimization", (0.3, 0.2, 0.06)),
    ],
)
def test_a_law_without_noise_is_found_again(name, values):
    family = CURVES[name]
    ks = np.unique(np.geomspace(1, 1000, 30).round())
    curve = family.curve(family.free(np.array(values))[None], ks)
    table = CurveTable(ks, np.repeat(curve, 3, axis=0), 1e-4)
    ends = table.fit(family, np.random.default_rng(0))
    np.testing.assert_allclose(family.values(best(ends)), values, rtol=5e-3)


def test_loglog_fit_is_exact_on_a_power_law_and_says_what_it_drops():
    ks = np.arange(1, 50)
    coverage = np.exp(-2.0 * ks**-0.3)
    law = loglog_fit(ks, coverage)
    assert pytest.approx((2.0, 0.3)) == (law.A, law.B)
    np.testing.assert_allclose(law.coverage(ks), coverage)
    law = loglog_fit([1, 2, 4, 8], [0.0, 0.5, 0.6, 1.0])
    assert (law.n_points, law.n_dropped) == (2, 2)
    assert np.isnan(loglog_fit([1, 2], [0.0, 1.0]).A)
