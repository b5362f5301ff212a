"""`curves` turns the columns of a pool into the matrices that the single estimators give."""

import numpy as np
import pytest

from ttscale.errors import InputError
from ttscale.stats import (
    best_of_k,
    curves,
    log_spaced,
    majority_at_k,
    mean_interval,
    pass_at_k,
    weighted_majority_at_k,
)

# Rows are shuffled between problems on purpose.
PROBLEM = ["b", "a", "a", "b", "a", "b", "a", "b", "b"]
CORRECT = [1, 0, 1, 0, 1, None, 0, 1, 0]
CLASS = [4, 7, 2, 5, 2, None, 7, 4, 5]
SCORE = [0.9, 0.1, 0.8, 0.4, 0.3, float("nan"), 0.2, 0.7, 0.7]


def test_the_matrices_are_those_of_the_estimators():
    found = curves(PROBLEM, CORRECT, CLASS, {"judge": SCORE}, ks=[1, 2, 3, 4, 5])
    assert found.problems.tolist() == ["a", "b"]
    assert found.n_samples.tolist() == [4, 5]
    assert found.n_correct.tolist() == [2, 2]
    assert found.n_abstain.tolist() == [0, 1]
    assert found.n_ungradable.tolist() == [0, 1]
    assert found.n_nan_scores["judge"].tolist() == [0, 1]
    assert found.n_problems.tolist() == [2, 2, 2, 2, 1]
    ks = found.ks
    expected = pass_at_k([[4], [5]], [[2], [2]], ks)
    assert np.allclose(found.matrices["coverage"], expected, equal_nan=True)
    expected = majority_at_k([[2, 2], [2, 2]], 0, ks, [0, 1])
    assert np.allclose(found.matrices["majority"], expected, equal_nan=True)
    best = found.matrices["best_of:judge"]
    assert np.allclose(best[0], best_of_k([0.1, 0.8, 0.3, 0.2], [0, 1, 1, 0], ks), equal_nan=True)
    expected = best_of_k([0.9, 0.4, np.nan, 0.7, 0.7], [1, 0, 0, 1, 0], ks)
    assert np.allclose(best[1], expected, equal_nan=True)
    assert "weighted_majority:judge" not in found.matrices


def test_weighted_votes_need_an_rng_and_state_their_error():
    found = curves(PROBLEM, CORRECT, CLASS, {"judge": SCORE}, rng=np.random.default_rng(0))
    expected = weighted_majority_at_k(
        [4, 5, -1, 4, 5], [0.9, 0.4, np.nan, 0.7, 0.7], [1, 0, 0, 1, 0], found.ks,
        np.random.default_rng(0),
    )  # fmt: skip
    assert np.allclose(found.matrices["weighted_majority:judge"][1], expected.value)
    assert found.standard_errors["weighted_majority:judge"].tolist() == [[0.0] * 4] * 2


def test_scores_share_their_random_subsets():
    rng = np.random.default_rng(1)
    answers = rng.integers(0, 3, 50)
    score = rng.random(50)
    found = curves(np.zeros(50), answers == 0, answers, {"one": score, "same": 2 * score}, rng=rng)
    one, same = (found.matrices[f"weighted_majority:{name}"] for name in ("one", "same"))
    assert np.array_equal(one, same)
    assert found.standard_errors["weighted_majority:one"].max() > 0


def test_ks_end_at_the_smallest_pool_unless_asked():
    assert curves(PROBLEM, CORRECT).ks.tolist() == [1, 2, 3, 4]
    found = curves(PROBLEM, CORRECT, ks=[1, 5])
    assert np.isnan(found.matrices["coverage"][0, 1])
    rng = np.random.default_rng(2)
    assert np.isnan(mean_interval(found.matrices["coverage"], rng).estimate[1])
    available = mean_interval(found.matrices["coverage"], rng, available=True)
    assert available.estimate[1] == 1.0
    assert found.n_problems[1] == 1


def test_a_class_the_grader_splits_counts_with_its_share():
    # Class 0 is graded right twice out of three; class 1 is right; class 2 is wrong.
    found = curves(["p"] * 6, [1, 1, 0, 1, 0, 0], [0, 0, 0, 1, 2, 2], ks=[1, 4, 6])
    win = [majority_at_k([3, 1, 2], right, [1, 4, 6]) for right in (0, 1)]
    assert np.allclose(found.matrices["majority"], 2 / 3 * win[0] + win[1])
    assert found.matrices["majority"][0, 0] == pytest.approx(0.5)


def test_none_solved_and_all_abstaining():
    found = curves([1, 1, 2, 2], [0, 0, 0, 0], [-1, -1, 0, 1], {"s": [1, 2, 3, 4]})
    for matrix in found.matrices.values():
        assert np.all(matrix == 0.0)


def test_log_spaced():
    assert log_spaced(1).tolist() == [1]
    assert log_spaced(10, 50).tolist() == list(range(1, 11))
    ks = log_spaced(1000)
    assert ks[0] == 1
    assert ks[-1] == 1000
    assert len(ks) <= 50
    assert np.all(np.diff(ks) > 0)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"problem": [], "correct": []}, "problem"),
        ({"correct": [1, 0, 1]}, "correct"),
        ({"correct": [1, 0.5]}, "correct[1]"),
        ({"answer_class": [0, 1.5]}, "answer_class[1]"),
        ({"answer_class": [0, -3]}, "answer_class[1]"),
        ({"scores": {"prm": [0.1]}}, "scores[prm]"),
        ({"ks": [0, 1]}, "ks[0]"),
    ],
)
def test_bad_input(changes, where):
    arguments = {"problem": ["a", "b"], "correct": [1, 0]} | changes
    with pytest.raises(InputError) as error:
        curves(**arguments)
    assert error.value.where == where
