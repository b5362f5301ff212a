"""Cost, ARISE, s1's measures and rliable's statistics reproduce the reference values."""

import numpy as np
import pytest

from ttscale.errors import InputError
from ttscale.stats import (
    arise,
    cost_of_pass,
    cost_of_pass_frontier,
    interquartile_mean,
    median_of_tasks,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    s1_control,
    s1_performance,
    s1_scaling,
    stratified_bootstrap,
)

X = np.array([[0.1, 0.5, 0.9], [0.3, 0.4, 0.8]])
Y = np.array([[0.1, 0.2, 0.9], [0.2, 0.4, 0.95]])


def test_cost_of_pass():
    assert cost_of_pass(0.05, 0.25) == pytest.approx(0.2)
    table = cost_of_pass([[1.0], [4.0]], [[0.5, 0.0, 0.1, 0.0], [0.8, 0.5, 0.1, 0.0]])
    assert table[0].tolist() == [2.0, np.inf, 10.0, np.inf]
    frontier = cost_of_pass_frontier(table)
    assert frontier.per_problem.tolist() == [2.0, 8.0, 10.0, np.inf]
    assert frontier.mean_of_solved == pytest.approx(20 / 3)
    assert frontier.unsolved_share == 0.25
    with_expert = cost_of_pass_frontier(table, expert=9.0)
    assert with_expert.per_problem.tolist() == [2.0, 8.0, 9.0, 9.0]
    assert with_expert.unsolved_share == 0.0
    assert cost_of_pass_frontier(np.full((2, 2), np.inf)).mean_of_solved == np.inf


@pytest.mark.parametrize(
    ("correct", "tokens", "value"),
    [
        ((0, 1, 0), (100, 200, 400), -1.5),
        ((0, 0, 1), (100, 200, 400), 0.5),
        ((1, 0, 1), (100, 200, 400), -1.5),
        ((0, 1, 1), (100, 150, 600), 0.666667),
        ((0, 1), (0, 100), 0.0),
        ((1,), (100,), 0.0),
    ],
)
def test_arise(correct, tokens, value):
    assert arise(correct, tokens) == pytest.approx(value, abs=1e-6)


def test_arise_of_many_samples():
    values = arise([[0, 1, 0], [0, 0, 1]], [[100, 200, 400]] * 2)
    assert values.tolist() == [-1.5, 0.5]


def test_s1():
    tokens, accuracy = [500, 1000, 2000], [0.2, 0.3, 0.35]
    assert s1_scaling(tokens, accuracy) == pytest.approx(1.166667e-4, abs=1e-9)
    assert s1_scaling(tokens[::-1], accuracy[::-1]) == pytest.approx(1.166667e-4, abs=1e-9)
    assert s1_control(tokens, 500, 1500) == pytest.approx(2 / 3)
    assert s1_performance(accuracy) == 0.35


def test_rliable_statistics():
    assert interquartile_mean(X) == pytest.approx(0.5)
    assert median_of_tasks(X) == pytest.approx(0.45)
    assert optimality_gap(X) == pytest.approx(0.5)
    assert optimality_gap(X, target=0.4) == pytest.approx(np.mean([0.3, 0, 0, 0.1, 0, 0]))
    assert performance_profile(X, 0.4) == pytest.approx(0.5)
    assert performance_profile(X, [0.4, 0.45], by_task=True).tolist() == pytest.approx(
        [2 / 3, 1 / 3]
    )
    assert probability_of_improvement(X, Y) == pytest.approx(0.541667, abs=1e-6)
    for task, value in enumerate((0.625, 0.875, 0.125)):
        one = probability_of_improvement(X[:, [task]], Y[:, [task]])
        assert one == pytest.approx(value)


def test_statistics_of_a_stack_are_those_of_its_members():
    stack = np.random.default_rng(0).random((5, 4, 3))
    for statistic in (
        interquartile_mean,
        median_of_tasks,
        optimality_gap,
        lambda scores: performance_profile(scores, [0.2, 0.7]),
        lambda scores: probability_of_improvement(scores, Y),
    ):
        assert np.allclose(statistic(stack), [statistic(member) for member in stack])


def test_stratified_bootstrap_keeps_tasks_apart():
    # Runs agree inside every task, so only redrawing the tasks moves the mean.
    scores = np.tile([0.1, 0.5, 0.9], (6, 1))
    rng = np.random.default_rng(1)
    fixed = stratified_bootstrap(scores, interquartile_mean, rng)
    assert fixed.low == pytest.approx(fixed.high) == pytest.approx(0.5)
    moved = stratified_bootstrap(scores, interquartile_mean, rng, resample_tasks=True)
    assert moved.low < 0.2
    assert moved.high > 0.8


def test_stratified_bootstrap_has_the_standard_error_of_the_mean():
    rng = np.random.default_rng(2)
    scores = rng.random((20, 50))
    interval = stratified_bootstrap(scores, lambda s: s.mean(axis=(-2, -1)), rng, n_resamples=4000)
    error = np.sqrt((scores.var(axis=0) / 20).sum()) / 50
    assert (interval.high - interval.low) / (2 * 1.96 * error) == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda: cost_of_pass(-1, 0.5), "cost"),
        (lambda: cost_of_pass(1, 1.5), "success_rate"),
        (lambda: cost_of_pass_frontier([1.0, 2.0]), "costs"),
        (lambda: cost_of_pass_frontier([[float("nan")]]), "costs[0, 0]"),
        (lambda: arise([0, 1], [1, 2, 3]), "tokens"),
        (lambda: s1_scaling([1, 1], [0.1, 0.2]), "compute"),
        (lambda: s1_scaling([1], [0.1]), "compute, accuracy"),
        (lambda: s1_control([], 0, 1), "compute"),
        (lambda: s1_performance([]), "accuracy"),
        (lambda: interquartile_mean([0.1, 0.2]), "scores"),
        (lambda: interquartile_mean([[0.1, float("nan")]]), "scores[0, 1]"),
        (lambda: probability_of_improvement(X, Y[:, :2]), "first, second"),
    ],
)
def test_bad_input(call, where):
    with pytest.raises(InputError) as error:
        call()
    assert error.value.where == where
