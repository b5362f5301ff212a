"""What a fit promises: parameters found, larger budgets predicted, nothing unsaid."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ttscale.laws import MIXING, fit_coverage, fit_curve, fit_points
from ttscale.laws.families import COVERAGE_LAWS, law_names
from ttscale.stats import log_spaced, pass_at_k


def pool(n_problems: int, n: int, seed: int, alpha: float = 0.4, beta: float = 3.0):
    rng = np.random.default_rng(seed)
    p = rng.beta(alpha, beta, n_problems)
    return np.full(n_problems, n), rng.binomial(n, p), p


def draw(name: str, values, rng, size):
    if name == "logit_normal":
        return 1 / (1 + np.exp(-rng.normal(values[0], values[1], size)))
    if name == "two_cluster":
        easy, size_easy, hard, size_hard, share = values
        first = rng.beta(easy * size_easy, (1 - easy) * size_easy, size)
        second = rng.beta(hard * size_hard, (1 - hard) * size_hard, size)
        return np.where(rng.random(size) < share, first, second)
    if name == "saturating":
        return np.where(rng.random(size) < values[1], 0.0, values[0])
    a, b = values[:2]
    p = rng.beta(a, b, size) if "beta" in name else (
        1 - (1 - rng.random(size)) ** (1 / b)) ** (1 / a)  # fmt: skip
    if name.startswith("zero"):
        return np.where(rng.random(size) < values[2], 0.0, p)
    return p * (values[2] if name.startswith("scaled") else 1.0)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("beta", (0.4, 3.0)),
        ("zero_inflated_beta", (0.8, 3.0, 0.2)),
        ("scaled_beta", (0.5, 2.0, 0.4)),
        ("kumaraswamy", (0.4, 3.0)),
        ("zero_inflated_kumaraswamy", (0.8, 3.0, 0.2)),
        ("scaled_kumaraswamy", (0.5, 2.0, 0.4)),
        ("logit_normal", (-2.0, 1.5)),
        ("two_cluster", (0.6, 20.0, 0.02, 60.0, 0.6)),
        ("saturating", (0.05, 0.3)),
    ],
)
def test_parameters_are_recovered(name, values):
    """20,000 problems leave sampling errors of a few percent in every parameter."""
    rng = np.random.default_rng(5)
    counts = rng.binomial(300, draw(name, values, rng, 20_000))
    fit = fit_coverage(np.full(20_000, 300), counts, law=name, n_bootstrap=0)
    found = [e.value for e in fit.laws[0].parameters().values()]
    np.testing.assert_allclose(found, values, rtol=0.15)
    assert fit.laws[0].search.n_reached >= 1


def test_intervals_of_one_pool_hold_its_truth():
    n, c, p = pool(400, 200, seed=3)
    fit = fit_coverage(n, c, law="beta", n_bootstrap=300)
    for e, truth in zip(fit.laws[0].parameters().values(), (0.4, 3.0), strict=True):
        assert e.low < truth < e.high
        assert e.low < e.value < e.high
    ks = np.array([1, 10, 100, 1_000, 10_000])
    coverage = np.array([(1 - (1 - p) ** k).mean() for k in ks])
    low, high = fit.predict(ks).low, fit.predict(ks).high
    assert np.all((low < coverage) & (coverage < high))


def test_the_fit_on_small_k_predicts_large_k_better_than_a_power_law():
    """Over pools of a scaled law with two clusters, fit on k <= 100 against coverage at 10,000."""
    from ttscale.laws import loglog_fit

    ours, plain = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        p = np.where(rng.random(128) < 0.6, rng.beta(5, 5, 128), rng.beta(1, 200, 128))
        n, c = np.full(128, 100), rng.binomial(100, p)
        truth = 0.4 * 200 / (200 + 10_000)
        fit = fit_coverage(n, c, n_bootstrap=0, rng=rng)
        ks = log_spaced(100)
        law = loglog_fit(ks, pass_at_k(n[:, None], c[:, None], ks).mean(axis=0))
        ours.append(abs(1 - fit.predict(10_000).value[0] - truth) / truth)
        plain.append(abs(1 - law.coverage(np.array([1e4]))[0] - truth) / truth)
    assert np.median(ours) < 0.3 * np.median(plain)


def test_a_fit_up_to_k_uses_nothing_but_subsets_of_k():
    """Of 7 samples with 1 right, 15/35 of the 4-subsets hold none; with 2 right, 5/35 and 20/35."""
    wide = fit_coverage([7] * 80, [0] * 10 + [1] * 35 + [2] * 35, fit_up_to=4, law="beta",
                        n_bootstrap=0)  # fmt: skip
    narrow = fit_coverage([4] * 80, [0] * 30 + [1] * 40 + [2] * 10, law="beta", n_bootstrap=0)
    np.testing.assert_allclose(wide.laws[0].free, narrow.laws[0].free, atol=1e-3)
    whole = fit_coverage([7] * 80, [0] * 10 + [1] * 35 + [2] * 35, law="beta", n_bootstrap=0)
    assert np.abs(whole.laws[0].free - narrow.laws[0].free).max() > 0.05


def test_refits_converge_where_the_curvature_misleads():
    """Of few problems the scores' outer product is a poor guide to how the likelihood curves."""
    n, c, _ = pool(128, 10_000, 0, alpha=0.3, beta=3.5)
    for law in ("beta", "kumaraswamy", "zero_inflated_kumaraswamy"):
        fit = fit_coverage(n, c // 2, law=law, n_bootstrap=200)
        assert fit.laws[0].search.refits_converged == 1.0, law


def test_order_and_duplication_of_problems_do_not_matter():
    n, c, _ = pool(60, 50, seed=1)
    order = np.random.default_rng(0).permutation(60)
    one = fit_coverage(n, c, law="scaled_beta", n_bootstrap=0)
    other = fit_coverage(n[order], c[order], law="scaled_beta", n_bootstrap=0)
    np.testing.assert_allclose(one.predict([10, 1e4]).value, other.predict([10, 1e4]).value)


def test_same_generator_same_fit():
    n, c, _ = pool(40, 30, seed=2)
    fits = [
        fit_coverage(n, c, n_bootstrap=20, rng=np.random.default_rng(7)).to_json() for _ in range(2)
    ]
    assert json.dumps(fits[0]) == json.dumps(fits[1])
    other = fit_coverage(n, c, n_bootstrap=20, rng=np.random.default_rng(8)).to_json()
    assert json.dumps(other) != json.dumps(fits[0])


def test_auto_pools_the_mixing_laws_and_the_wrong_ones_get_no_weight():
    rng = np.random.default_rng(0)
    p = np.where(rng.random(400) < 0.5, rng.beta(40, 40, 400), rng.beta(2, 200, 400))
    fit = fit_coverage(np.full(400, 200), rng.binomial(200, p), n_bootstrap=0)
    weights = {law.name: law.weight for law in fit.laws}
    assert set(weights) == set(COVERAGE_LAWS)
    assert weights["two_cluster"] > 0.99
    assert np.nansum(list(weights.values())) == pytest.approx(1)
    assert fit.selected == "pooled"
    errors = {law.name: law.heldout_error for law in fit.laws}
    assert errors["two_cluster"] == min(errors.values())


def test_json_has_the_promised_keys_and_no_nan():
    n, c, _ = pool(50, 40, seed=4)
    record = fit_coverage(n, c, n_bootstrap=50, fit_up_to=20).to_json([10, 1_000], epsilon=0.005)
    text = json.dumps(record, allow_nan=False)
    again = json.loads(text)
    assert {"laws", "saturation", "extrapolation", "asymptote", "checklist", "notes"} <= set(again)
    assert set(again["saturation"]) >= {"n", "low", "high", "epsilon", "reason"}
    assert [row["k"] for row in again["extrapolation"]] == [10, 1_000]
    assert [row["extrapolated"] for row in again["extrapolation"]] == [False, True]
    assert sum(law["selected"] for law in again["laws"]) == 1
    for law in again["laws"]:
        assert {"family", "parameters", "heldout_error", "selected"} <= set(law)
        for e in law["parameters"].values():
            assert e["low"] <= e["high"]
    checks = again["checklist"]
    asked = {"forms", "unit_of_budget", "data", "fitted_range", "dropped_points", "loss"}
    asked |= {"optimiser", "starts", "bounds", "weights", "validation", "uncertainty"}
    assert asked <= set(checks)
    assert checks["fitted_range"] == [1, 20]
    assert any("k <= 20 only" in note for note in again["notes"])


def test_different_n_per_problem_is_used_and_said():
    rng = np.random.default_rng(0)
    n = rng.integers(20, 200, 80)
    c = rng.binomial(n, rng.beta(0.5, 2, 80))
    fit = fit_coverage(n, c, n_bootstrap=0)
    assert any("samples; mixing laws weigh" in note for note in fit.notes)
    assert any("closed-form laws" in text for text in fit.checklist["dropped_points"])
    weights = {law.name: law.weight for law in fit.laws}
    assert not weights["exponentiated_power"] > 0, "its curve ends at the smallest pool"
    assert 0 < fit.predict(1).value[0] < fit.predict(500).value[0] < 1


def test_never_solved_problems_are_named_and_not_called_impossible():
    n, c, _ = pool(128, 50, seed=0, alpha=0.25)
    fit = fit_coverage(n, c, n_bootstrap=0)
    assert any("never solved" in note for note in fit.notes)
    assert any("not identified" in note for note in fit.notes)
    asymptote = fit.asymptote()
    assert not asymptote.identified
    assert "not identified" in str(asymptote.reason)


def test_impossible_problems_are_found_where_the_counts_show_them():
    rng = np.random.default_rng(0)
    p = np.where(rng.random(300) < 0.3, 0.0, rng.beta(6, 6, 300))
    solvable = (p > 0).mean()
    fit = fit_coverage(np.full(300, 500), rng.binomial(500, p), n_bootstrap=100)
    asymptote = fit.asymptote()
    assert asymptote.low < solvable < asymptote.high
    assert not asymptote.identified, "500 samples cannot tell 0 from 0.0001"
    law = {law.name: law for law in fit.laws}["zero_inflated_beta"]
    unsolvable = law.parameters()["unsolvable"]
    assert unsolvable.low < 1 - solvable < unsolvable.high


@pytest.mark.parametrize("law", ["exponentiated_power", "sigmoid", "power_to_asymptote"])
def test_closed_forms_of_coverage(law):
    n, c, _ = pool(100, 100, seed=6)
    fit = fit_coverage(n, c, law=law, n_bootstrap=50)
    prediction = fit.predict([10, 100])
    observed = pass_at_k(n[:, None], c[:, None], [10, 100]).mean(axis=0)
    assert fit.selected == law
    np.testing.assert_allclose(prediction.value, observed, atol=0.03)
    assert np.all(prediction.low < prediction.high)


def test_majority_curves_reach_the_share_of_right_modes():
    from ttscale.laws.majority import majority_right

    rng = np.random.default_rng(0)
    p = rng.beta(3, 2, 2_000)
    ks = np.arange(1, 64, 2)
    fit = fit_curve(majority_right(p[:, None], ks), ks, selector="majority", n_bootstrap=200)
    laws = {law.name: law for law in fit.laws}
    limit = laws["majority_mixture"].limits(laws["majority_mixture"].free[None])[0]
    assert limit == pytest.approx((p > 0.5).mean(), abs=0.02)
    for law in ("offset_one_over_k", "majority_mixture"):
        end = fit_curve(majority_right(p[:, None], ks), ks, law=law, n_bootstrap=200).asymptote()
        assert end.low < end.value < end.high
        assert end.identified
        assert end.value == pytest.approx((p > 0.5).mean(), abs=0.02)


def test_a_curve_that_turns_down_is_said_to():
    rng = np.random.default_rng(0)
    ks = np.unique(np.geomspace(1, 256, 30).round())
    d = np.sqrt(np.log(ks) - (ks - 1) / ks)
    level = rng.normal(0.35, 0.05, (200, 1))
    matrix = np.clip(level + 0.25 * d - 0.09 * d**2, 0, 1)
    fit = fit_curve(matrix, ks, selector="best_of_k", n_bootstrap=200)
    assert fit.peak is not None
    assert fit.peak.turns_down
    assert any("turns down" in note for note in fit.notes)
    assert fit.selected == "overoptimization"
    assert fit.peak.k == ks[matrix.mean(axis=0).argmax()]
    assert not fit.asymptote().identified
    saturation = fit.saturation(0.001)
    assert saturation.n is not None
    assert saturation.n <= fit.peak.k
    rising = fit_curve(np.clip(level + 0.1 * d, 0, 1), ks, selector="best_of_k", n_bootstrap=50)
    assert rising.peak is not None
    assert not rising.peak.turns_down


def test_columns_beyond_a_problems_samples_are_left_out_and_said():
    ks = np.arange(1, 21)
    curve = 0.8 - 0.4 / ks
    matrix = np.clip(curve + np.random.default_rng(0).normal(0, 0.05, (30, 1)), 0, 1)
    matrix[0, 15:] = np.nan
    fit = fit_curve(matrix, ks, n_bootstrap=20)
    assert fit.fitted_to == 15
    assert any("left out" in note for note in fit.notes)
    assert fit_curve(matrix, ks, fit_up_to=10, n_bootstrap=0).fitted_to == 10


def test_points_of_any_budget():
    flops = np.geomspace(1e12, 1e16, 15)
    accuracy = 0.1 + 0.6 / (1 + np.exp(-1.1 * (np.log(flops) - np.log(1e14))))
    fit = fit_points(flops, accuracy, unit="FLOPs", n_bootstrap=100)
    assert fit.selected == "sigmoid"
    values = {k: e.value for k, e in fit.laws[0].parameters().items()}
    assert values["U"] == pytest.approx(0.7, abs=0.01)
    assert values["m"] == pytest.approx(np.log(1e14), abs=0.05)
    assert fit.checklist["unit_of_budget"] == "FLOPs"


def test_the_catalogue_names_every_law():
    assert set(COVERAGE_LAWS) <= set(law_names())
    assert {"pooled", "parscale", *MIXING} <= set(law_names())
