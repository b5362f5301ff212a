"""How well a process reward model judges problems it was not trained on.

Answers: does the score of a response tell right from wrong? Steps: does the score after a step tell
those that can still end well? Both across all problems and within each, beside the policy's own
mean log-probability; chance is one half.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ttscale.prm.labelling import Labelled, Sampled
from ttscale.prm.tree import Tree
from ttscale.stats.intervals import Interval, mean_interval, problem_weights
from ttscale.stats.majority import majority_at_k
from ttscale.stats.ordering import best_of_k
from ttscale.stats.ranking import rank_quality

Floats = npt.NDArray[np.float64]
Steps = Sequence[Sequence[Floats]]
"""For each problem and each of its solutions, the score after every step."""

AGGREGATES: Mapping[str, Callable[[Floats], float]] = {
    "last": lambda scores: float(scores[-1]),
    "min": lambda scores: float(scores.min()),
    "product": lambda scores: float(scores.prod()),
    "mean": lambda scores: float(scores.mean()),
}
"""One number for a response, out of its steps' scores."""


def step_scores(trees: Sequence[Tree], marks: Sequence[Floats]) -> Steps:
    """The scores of every solution's steps, out of the scores of its tree's marks."""
    return [
        [scores[list(visits)] for visits in grown.visits]
        for grown, scores in zip(trees, marks, strict=True)
    ]


def log_probabilities(problem: Labelled) -> list[Floats]:
    """The mean log-probability of all tokens up to the end of each step, for every solution."""
    found = []
    for solution in problem.solutions:
        sums = np.cumsum(np.asarray(solution.logprobs, dtype=np.float64))
        ends = np.array(solution.ends)
        found.append(sums[ends - 1] / ends)
    return found


def judge_answers(
    problems: Sequence[Labelled], steps: Steps, rng: np.random.Generator, k: int
) -> dict[str, Any]:
    """AUROC and best-of-k of every aggregate and of `mean_logprob`, and the vote beside them.

    `ratio` is best-of-k over majority-of-k, with an interval over resampled problems.
    """
    right = np.array([[s.right for s in problem.solutions] for problem in problems])
    vote = np.array([_vote(problem.solutions, k) for problem in problems])
    scores = {
        name: np.array([[aggregate(solution) for solution in each] for each in steps])
        for name, aggregate in AGGREGATES.items()
    }
    scores["mean_logprob"] = np.array(
        [[solution[-1] for solution in log_probabilities(problem)] for problem in problems]
    )
    names = np.repeat(np.arange(len(problems)), right.shape[1])
    figures: dict[str, Any] = {
        "problems": len(problems),
        "samples": int(right.size),
        "pass_at_1": _plain(mean_interval(right.mean(axis=1), rng)),
        f"coverage_at_{k}": _plain(mean_interval(right.any(axis=1).astype(float), rng)),
        f"majority_at_{k}": _plain(mean_interval(vote, rng)),
    }
    for name, score in scores.items():
        quality = rank_quality(names, score.ravel(), right.ravel(), rng)
        best = best_of_k(score, right, k)
        figures[name] = {
            "auroc": _plain(quality.auroc),
            "auroc_within": _plain(quality.auroc_within),
            f"best_of_{k}": _plain(mean_interval(best, rng)),
            "ratio": _plain(_ratio(best, vote, rng)),
        }
    return figures


def judge_steps(
    problems: Sequence[Labelled],
    trees: Sequence[Tree],
    steps: Steps,
    rng: np.random.Generator,
    correct: Callable[[Labelled, Sampled], Sequence[bool]] | None = None,
) -> dict[str, Any]:
    """AUROC of the scores after the steps before the last, against two truths.

    `outcomes`: whether any response that went on from there is right (Math-Shepherd's hard label);
    few passed most of the steps, so a step that was good may be taken for a bad one.
    `exact`: what `correct` says of the steps so far, where a task has such a rule.
    """
    rows: list[tuple[int, float, float, bool, bool]] = []
    for number, (problem, grown, scores) in enumerate(zip(problems, trees, steps, strict=True)):
        means = log_probabilities(problem)
        for solution, visits, own, mean in zip(
            problem.solutions, grown.visits, scores, means, strict=True
        ):
            right = correct(problem, solution) if correct is not None else [False] * len(visits)
            hopeful = grown.n_right[list(visits)] > 0
            rows += [
                (number, float(own[i]), float(mean[i]), bool(hopeful[i]), right[i])
                for i in range(len(visits) - 1)
            ]
    names, own_scores, logprobs, hard, exact = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    figures: dict[str, Any] = {}
    truths = {"outcomes": hard} | ({} if correct is None else {"exact": exact})
    for truth, labels in truths.items():
        figures[truth] = {"steps": len(labels), "right": round(float(labels.mean()), 4)}
        for name, values in (("prm", own_scores), ("mean_logprob", logprobs)):
            quality = rank_quality(names, values, labels, rng)
            figures[truth][name] = {
                "auroc": _plain(quality.auroc),
                "auroc_within": _plain(quality.auroc_within),
            }
    return figures


def _vote(solutions: Sequence[Sampled], k: int) -> float:
    """Chance that the right answer has most of k votes; equal strings are one answer."""
    answers = [solution.answer for solution in solutions]
    classes = [answer for answer in dict.fromkeys(answers) if answer is not None]
    right = {solution.answer for solution in solutions if solution.right}
    counts = [answers.count(answer) for answer in classes]
    return math.fsum(
        float(majority_at_k(counts, classes.index(answer), k, answers.count(None)))
        for answer in right
        if answer is not None
    )


def _ratio(above: Floats, below: Floats, rng: np.random.Generator) -> Interval:
    """Ratio of two means over the same problems, with its 95 % bootstrap interval."""
    weights = problem_weights(len(above), 2000, rng, "bootstrap")
    tops, bottoms = weights @ above, weights @ below
    if not (bottoms > 0).any():
        return Interval(*np.full(3, np.nan))
    low, high = np.quantile(tops[bottoms > 0] / bottoms[bottoms > 0], [0.025, 0.975])
    return Interval(above.mean() / below.mean(), low, high)


def _plain(interval: Interval) -> list[float]:
    """Estimate, low end, high end, as JSON has them."""
    return [round(float(np.ravel(end)[0]), 4) for end in interval]
