"""Coverage laws are distributions of p: closed forms, likelihoods, gradients, quadrature."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaln, gammaln, logsumexp

from ttscale.laws.families import MIXING
from ttscale.laws.grid import grid_for
from ttscale.laws.likelihood import CountTable

KS = np.array([1.0, 10, 100, 1_000, 10_000])

# 1 - coverage at 1, 10, 100, 1,000, 10,000.
FAILURES = {
    ("beta", (0.3, 3.5)): (0.921053, 0.652044, 0.351513, 0.177653, 0.0891132),
    ("beta", (0.5, 1.5)): (0.75, 0.336376, 0.112139, 0.0356602, 0.0112831),
    ("beta", (1.0, 3.0)): (0.75, 0.230769, 0.0291262, 0.00299103, 0.00029991),
    ("scaled_beta", (0.3, 3.5, 0.2)): (0.9842105, 0.8736691, 0.5536394, 0.2870567, 0.1443786),
    ("scaled_beta", (0.5, 1.5, 0.5)): (0.875, 0.4638352, 0.1581926, 0.05041853, 0.0159563),
    ("kumaraswamy", (0.3, 3.5)): (0.9701505, 0.8333413, 0.5738537, 0.3375615, 0.183151),
    ("kumaraswamy", (0.5, 2.0)): (0.8333333, 0.4496113, 0.1666832, 0.0550299, 0.01762388),
    ("scaled_kumaraswamy", (0.5, 2.0, 0.2)): (
        0.9666667,
        0.7587614,
        0.3453492,
        0.1202894,
        0.03913184,
    ),
}

# n_samples, n_correct, alpha, beta, scale: minus log-likelihood, checked to 120 digits.
LIKELIHOODS = {
    (10_000, 122, 0.5, 3.5, 0.25): 6.4222182983,
    (200, 7, 0.5, 3.5, 0.25): 3.3260269360,
    (100, 3, 0.5, 3.5, 0.4): 2.6414100893,
    (1_000, 0, 0.3, 2.0, 0.1): 1.2305571512,
    (10, 10, 2.0, 3.0, 1.0): 4.5108595065,
    (100, 3, 0.5, 3.5, 1.0): 2.9657648343,
    (10_000, 122, 0.3, 20.0, 1.0): 6.5627034654,
}


def free_of(name: str, values: tuple[float, ...]) -> np.ndarray:
    return MIXING[name].free(np.array(values))


@pytest.mark.parametrize(("law", "expected"), FAILURES.items())
def test_coverage_equals_the_reference_values(law, expected):
    name, values = law
    failure = MIXING[name].failure(grid_for(10_000), free_of(name, values)[None], KS)[0]
    np.testing.assert_allclose(failure, expected, rtol=6e-6)


@given(st.floats(0.05, 5), st.floats(0.2, 50), st.integers(1, 100_000))
@settings(max_examples=60)
def test_beta_coverage_is_its_closed_form(alpha, beta, k):
    failure = MIXING["beta"].failure(grid_for(1_000), np.log([[alpha, beta]]), np.array([float(k)]))
    exact = np.exp(betaln(alpha, beta + k) - betaln(alpha, beta))
    np.testing.assert_allclose(failure[0, 0], exact, rtol=1e-7, atol=1e-12)


def test_failing_with_probability_beta_swaps_the_parameters():
    """Levi's law for the failure probability is the same law of success, read backwards."""
    coverage = 1 - MIXING["beta"].failure(grid_for(1_000), np.log([[0.3, 4.0]]), KS[:4])[0]
    np.testing.assert_allclose(coverage, [0.069767, 0.326267, 0.633239, 0.814399], atol=6e-7)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.3, 3.5), (0.3811, 0.3869, 0.3452, 0.3213, 0.3102, 0.3050)),
        ((0.1, 80.0), (0.1776, 0.2413, 0.2385, 0.1866, 0.1532, 0.1353)),
    ],
)
def test_exponent_at_finite_k_is_not_the_tail_exponent(values, expected):
    ks = 10.0 ** np.arange(7)
    failure = MIXING["beta"].failure(grid_for(1_000), np.log([values]), ks)[0]
    exponent = -np.diff(np.log(-np.log1p(-failure))) / np.log(10)
    np.testing.assert_allclose(exponent, expected, atol=1.01e-4)


@pytest.mark.parametrize(("case", "expected"), LIKELIHOODS.items())
def test_likelihood_of_counts_equals_the_reference_values(case, expected):
    n, c, *values = case
    name = "scaled_beta" if values[-1] < 1 else "beta"
    law = tuple(values) if values[-1] < 1 else tuple(values[:2])
    found = MIXING[name].log_likelihood(free_of(name, law), n, c)
    assert -found == pytest.approx(expected, abs=2e-9)


@given(
    st.integers(1, 60),
    st.floats(0, 1),
    st.floats(0.1, 4),
    st.floats(0.3, 20),
    st.floats(0.05, 0.99),
)
@settings(max_examples=60)
def test_scaled_likelihood_is_a_thinned_beta_binomial(n, share, alpha, beta, scale):
    """c of n at p = s X is m of n at X, of which c are kept with chance s: a finite exact sum."""
    c = round(share * n)
    m = np.arange(c, n + 1)
    first = gammaln(n + 1) - gammaln(m + 1) - gammaln(n - m + 1)
    first = first + betaln(m + alpha, n - m + beta) - betaln(alpha, beta)
    second = gammaln(m + 1) - gammaln(c + 1) - gammaln(m - c + 1)
    second = second + c * np.log(scale) + (m - c) * np.log1p(-scale)
    exact = logsumexp(first + second)
    found = MIXING["scaled_beta"].log_likelihood(free_of("scaled_beta", (alpha, beta, scale)), n, c)
    assert found == pytest.approx(exact, abs=1e-7)


@pytest.mark.parametrize("name", MIXING)
def test_a_law_is_a_distribution_with_true_gradients(name):
    family, rng = MIXING[name], np.random.default_rng(3)
    table = CountTable.of(np.full(30, 40), rng.binomial(40, rng.beta(0.5, 2, 30)))
    free = family.centre + 0.3 * rng.standard_normal((3, len(family.parameters)))
    weights, _ = family.on_nodes(table.grid, free)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
    objective = table.objective(family, np.repeat((table.n_problems @ table.cells)[None], 3, 0))
    rows = np.arange(3)
    _, gradient, curvature = objective(free, rows)
    for d in range(free.shape[1]):
        step = np.zeros_like(free)
        step[:, d] = 1e-5
        slope = (objective(free + step, rows)[0] - objective(free - step, rows)[0]) / 2e-5
        np.testing.assert_allclose(gradient[:, d], slope, rtol=2e-4, atol=2e-4)
    assert np.all(np.linalg.eigvalsh(curvature) > 0)


@pytest.mark.parametrize("name", MIXING)
@pytest.mark.parametrize("n", [50, 400])
def test_interpolated_and_exact_likelihoods_agree(name, n):
    """The table that all fits share errs little where a law puts its counts."""
    family = MIXING[name]
    free = family.centre[None]
    log_q, weights, _ = family.places(grid_for(n), free)
    p = np.random.default_rng(0).choice(-np.expm1(log_q[0]), 40, p=weights[0] / weights.sum())
    counts = np.random.default_rng(1).binomial(n, p)
    shared = CountTable.of(np.full(40, n), counts).log_likelihood(family, free)[0]
    exact = sum(family.log_likelihood(free[0], n, int(c)) for c in counts)
    assert shared == pytest.approx(exact, abs=0.01)


def test_parameters_go_to_the_free_scale_and_back():
    for family in MIXING.values():
        values = family.values(family.centre[None])
        np.testing.assert_allclose(family.free(values)[0], family.centre, rtol=1e-9)


def test_clusters_are_named_easy_and_hard():
    family = MIXING["two_cluster"]
    swapped = family.free(np.array([[0.01, 50.0, 0.5, 8.0, 0.3]]))
    tidy = family.values(family.tidy(swapped))[0]
    np.testing.assert_allclose(tidy, [0.5, 8.0, 0.01, 50.0, 0.7], rtol=1e-9)
    grid = grid_for(100)
    np.testing.assert_allclose(
        family.failure(grid, swapped, KS), family.failure(grid, family.tidy(swapped), KS)
    )


def test_a_fit_up_to_k_sees_the_average_over_subsets():
    """The cells of a thinned table are the hypergeometric chances of k-subsets."""
    from itertools import combinations

    outcomes = np.array([1, 1, 0, 0, 0, 0])
    table = CountTable.of(np.array([6]), np.array([2]), fit_up_to=3)
    subsets = [outcomes[list(s)].sum() for s in combinations(range(6), 3)]
    for share, n, c in zip(table.cells[0], table.n_samples, table.n_correct, strict=True):
        assert n == 3
        assert share == pytest.approx(np.mean(np.array(subsets) == c), abs=1e-12)
    assert table.cells.sum() == pytest.approx(1)


def test_problems_with_fewer_samples_keep_their_counts():
    table = CountTable.of(np.array([6, 2, 2]), np.array([2, 1, 0]), fit_up_to=3)
    np.testing.assert_allclose(table.cells.sum(axis=1), 1)
    own = {(n, c) for n, c in zip(table.n_samples, table.n_correct, strict=True) if n == 2}
    assert own == {(2, 0), (2, 1)}
