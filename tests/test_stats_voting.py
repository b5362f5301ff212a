"""Weighted votes equal enumeration where listed, and lie within their stated error where drawn."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscale.errors import InputError
from ttscale.stats import best_of_k, majority_at_k, weighted_majority_at_k

SAMPLE = st.tuples(
    st.integers(-1, 3), st.sampled_from([0.25, 0.5, 1.0, -0.5, float("nan")]), st.booleans()
)


def weighted_vote(subset, share):
    sums = {}
    for answer, weight, _ in subset:
        if answer >= 0 and not np.isnan(weight):
            sums[answer] = sums.get(answer, 0.0) + weight
    winners = [share[answer] for answer in sums if sums[answer] == max(sums.values())]
    return np.mean(winners) if winners else 0.0


@given(st.lists(SAMPLE, min_size=1, max_size=8))
def test_every_k_equals_enumeration(pool):
    answers, weights, correct = (list(column) for column in zip(*pool, strict=True))
    share = {a: np.mean([r for b, _, r in pool if b == a]) for a in answers}
    ks = np.arange(1, len(pool) + 2)
    found = weighted_majority_at_k(answers, weights, correct, ks, np.random.default_rng(0))
    for k, value in zip(ks[:-1], found.value, strict=False):
        votes = [weighted_vote(subset, share) for subset in combinations(pool, int(k))]
        assert value == pytest.approx(np.mean(votes), abs=1e-12)
    assert found.standard_error[:-1].tolist() == [0.0] * len(pool)
    assert np.isnan(found.value[-1])


def draw_pool(rng, n=60):
    answers = rng.choice([-1, 0, 1, 2, 3], n, p=[0.1, 0.35, 0.35, 0.1, 0.1])
    return answers, answers == 0


def test_equal_weights_are_majority_within_the_stated_error():
    rng = np.random.default_rng(0)
    ks = np.array([1, 3, 10, 30, 50])
    deviations = []
    for _ in range(40):
        answers, correct = draw_pool(rng)
        counts = np.bincount(answers[answers >= 0], minlength=4)
        exact = majority_at_k(counts, 0, ks, int((answers < 0).sum()))
        found = weighted_majority_at_k(answers, np.ones(60), correct, ks, rng, n_resamples=400)
        assert found.value[0] == pytest.approx(exact[0], abs=1e-12)  # k = 1 is listed
        gap, error = found.value - exact, found.standard_error
        assert np.all(np.abs(gap[error == 0]) <= 5 / 400)
        deviations.extend(gap[error > 0.01] / error[error > 0.01])
    spread = np.array(deviations)
    assert len(spread) > 80
    assert abs(spread.mean()) < 0.3
    assert 0.8 < spread.std() < 1.2


def test_a_dominating_weight_is_best_of_k():
    rng = np.random.default_rng(1)
    answers, correct = draw_pool(rng, 40)
    answers = np.abs(answers)
    correct = answers == 0
    ranks = rng.permutation(40)
    ks = [1, 5, 20, 39, 40]
    found = weighted_majority_at_k(answers, 2.0**ranks, correct, ks, rng, n_resamples=2000)
    assert np.all(
        np.abs(found.value - best_of_k(ranks, correct, ks)) <= 5 * found.standard_error + 1e-12
    )


def test_the_same_generator_gives_the_same_numbers():
    answers, correct = draw_pool(np.random.default_rng(2))
    weights = np.random.default_rng(3).random(60)
    first, again, other = (
        weighted_majority_at_k(answers, weights, correct, [7, 20], np.random.default_rng(seed))
        for seed in (4, 4, 5)
    )
    assert first.value.tolist() == again.value.tolist() != other.value.tolist()


def test_rows_of_different_length():
    answers = np.array([[0, 0, 1], [1, 0, 9]])
    weights = np.array([[1.0, 1.0, 3.0], [2.0, 1.0, 99.0]])
    present = np.array([[True, True, True], [True, True, False]])
    found = weighted_majority_at_k(
        answers, weights, answers == 0, [2, 3], np.random.default_rng(0), present=present
    )
    assert found.value[0].tolist() == pytest.approx([1 / 3, 0.0])
    assert found.value[1, 0] == 0.0
    assert np.isnan(found.value[1, 1])


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"answer_classes": [0, -2]}, "answer_classes[1]"),
        ({"weights": [1.0, float("inf")]}, "weights"),
        ({"correct": [0, 3]}, "correct[1]"),
        ({"k": 0}, "k"),
        ({"weights": [1.0, 2.0, 3.0]}, "answer_classes, weights, correct, present"),
        ({"n_resamples": 1}, "n_resamples"),
        ({"answer_classes": []}, "answer_classes"),
    ],
)
def test_bad_input(changes, where):
    arguments = {
        "answer_classes": [0, 1],
        "weights": [1.0, 2.0],
        "correct": [0, 1],
        "k": 1,
    } | changes
    if where == "answer_classes":
        arguments |= {"weights": [], "correct": []}
    with pytest.raises(InputError) as error:
        weighted_majority_at_k(**arguments, rng=np.random.default_rng(0))
    assert error.value.where == where
