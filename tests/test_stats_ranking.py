"""AUROC and average precision agree with scikit-learn, ties, NaN scores and all."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from ttscale.errors import InputError
from ttscale.stats import auroc, average_precision, rank_quality

SAMPLE = st.tuples(st.sampled_from([-np.inf, -1.0, 0.0, 0.25, 0.5, 2.0]), st.booleans())


@given(st.lists(SAMPLE, min_size=2, max_size=30))
def test_scikit_learn_agrees(pool):
    scores, correct = (np.array(column, dtype=float) for column in zip(*pool, strict=True))
    assume(0 < correct.sum() < len(correct))
    finite = np.maximum(scores, -9.0)  # scikit-learn takes no infinite scores
    assert auroc(scores, correct) == pytest.approx(roc_auc_score(correct, finite), abs=1e-12)
    expected = average_precision_score(correct, finite)
    assert average_precision(scores, correct) == pytest.approx(expected, abs=1e-12)


def test_rows_padding_and_nan_scores():
    nan = np.nan
    scores = [[0.9, 0.1, nan, 5.0], [0.5, 0.5, 0.5, 0.5], [nan, nan, 1.0, 0.0]]
    correct = [[1, 0, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]]
    present = [[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    found = auroc(scores, correct, present=present)
    assert found == pytest.approx([1.0, 0.5, (0.5 + 0 + 1 + 0) / 4])  # NaN ties with NaN, lowest
    assert average_precision(scores, correct, present=present) == pytest.approx([1, 0.5, 0.5])
    assert auroc(np.reshape(scores, (3, 1, 4)), np.reshape(correct, (3, 1, 4))).shape == (3, 1)
    one_label = auroc([1.0, 2.0], [1, 1]), average_precision([1.0, 2.0], [1, 1])
    assert np.isnan(one_label).all()


def pool(rng, n_problems=60, n=12, decimals=None):
    problem = np.repeat(np.arange(n_problems), n)
    correct = rng.random(len(problem)) < np.repeat(rng.beta(0.5, 1, n_problems), n)
    scores = correct + rng.normal(size=len(problem)) + np.repeat(rng.normal(size=n_problems), n)
    return problem, scores if decimals is None else scores.round(decimals), correct.astype(float)


def test_a_pool_is_ranked_overall_and_within_problems():
    problem, scores, correct = pool(np.random.default_rng(0))
    mixed = [p for p in range(60) if 0 < correct[problem == p].sum() < 12]
    found = rank_quality(problem, scores, correct, np.random.default_rng(1))
    assert found.auroc.estimate == pytest.approx(roc_auc_score(correct, scores))
    assert found.auprc.estimate == pytest.approx(average_precision_score(correct, scores))
    for value, metric in (
        (found.auroc_within, roc_auc_score),
        (found.auprc_within, average_precision_score),
    ):
        within = [metric(correct[problem == p], scores[problem == p]) for p in mixed]
        assert value.estimate == pytest.approx(np.mean(within))
    assert found.n_problems_within == len(mixed) < 60
    assert found.prevalence == pytest.approx(correct.mean())
    inside = np.isin(problem, mixed)
    assert found.prevalence_within == pytest.approx(correct[inside].mean())
    for interval in found[:4]:
        assert interval.low < interval.estimate < interval.high


def test_the_order_of_rows_does_not_matter_and_scores_are_missed_not_dropped():
    problem, scores, correct = pool(np.random.default_rng(2))
    scores[:30] = np.nan
    order = np.random.default_rng(3).permutation(len(problem))
    columns = problem, scores, correct
    straight = rank_quality(*columns, np.random.default_rng(4))
    shuffled = rank_quality(*(column[order] for column in columns), np.random.default_rng(4))
    assert straight.n_nan == 30
    np.testing.assert_allclose(np.hstack(straight), np.hstack(shuffled), rtol=1e-12)
    lowest = np.where(np.isnan(scores), -99.0, scores)
    assert straight.auroc.estimate == pytest.approx(roc_auc_score(correct, lowest))


def test_intervals_of_many_levels_are_those_of_exact_replicates():
    """1,800 distinct scores are gathered into 1,000 levels; a direct bootstrap agrees."""
    problem, scores, correct = pool(np.random.default_rng(5), 150)
    found = rank_quality(problem, scores, correct, np.random.default_rng(6), n_resamples=2000)
    rows = scores.reshape(150, 12), correct.reshape(150, 12)
    rng, direct = np.random.default_rng(7), []
    for _ in range(600):
        drawn = rng.integers(0, 150, 150)
        direct.append([auroc(*(r[drawn].ravel() for r in rows)),
                       average_precision(*(r[drawn].ravel() for r in rows))])  # fmt: skip
    low, high = np.quantile(direct, [0.025, 0.975], axis=0)
    for place, interval in enumerate((found.auroc, found.auprc)):
        assert interval.low == pytest.approx(low[place], abs=0.01)
        assert interval.high == pytest.approx(high[place], abs=0.01)


def test_what_cannot_be_ranked_is_nan_and_what_is_no_label_is_refused():
    rng = np.random.default_rng(0)
    solved = rank_quality([1, 1, 2, 2], [1.0, 2, 3, 4], [1, 1, 1, 1], rng)
    assert np.isnan(np.hstack(solved[:4])).all()
    assert solved.n_problems_within == 0
    constant = rank_quality([1, 1, 2, 2], [1.0, 1, 1, 1], [1, 0, 1, 0], rng)
    assert constant.auroc.estimate == constant.auroc_within.estimate == 0.5
    for columns in (([1, 1], [1.0], [1, 0]), ([1, 1], [1.0, 2.0], [1, 2]), ([], [], [])):
        with pytest.raises(InputError):
            rank_quality(*columns, rng)
    with pytest.raises(InputError):
        auroc([1.0, 2.0], [0.5, 1])
