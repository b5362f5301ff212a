"""Bad input gets a message that says what, where and what was got; too little gets a reason."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ttscale.errors import InputError
from ttscale.laws import fit_coverage, fit_curve, fit_points


@pytest.mark.parametrize(
    ("n", "c", "message"),
    [
        ([10, 10], [3, 11], "More correct samples than samples"),
        ([10, 10], [3, -1], "whole numbers"),
        ([10, 0], [3, 0], "No samples"),
        ([10.5, 10], [3, 1], "whole numbers"),
        ([10, np.nan], [3, 1], "whole numbers"),
        ([10, 10], [3], "one entry for each problem"),
        (["ten", 10], [3, 1], "must be numbers"),
        ([], [], "no problem to fit"),
        ([[10, 10]], [[3, 1]], "one number for each problem"),
    ],
)
def test_counts_that_cannot_be(n, c, message):
    with pytest.raises(InputError, match=message):
        fit_coverage(n, c)


def test_the_message_names_the_row_and_the_numbers():
    with pytest.raises(InputError) as error:
        fit_coverage([10, 10, 7], [3, 1, 9])
    assert "problem 2" in str(error.value)
    assert "n_samples = 7, n_correct = 9" in str(error.value)


@pytest.mark.parametrize(
    ("n", "c", "reason"),
    [
        ([50], [10], "1 problem"),
        ([50, 50], [10, 3], "2 problem"),
        ([1] * 20, [0, 1] * 10, "one sample a problem"),
        ([8] * 20, [8] * 20, "always solved"),
        ([8] * 20, [0] * 20, "never solved|ever solved"),
    ],
)
def test_pools_that_bear_no_law_say_why(n, c, reason):
    fit = fit_coverage(n, c)
    assert fit.laws == ()
    assert fit.reason is not None
    assert any(part in fit.reason for part in reason.split("|"))
    assert np.isnan(fit.predict([1, 100]).value).all()
    record = fit.to_json()
    assert record["saturation"]["n"] is None
    assert record["saturation"]["reason"] == fit.reason
    json.dumps(record, allow_nan=False)


def test_a_fit_up_to_one_sample_is_refused_and_up_to_many_is_all_of_them():
    n, c = [20] * 30, list(range(20)) + [0] * 10
    assert "k = 1" in str(fit_coverage(n, c, fit_up_to=1).reason)
    with pytest.raises(InputError, match="at least one sample"):
        fit_coverage(n, c, fit_up_to=0)
    assert fit_coverage(n, c, fit_up_to=500, n_bootstrap=0, law="beta").fitted_to == 20


def test_unknown_laws_get_the_nearest_names():
    with pytest.raises(InputError, match="scaled_beta"):
        fit_coverage([10] * 5, [1] * 5, law="scaled-beta")
    with pytest.raises(InputError, match="no such law"):
        fit_curve(np.full((5, 5), 0.5), np.arange(1, 6), law="beta")


def test_bad_options():
    with pytest.raises(InputError, match="zero or more"):
        fit_coverage([10] * 5, [1] * 5, n_bootstrap=-1)
    with pytest.raises(InputError, match="level"):
        fit_coverage([10] * 5, [1] * 5, level=95)
    fit = fit_coverage([10] * 5, [1, 2, 3, 4, 0], n_bootstrap=0, law="beta")
    with pytest.raises(InputError, match="above zero"):
        fit.predict(0)
    with pytest.raises(InputError, match="per"):
        fit.saturation(0.01, per="hour")


@pytest.mark.parametrize(
    ("matrix", "ks", "message"),
    [
        (np.full((4, 3), 0.5), [1, 2], "one column for each k"),
        (np.full((4, 2), 1.5), [1, 2], "between 0 and 1"),
        (np.full((4, 2), 0.5), [0, 2], "above zero"),
    ],
)
def test_curves_that_cannot_be(matrix, ks, message):
    with pytest.raises(InputError, match=message):
        fit_curve(matrix, ks)


def test_curves_that_bear_no_law_say_why():
    ks = np.arange(1, 10)
    assert "2 problem" in str(fit_curve(np.full((2, 9), 0.5), ks).reason)
    holes = np.full((10, 9), 0.5)
    holes[:, 2:] = np.nan
    assert "2 budget" in str(fit_curve(holes, ks).reason)
    assert fit_points([1, 2], [0.1, 0.2]).reason is not None
    with pytest.raises(InputError, match="One accuracy"):
        fit_points([1, 2, 3], [0.1, 0.2])


def test_a_flat_curve_and_constant_counts_do_not_break_a_fit():
    fit = fit_coverage([20] * 30, [5] * 30, n_bootstrap=20)
    assert fit.predict(1).value[0] == pytest.approx(0.25, abs=0.02)
    flat = fit_curve(np.full((20, 10), 0.4), np.arange(1, 11), n_bootstrap=20)
    assert flat.predict(100).value[0] == pytest.approx(0.4, abs=0.02)
    json.dumps(flat.to_json(), allow_nan=False)
