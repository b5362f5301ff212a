"""How a process reward model is judged: the figures are those of the scores put in."""

from __future__ import annotations

from array import array

import numpy as np
import pytest

from ttscale.prm.evaluation import judge_answers, judge_steps, log_probabilities, step_scores
from ttscale.prm.labelling import Labelled, Sampled
from ttscale.prm.tree import tree
from ttscale.trace import TOKEN

RNG = np.random.default_rng(0)


def solution(tokens: list[int], right: bool, answer: str | None, logprob: float) -> Sampled:
    """Two steps, the first of two tokens."""
    ids = array(TOKEN, tokens)
    logprobs = array("f", [logprob] * len(tokens))
    return Sampled(ids, (2, len(ids)), ("a\n", "b"), right, answer, logprobs=logprobs)


def problem(name: int) -> Labelled:
    """Four solutions of which the first alone is right; two say 7, and one says nothing."""
    return Labelled(
        f"p{name}",
        "",
        array(TOKEN, [1, name]),
        [
            solution([10, 0, 3], True, "5", -0.3),
            solution([11, 0, 4], False, "7", -0.2),
            solution([12, 0, 5], False, "7", -0.4),
            solution([13, 0, 6], False, None, -0.5),
        ],
    )


PROBLEMS = [problem(2), problem(3)]
TREES = [tree(problem, n_shared=1) for problem in PROBLEMS]


def scored(first: list[float], last: list[float]) -> list[list[np.ndarray]]:
    """The same scores of the four solutions' steps on both problems."""
    return [[np.array(pair) for pair in zip(first, last, strict=True)] for _ in PROBLEMS]


def test_scores_go_from_marks_to_solutions() -> None:
    marks = [np.arange(len(grown.marks), dtype=float) for grown in TREES]
    for grown, solutions in zip(TREES, step_scores(TREES, marks), strict=True):
        assert [list(scores) for scores in solutions] == [list(visit) for visit in grown.visits]
        ends = [int(grown.token_ids[grown.marks[int(scores[-1])]]) for scores in solutions]
        assert ends == [3, 4, 5, 6]


def test_answers_are_judged_by_each_aggregate_beside_the_policys_confidence() -> None:
    steps = scored([0.5, 0.9, 0.1, 0.2], [0.9, 0.5, 0.4, 0.3])
    found = judge_answers(PROBLEMS, steps, RNG, k=4)
    assert found["pass_at_1"][0] == 0.25
    assert found["coverage_at_4"][0] == 1
    assert found["majority_at_4"][0] == 0  # two say 7
    assert np.isnan(found["last"]["ratio"]).all()
    assert found["last"]["auroc_within"][0] == found["last"]["best_of_4"][0] == 1
    # the smaller of (0.5, 0.9) and of (0.9, 0.5) are equal: a tie at the top
    assert found["min"]["best_of_4"][0] == 0.5
    assert found["min"]["auroc_within"][0] == pytest.approx(2.5 / 3, abs=1e-4)
    assert found["mean"]["best_of_4"][0] == 0.5
    assert found["mean_logprob"]["auroc"][0] == pytest.approx(2 / 3, abs=1e-4)
    assert found["mean_logprob"]["best_of_4"][0] == 0


def test_the_ratio_is_that_of_the_means() -> None:
    steps = scored([0.5] * 4, [0.9, 0.5, 0.4, 0.3])
    found = judge_answers(PROBLEMS, steps, RNG, k=2)
    # of the six pairs, three hold the right one; with 7 beside it the vote is a tie, with the
    # silent one it wins, and so half of 2 + 1 pairs
    assert found["majority_at_2"][0] == pytest.approx((0.5 + 0.5 + 1) / 6, abs=1e-4)
    assert found["last"]["best_of_2"][0] == 0.5
    assert found["last"]["ratio"][0] == pytest.approx(0.5 * 6 / 2, abs=1e-3)


def test_steps_are_judged_by_what_followed_them_and_by_the_rule() -> None:
    steps = scored([0.9, 0.1, 0.8, 0.2], [0.5] * 4)
    rollout = Sampled(array(TOKEN, [12, 0, 9]), (2, 3), ("a\n", "c"), True, "5", n_prefix=2)
    first = PROBLEMS[0]._replace(responses=[*PROBLEMS[0].responses, rollout])
    found = judge_steps(
        [first, PROBLEMS[1]],
        [tree(first, n_shared=1), TREES[1]],
        steps,
        RNG,
        lambda problem, solution: [solution.token_ids[0] == 11, False],
    )
    assert found["outcomes"]["steps"] == found["exact"]["steps"] == 8
    # the right solutions', and the one rolled out well
    assert found["outcomes"]["right"] == 3 / 8
    # within the first problem the two good steps have the best scores, as has the second's one
    assert found["outcomes"]["prm"]["auroc_within"][0] == 1
    assert found["exact"]["prm"]["auroc_within"][0] == 0
    assert found["exact"]["mean_logprob"]["auroc"][0] == 1


def test_log_probabilities_are_means_up_to_each_step() -> None:
    ids, logprobs = array(TOKEN, [1, 2, 3, 4]), array("f", [-1.0, -3.0, -2.0, -6.0])
    found = Labelled("", "", ids, [Sampled(ids, (2, 4), (), True, logprobs=logprobs)])
    assert log_probabilities(found)[0].tolist() == [-2.0, -3.0]
