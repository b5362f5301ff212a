"""The transform behind majority@k equals enumeration, exact fractions, scorio and conservation."""

from fractions import Fraction
from itertools import combinations, permutations, product
from math import comb

import numpy as np
import pytest
import scorio
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscale.errors import InputError
from ttscale.stats import g_pass_at_k, majority_at_k, majority_at_k_iid, majority_limit, plurality
from ttscale.stats.plurality import _tie_rule

ABSTAIN = -1


def vote(answers, right):
    """Chance that `right` wins among these answers, ties broken uniformly."""
    counts = {a: answers.count(a) for a in answers if a != ABSTAIN}
    leaders = [a for a in counts if counts[a] == max(counts.values())]
    return (right in leaders) / max(len(leaders), 1)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(0, 3), st.data())
def test_every_k_equals_enumeration_over_all_subsets(counts, n_abstain, data):
    counts = counts[:4] if sum(counts) + n_abstain > 12 else counts
    pool = [c for c, size in enumerate(counts) for _ in range(size)] + [ABSTAIN] * n_abstain
    pool = pool[:9]
    counts, n_abstain = [pool.count(c) for c in range(len(counts))], pool.count(ABSTAIN)
    right = data.draw(st.integers(0, len(counts) - 1))
    ks = np.arange(1, len(pool) + 2)
    values = majority_at_k(counts, right, ks, n_abstain)
    for k, value in zip(ks[:-1], values, strict=False):
        expected = np.mean([vote(subset, right) for subset in combinations(pool, int(k))])
        assert value == pytest.approx(expected, abs=1e-10)
    assert np.isnan(values[-1])


def test_check_values():
    ks = [1, 2, 3, 4, 5, 8, 10]
    for counts, n_abstain, expected in (
        ([4, 3, 2, 1], 0, [2 / 5, 2 / 5, 41 / 90, 109 / 210, 47 / 84, 11 / 15, 1]),
        ([3, 4, 2, 1], 0, [3 / 10, 3 / 10, 3 / 10, 131 / 420, 53 / 168, 4 / 15, 0]),
        ([4, 3, 1], 2, [2 / 5, 22 / 45, 8 / 15, 61 / 105, 157 / 252, 11 / 15, 1]),
    ):
        assert majority_at_k(counts, 0, ks, n_abstain) == pytest.approx(expected, abs=1e-10)
    expected = [3 / 8, 11 / 28, 37 / 91, 43 / 104, 584 / 1287, 1]
    assert majority_at_k([6, 5, 5], 0, [2, 3, 4, 5, 8, 16]) == pytest.approx(expected, abs=1e-10)


def test_check_values_of_infinite_pools():
    values = majority_at_k_iid([0.4, 0.35, 0.25], 0, [1, 2, 3, 4, 5, 10, 20])
    expected = [0.4, 0.4, 0.422, 0.436, 0.44344, 0.488, 0.54193]
    assert values == pytest.approx(expected, abs=1e-6)
    values = majority_at_k_iid([0.3, 0.45, 0.25], 0, [3, 5, 10, 20])
    assert values == pytest.approx([0.2835, 0.269392, 0.235546, 0.187256], abs=1e-6)
    values = majority_at_k_iid([0.3, 0.2], 0, [2, 3, 5], p_unrepeated=0.5)
    assert values == pytest.approx([0.3, 0.351, 0.48633], abs=1e-6)
    missed = 1 - majority_at_k_iid([0.5, 0.3, 0.2], 0, [20, 40, 80])
    assert missed == pytest.approx([0.176702, 0.0801329, 0.0214851], abs=1e-6)
    decay = -np.diff(np.log(1 - majority_at_k_iid([0.5, 0.3, 0.2], 0, [400, 800]))) / 400
    assert decay[0] == pytest.approx(0.0257316, abs=0.002)


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.integers(0, 2),
    st.integers(1, 5),
)
@settings(max_examples=50)
def test_an_infinite_pool_equals_enumeration_over_all_sequences(sizes, abstain, k):
    total = sum(sizes) + abstain
    chance = dict(enumerate(np.array(sizes) / total)) | {ABSTAIN: abstain / total}
    expected = sum(
        np.prod([chance[a] for a in answers]) * vote(answers, 0)
        for answers in product(chance, repeat=k)
    )
    value = majority_at_k_iid(np.array(sizes) / total, 0, k, p_abstain=abstain / total)
    assert value == pytest.approx(expected, abs=1e-10)


def test_unrepeated_answers_are_the_limit_of_many_equal_classes():
    many = np.concatenate([[0.1, 0.05], np.full(20_000, 0.85 / 20_000)])
    ks = [1, 2, 5, 30]
    limit = majority_at_k_iid([0.1, 0.05], 0, ks, p_unrepeated=0.85)
    assert majority_at_k_iid(many, 0, ks) == pytest.approx(limit, abs=3e-2)
    assert majority_at_k_iid(many, 0, ks)[:3] == pytest.approx(limit[:3], abs=2e-3)


def exact_majority(counts, right, k, n_abstain=0):
    """The generating function of FORMULAS 1.2 in exact fractions."""
    total = Fraction(0)
    for m in range(1, min(counts[right], k) + 1):
        ways = {(r, 0): comb(n_abstain, r) for r in range(min(n_abstain, k - m) + 1)}
        for c in (size for j, size in enumerate(counts) if j != right):
            grown = {}
            for (used, ties), number in ways.items():
                for x in range(min(c, m, k - m - used) + 1):
                    key = (used + x, ties + (x == m))
                    grown[key] = grown.get(key, 0) + number * comb(c, x)
            ways = grown
        wins = sum(Fraction(w, 1 + t) for (used, t), w in ways.items() if used == k - m)
        total += comb(counts[right], m) * wins
    return float(total / comb(sum(counts) + n_abstain, k))


@pytest.mark.parametrize("seed", range(12))
def test_mixed_pools_against_exact_fractions(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, [3, 30, 12][seed % 3], rng.integers(2, 10)) + (np.arange(1) == 0)
    n_abstain = int(rng.integers(0, 20))
    n = int(counts.sum()) + n_abstain
    for k in {1, 2, 3, n // 4 + 1, n // 2 + 1, n - 1, n} - {0}:
        expected = exact_majority(counts.tolist(), 0, int(k), n_abstain)
        assert majority_at_k(counts, 0, k, n_abstain) == pytest.approx(expected, abs=1e-10)


def test_the_chances_of_all_classes_add_up():
    """Somebody wins unless all abstain: a sum rule that no enumeration could check at this size."""
    rng = np.random.default_rng(3)
    counts = np.unique(rng.zipf(1.3, 800).clip(max=5000), return_counts=True)[1]
    each = np.tile(counts, (len(counts), 1))
    n_abstain = 200
    ks = np.array([1, 2, 3, 10, 60, 300, 900])
    chances = majority_at_k(each, np.arange(len(counts)), ks, n_abstain)
    nobody = [comb(n_abstain, int(k)) / comb(int(counts.sum()) + n_abstain, int(k)) for k in ks]
    assert chances.sum(axis=0) == pytest.approx(1 - np.array(nobody), abs=1e-9)
    chances = majority_at_k_iid(each / (counts.sum() + 200), np.arange(len(counts)), ks, 200 / 1000)
    assert chances.sum(axis=0) == pytest.approx(1 - 0.2**ks, abs=1e-9)


def test_only_single_answers_tie_all_the_way():
    ones = np.ones(3000)
    assert majority_at_k(ones, 0, [1, 2, 50, 1000, 3000]) == pytest.approx(1 / 3000, abs=1e-9)


@pytest.mark.parametrize("ties", [0, 1, 2, 5, 17, 60, 200, 1000, 4000])
def test_the_nodes_integrate_every_tie_count(ties):
    m, u, weight = _tie_rule(k=ties + 1, m_first=1, m_last=1, n_rivals=ties, at_most=10_000)
    assert set(m) == {1}
    for t in {0, 1, ties // 2, ties}:
        assert weight @ u**t == pytest.approx(1 / (1 + t), abs=1e-10)


def test_problems_of_different_size_in_one_call():
    rows = [[5, 3], [1, 1, 1, 1], [40, 41, 2], [0, 7]]
    ks = np.array([1, 3, 4, 50])
    values = majority_at_k(rows, [0, 2, 0, 0], ks, [0, 2, 1, 0])
    for row, right, abstain, value in zip(rows, [0, 2, 0, 0], [0, 2, 1, 0], values, strict=True):
        assert value == pytest.approx(
            majority_at_k(row, right, ks, abstain), abs=1e-11, nan_ok=True
        )
    assert np.isnan(values[0, 3])
    assert values[3, :3].tolist() == [0, 0, 0]
    nearly_alike = [[60 + i, 55, 20] for i in range(60)]
    together = majority_at_k(nearly_alike, 0, [5, 70, 130])
    assert together[37] == pytest.approx(
        majority_at_k(nearly_alike[37], 0, [5, 70, 130]), abs=1e-10
    )


def test_one_and_two_votes_are_plain_accuracy():
    counts = [7, 9, 4, 1, 1]
    assert majority_at_k(counts, 0, [1, 2]) == pytest.approx(7 / 22)


def test_scorio_agrees():
    # Two classes and odd k: plurality is scorio's strict majority of right answers.
    rng = np.random.default_rng(5)
    outcomes = (rng.random((10, 25)) < rng.random((10, 1))).astype(int)
    c = outcomes.sum(axis=1)
    for k in (1, 5, 25):
        values = majority_at_k(np.stack([c, 25 - c], axis=1), 0, k)
        assert values.mean() == pytest.approx(scorio.eval.maj_at_k(outcomes, k), abs=1e-10)
        assert values == pytest.approx(g_pass_at_k(25, c, k, (k // 2 + 1) / k), abs=1e-10)
    # More classes: scorio breaks ties by first appearance, which over all orders is uniform.
    pool = [0, 0, 1, 1, 2, None]
    for k in (2, 3, 4, 5):
        votes = [scorio.agg.majority_vote(list(order)) == 0 for order in permutations(pool, k)]
        assert majority_at_k([2, 2, 1], 0, k, 1) == pytest.approx(np.mean(votes), abs=1e-10)


def test_limit():
    assert majority_limit([[3, 2, 1], [2, 2, 1], [1, 2, 0], [0, 0, 0]], 0).tolist() == [
        1,
        0.5,
        0,
        0,
    ]
    assert majority_limit([0.4, 0.4, 0.2], 1) == 0.5
    assert majority_at_k_iid([0.4, 0.35, 0.25], 0, 20_000) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (([3, -1], 0, 1), "class_counts[1]"),
        (([3, 1.5], 0, 1), "class_counts[1]"),
        (([3, 1], 2, 1), "correct_class"),
        (([3, 1], 0, 0), "k"),
        (([3, 1], 0, 1, -1), "n_abstain"),
        (([[3, 1], [2, 2]], [0, 1, 0], 1), "correct_class"),
        (([[3, 1], [2, 2]], [0, 1], 1, [1, 2, 3]), "n_abstain"),
        (([3, 1], 0, 1, [1, 2]), "n_abstain"),
        (([[[3, 1]]], 0, 1), "class_counts"),
        (([[[3, 1]], [2]], 0, 1), "class_counts"),
        (([[3, "x"], [2]], 0, 1), "class_counts"),
    ],
)
def test_bad_input(arguments, where):
    with pytest.raises(InputError) as error:
        majority_at_k(*arguments)
    assert error.value.where == where


def test_probabilities_must_add_up():
    with pytest.raises(InputError, match="add up to 1"):
        majority_at_k_iid([0.5, 0.3], 0, 3)


@pytest.mark.parametrize("k", [1, 7, 60, 350, 400])
def test_shortcuts_and_parts_change_nothing(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    counts = rng.multinomial(400, rng.dirichlet(np.full(6, 0.4), 40))
    chances = rng.dirichlet(np.full(6, 0.4), 40)
    found = majority_at_k(counts, np.zeros(40, int), k), majority_at_k_iid(chances, 0, k)
    decided = plurality._decided
    n_sure = []

    def undecided(votes: plurality.Ballots, thinning: plurality.Thinning) -> plurality.FloatArray:
        n_sure.append(np.isfinite(decided(votes, thinning)).sum())
        return np.full(len(votes.own), np.nan)

    monkeypatch.setattr(plurality, "_decided", undecided)
    whole = majority_at_k(counts, np.zeros(40, int), k), majority_at_k_iid(chances, 0, k)
    assert sum(n_sure) > 0 or k < 350, "some problems are decided beforehand at a large k"
    monkeypatch.setattr(plurality, "_CELLS", 50)
    parts = majority_at_k(counts, np.zeros(40, int), k), majority_at_k_iid(chances, 0, k)
    for one, two, three in zip(found, whole, parts, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=2e-10)
        np.testing.assert_allclose(three, two, rtol=0, atol=2e-10)
