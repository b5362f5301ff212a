"""Imperfect verifiers, majority's limit and ParScale: the reference values, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import betainc

from ttscale.errors import InputError
from ttscale.laws import CURVES, ImperfectVerifier, fit_parscale
from ttscale.laws.majority import (
    correlated_majority,
    critical_fidelity,
    effective_votes,
    majority_approach,
    majority_right,
    modal_right_share,
    signal_gain,
    votes_for_gap,
)

SETTING = ImperfectVerifier((0.87, 0.13), (0.58, 0.42), completeness=1.0, soundness=0.75)

# V_f: EV(1..4), best K, limit; published EV(1..4).
VALUES = {
    0.0: ((0.5592, 0.64402, 0.67207, 0.68770), np.inf, 0.71624,
          (0.5592, 0.70226, 0.76514, 0.80203)),
    -0.7: ((0.48206, 0.52387, 0.52457, 0.52243), 3, 0.51760, (0.48206, 0.55258, 0.55413, 0.54908)),
    -1.0: ((0.449, 0.47238, 0.46135, 0.45159), 2, 0.43247, (0.449, 0.48843, 0.4637, 0.44068)),
    -2.0: ((0.3388, 0.30074, 0.25064, 0.21548), 1, 0.14871, (0.3388, 0.27461, 0.16227, 0.07934)),
    -4.0: ((0.1184, -0.04255, -0.17079, -0.25674), 1, -0.41882,
           (0.1184, -0.15305, -0.4406, -0.64336)),
}  # fmt: skip


@pytest.mark.parametrize(("wrong", "expected"), VALUES.items())
def test_expected_values_of_the_reference_setting(wrong, expected):
    prior, best_k, limit, published = expected
    np.testing.assert_allclose(SETTING.value([1, 2, 3, 4], wrong), prior, atol=6e-6)
    assert SETTING.best_attempts(wrong) == best_k
    assert SETTING.value(np.inf, wrong) == pytest.approx(limit, abs=6e-6)
    found = [SETTING.published_value(k, wrong) for k in (1, 2, 3, 4)]
    np.testing.assert_allclose(found, published, atol=6e-6)


def test_precision_cost_and_a_perfect_verifier():
    np.testing.assert_allclose(SETTING.precision(), [0.963989, 0.374101], atol=6e-7)
    assert SETTING.best_attempts(-0.7, cost=0.05) == 2
    assert SETTING.value(2, -0.7, cost=0.05) == pytest.approx(0.45734, abs=6e-6)
    perfect = ImperfectVerifier((0.87, 0.13), (0.58, 0.42))
    expected = [0.5592, 0.6723, 0.759217, 0.862151, 0.954756]
    np.testing.assert_allclose(perfect.outcome([1, 2, 4, 8, 16]).right, expected, atol=6e-7)


def test_tasks_that_are_never_solved_are_worth_nothing_without_limit():
    verifier = ImperfectVerifier([0.5, 0.0], [0.5, 0.5])
    assert verifier.value([1, np.inf], wrong=-1.0).tolist() == [0.25, 0.5]
    assert verifier.value(np.inf, wrong=-1.0, cost=0.1) == -np.inf


def test_outcomes_agree_with_simulation():
    verifier = ImperfectVerifier((0.6, 0.1), (0.5, 0.5), completeness=0.8, soundness=0.7)
    rng, n, attempts = np.random.default_rng(0), 200_000, 3
    accuracy = np.where(rng.random(n) < 0.5, 0.6, 0.1)
    done, right = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    for _ in range(attempts):
        correct = rng.random(n) < accuracy
        accepted = rng.random(n) < np.where(correct, 0.8, 0.3)
        right |= accepted & correct & ~done
        done |= accepted
    outcome = verifier.outcome(attempts)
    assert outcome.right == pytest.approx(right.mean(), abs=0.005)
    assert outcome.none == pytest.approx(1 - done.mean(), abs=0.005)
    assert sum(outcome) == pytest.approx(1)


@pytest.mark.parametrize(
    ("law", "limit", "at", "gap", "c"),
    [
        ((3, 2), 0.6875, (0.6, 0.628571, 0.657343, 0.683911), 0.37369, 0.375),
        ((2, 3), 0.3125, (0.4, 0.371429, 0.342657, 0.316089), -0.37369, -0.375),
        ((4, 2), 0.8125, (0.666667, 0.714286, 0.762238, 0.806519), 0.62282, 0.625),
    ],
)
def test_majority_of_two_answers_over_problems(law, limit, at, gap, c):
    family = CURVES["majority_mixture"]
    free = family.free(np.array([law], dtype=float))
    found = family.curve(free, np.array([1.0, 3, 9, 101, 1001]))[0]
    np.testing.assert_allclose(found[:4], at, atol=6e-7)
    assert 1001 * (limit - found[4]) == pytest.approx(gap, abs=2e-5)
    assert modal_right_share(*law) == pytest.approx(limit)
    assert family.limit(free)[0] == pytest.approx(limit)
    assert majority_approach(*law) == pytest.approx(c)
    assert votes_for_gap(c, 0.01) == pytest.approx(abs(c) * 100)


def test_majority_and_correlated_votes():
    np.testing.assert_allclose(
        [majority_right(0.6, b) for b in (3, 5, 7)], [0.648, 0.68256, 0.710208]
    )
    assert majority_right(0.7, 5) == pytest.approx(0.83692)
    assert majority_right(0.6, 4) == majority_right(0.6, 3), "an even vote equals one vote less"
    assert correlated_majority(0.6, 5, 0.2) == pytest.approx(0.666048)
    found = [critical_fidelity(5, rho) for rho in (0, 0.2, 0.5)]
    np.testing.assert_allclose(found, [0.533333, 0.588235, 0.695652], atol=6e-7)
    np.testing.assert_allclose([signal_gain(b) for b in (3, 5, 7, 9)], [1.5, 1.875, 2.1875, 2.4609],
                               atol=5e-5)  # fmt: skip
    assert effective_votes(1e9, 0.1) == pytest.approx(10)
    assert betainc(2, 2, 0.6) == pytest.approx(majority_right(0.6, 3))


N = (
    (535813376, 693753856, 1088376320, 1571472384, 2774773760, 4353203200),
    (538195842, 696738818, 1092762882, 1577522690, 2784937986, 4368529922),
    (540577412, 699722756, 1097148164, 1583571460, 2795100164, 4383854084),
    (545340552, 705690632, 1105918728, 1595669000, 2815424520, 4414502408),
)
STACK = (
    (1.1722, 1.1496, 1.1131, 1.0817, 1.0451, 1.0213),
    (1.1507, 1.1262, 1.0940, 1.0623, 1.0244, 1.0025),
    (1.1354, 1.1124, 1.0808, 1.0490, 1.0126, 0.9906),
    (1.1231, 1.0997, 1.0688, 1.0383, 1.0016, 0.9794),
)
PILE = (
    (2.1113, 2.0671, 2.0027, 1.9539, 1.8876, 1.8451),
    (2.0772, 2.0363, 1.9730, 1.9266, 1.8610, 1.8137),
    (2.0544, 2.0128, 1.9509, 1.9040, 1.8394, 1.7938),
    (2.0364, 1.9933, 1.9318, 1.8856, 1.8218, 1.7772),
)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        (STACK, (0.691207, 0.0113071, 0.189358, 0.393457, 3.676741e-5, 0.997833)),
        (PILE, (1.288588, 0.197517, 0.196281, 0.334442, 1.813932e-5, 0.998676)),
    ],
)
def test_parscale_fit_of_the_published_losses(losses, expected):
    law = fit_parscale(np.ravel(N), np.repeat([1, 2, 4, 8], 6), np.ravel(losses))
    E, A, alpha, k, objective, r_squared = expected
    assert pytest.approx(E, abs=5e-4) == law.E
    assert pytest.approx(A, rel=5e-3) == law.A
    assert law.alpha == pytest.approx(alpha, abs=2e-4)
    assert law.k == pytest.approx(k, abs=5e-4)
    assert law.objective == pytest.approx(objective, rel=1e-5)
    assert law.r_squared == pytest.approx(r_squared, abs=1e-6)
    assert law.n_reached > 1
    assert law.equivalent_parameters(1e9, 1) == 1e9
    assert law.loss(1e9, 8) < law.loss(1e9, 1)


def test_parscale_refuses_what_it_cannot_fit():
    with pytest.raises(InputError, match="at least 5 runs"):
        fit_parscale([1e9] * 4, [1, 2, 4, 8], [1.0, 0.9, 0.8, 0.7])
    with pytest.raises(InputError, match="above zero"):
        fit_parscale([1e9] * 6, [1, 2, 4, 8, 1, 0], [1.0] * 6)
