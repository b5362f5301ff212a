"""Calibration agrees with scikit-learn, its bias is corrected, and no problem scales itself."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from ttscale.errors import InputError
from ttscale.stats import (
    brier,
    calibration_error,
    cross_fitted,
    isotonic,
    platt,
    reliability,
)


def stated(rng, n=500):
    probability = np.concatenate([rng.random(n - 100), rng.integers(0, 11, 100) / 10])
    return probability, (rng.random(n) < probability**2).astype(float)


@pytest.mark.parametrize("binning", ["uniform", "quantile"])
def test_diagram_and_brier_score_agree_with_scikit_learn(binning):
    probability, correct = stated(np.random.default_rng(0))
    diagram = reliability(probability, correct, n_bins=10, binning=binning)
    share, mean = calibration_curve(correct, probability, n_bins=10, strategy=binning)
    np.testing.assert_allclose(diagram.share_right, share)
    np.testing.assert_allclose(diagram.probability, mean)
    assert diagram.n_samples.sum() == 500
    assert np.all((diagram.low <= diagram.probability) & (diagram.probability <= diagram.high))
    assert brier(probability, correct) == pytest.approx(brier_score_loss(correct, probability))


def test_expected_calibration_error_by_hand():
    diagram = reliability([0.2, 0.2, 0.2, 0.2, 0.9, 0.9], [0, 0, 1, 1, 1, 1], n_bins=2)
    error = calibration_error(diagram)
    assert error.plain == pytest.approx(4 / 6 * 0.3 + 2 / 6 * 0.1)
    assert error.squared == pytest.approx(4 / 6 * 0.09 + 2 / 6 * 0.01)
    # Kumar et al. subtract s (1 - s) / (n - 1) from each bin's squared gap: 1/12, and 0.
    assert error.squared_debiased == pytest.approx(error.squared - 4 / 6 * 0.25 / 3)
    assert error.debiased < error.plain


def test_the_bias_of_the_squared_error_is_gone_also_with_samples_in_clusters():
    """Truth: the stated p is off by 0.1; 20 problems of 10 samples that share their luck."""
    rng, found = np.random.default_rng(1), []
    for _ in range(1500):
        rate = np.repeat(rng.choice([0.2, 0.6], 20), 10)
        probability = np.full(200, 0.5)  # one bin; the mean rate is 0.4
        correct = (rng.random(200) < rate).astype(float)
        clustered = reliability(probability, correct, np.arange(200) // 10)
        apart = calibration_error(reliability(probability, correct))
        found.append((*calibration_error(clustered)[2:], apart.squared_debiased))
    plain, debiased, as_independent = np.mean(found, axis=0)
    error = 4 * np.std([row[1] for row in found]) / np.sqrt(len(found))
    assert debiased == pytest.approx(0.01, abs=error)
    assert plain > 0.01 + error and as_independent > 0.01 + error


def test_platt_is_smoothed_logistic_regression():
    rng = np.random.default_rng(2)
    scores = 30 * rng.normal(size=300) - 100
    correct = (rng.random(300) < 1 / (1 + np.exp(-(scores + 100) / 20))).astype(float)
    n_right, n_wrong = correct.sum(), 300 - correct.sum()
    target = np.where(correct > 0, (n_right + 1) / (n_right + 2), 1 / (n_wrong + 2))
    reference = LogisticRegression(C=1e12, tol=1e-10, max_iter=10_000).fit(
        np.concatenate([scores, scores])[:, None],
        np.repeat([1, 0], 300),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    slope, intercept = platt(scores, correct)
    assert slope == pytest.approx(reference.coef_[0, 0], rel=1e-4)
    assert intercept == pytest.approx(reference.intercept_[0], rel=1e-4)


def test_platt_of_separable_and_constant_scores_is_finite():
    slope, intercept = platt([1.0, 2.0, 8.0, 9.0], [0, 0, 1, 1])
    assert 0 < slope < 100 and np.isfinite(intercept)
    slope, intercept = platt([5.0] * 4, [1, 0, 0, 0])
    assert slope == 0
    assert 1 / (1 + np.exp(-intercept)) == pytest.approx((2 / 3 + 3 * 1 / 5) / 4)


def test_isotonic_is_scikit_learns():
    rng = np.random.default_rng(3)
    scores = rng.normal(size=200).round(1)
    correct = (rng.random(200) < 1 / (1 + np.exp(-scores))).astype(float)
    reference = IsotonicRegression(out_of_bounds="clip").fit(scores, correct)
    asked = np.linspace(-5, 5, 999)
    np.testing.assert_allclose(
        np.interp(asked, *isotonic(scores, correct)), reference.predict(asked), atol=1e-12
    )


@pytest.mark.parametrize("scaling", ["platt", "isotonic"])
def test_no_problem_has_a_say_in_its_own_scaling(scaling):
    rng = np.random.default_rng(4)
    problem = np.repeat(np.arange(30), 6)
    scores = rng.normal(size=180)
    correct = (rng.random(180) < 1 / (1 + np.exp(-scores))).astype(float)
    before = cross_fitted(scores, correct, problem, np.random.default_rng(5), scaling=scaling)
    changed = np.where(problem == 7, 1 - correct, correct)
    after = cross_fitted(scores, changed, problem, np.random.default_rng(5), scaling=scaling)
    np.testing.assert_array_equal(before[problem == 7], after[problem == 7])
    assert np.any(before[problem != 7] != after[problem != 7])
    assert np.all((before >= 0) & (before <= 1))


def test_scaling_mends_scores_that_lie():
    rng = np.random.default_rng(6)
    problem = np.repeat(np.arange(200), 10)
    rate = np.repeat(rng.beta(2, 2, 200), 10)
    correct = (rng.random(2000) < rate).astype(float)
    lie = rate**4
    told = calibration_error(reliability(lie, correct, problem)).debiased
    for scaling in ("platt", "isotonic"):
        mended = cross_fitted(lie, correct, problem, rng, scaling=scaling)
        assert calibration_error(reliability(mended, correct, problem)).debiased < told / 5
        assert brier(mended, correct) < brier(lie, correct)


def test_missing_infinite_and_constant_scores_get_probabilities():
    rng = np.random.default_rng(7)
    problem = np.repeat(np.arange(40), 5)
    correct = np.tile([1.0, 1.0, 1.0, 0.0, 0.0], 40)
    scores = np.tile([2.0, 1.0, np.inf, np.nan, -np.inf], 40)
    for scaling in ("platt", "isotonic"):
        found = cross_fitted(scores, correct, problem, rng, scaling=scaling)
        assert np.isfinite(found).all()
        assert found[problem == 0][3] == 0.0  # samples without a score were never right
    constant = cross_fitted(np.ones(200), correct, problem, rng)
    assert constant == pytest.approx(np.full(200, 0.6), abs=0.01)
    signs = cross_fitted(np.where(correct > 0, np.inf, -np.inf), correct, problem, rng)
    assert np.all(signs[correct > 0] > 0.9) and np.all(signs[correct == 0] < 0.1)
    nothing = cross_fitted(np.full(200, np.nan), correct, problem, rng)
    assert nothing == pytest.approx(np.full(200, 0.6))


def test_bad_input():
    with pytest.raises(InputError):
        brier([1.2], [1])
    with pytest.raises(InputError):
        reliability([0.5, np.nan], [1, 0])
    with pytest.raises(InputError):
        reliability([0.5], [1], binning="uniforn")
    with pytest.raises(InputError):
        cross_fitted([1.0, 2.0], [1, 0], [3, 3], np.random.default_rng(0))
    with pytest.raises(InputError):
        cross_fitted([1.0, 2.0], [1, 0], [3, 4], np.random.default_rng(0), scaling="plat")


def test_a_bin_of_one_problem_has_the_variance_of_its_samples():
    stated, correct = [0.1] * 4 + [0.9] * 4, [0, 0, 0, 1, 1, 1, 0, 1]
    apart = reliability(stated, correct)
    two = reliability(stated, correct, [1] * 4 + [2] * 4)
    np.testing.assert_allclose(two.squared_error, apart.squared_error)
    assert np.isnan(reliability([0.1, 0.9], [0, 1]).squared_error).all()
