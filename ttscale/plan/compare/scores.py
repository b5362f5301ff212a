"""One verifier's scores on one set of samples: ranking, selection, calibration, ceiling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from ttscale.laws import ImperfectVerifier
from ttscale.plan.compare.arena import Arena
from ttscale.stats import (
    CalibrationError,
    Interval,
    RankQuality,
    Reliability,
    TurningPoint,
    accept_first,
    brier,
    calibration_error,
    cross_fitted,
    curves,
    mean_interval,
    problem_weights,
    rank_quality,
    rate_mixture,
    reliability,
    turning_point,
)
from ttscale.stats.arrays import FloatArray, IntArray
from ttscale.stats.intervals import expanded_tail

PENALTIES = (0.5, 1.0, 2.0)
"""What a wrong answer may cost, a right one earning 1."""


class Resampling(NamedTuple):
    """How intervals are made."""

    rng: np.random.Generator
    level: float
    n_resamples: int


class Calibrated(NamedTuple):
    """How well probabilities hold: Brier score, calibration error, reliability diagram."""

    brier: float
    error: CalibrationError
    diagram: Reliability


class BestAttempts(NamedTuple):
    """The best number of attempts where a wrong answer costs `wrong` and a right one earns 1.

    attempts, value: by the closed form, attempts infinite where every one pays. observed: where
    the pool's own value curve, unbiased at every number up to its size, is highest.
    """

    wrong: float
    attempts: float
    value: float
    observed: TurningPoint


@dataclass(frozen=True)
class Ceiling:
    """What resampling against a verifier that only accepts or rejects can reach.

    Attributes
    ----------
    completeness, soundness : P(accept | right) and P(reject | wrong), over all samples.
    accuracy : of drawing until the first accepted answer, without a limit: the ceiling.
    ks, accept_first, predicted : the same with at most k attempts, observed (unbiased, with its
        interval) and by the closed form: where they part, the two rates differ between problems.
    best : the best number of attempts at several penalties.
    """

    completeness: Interval
    soundness: Interval
    accuracy: Interval
    ks: IntArray
    accept_first: Interval
    predicted: FloatArray
    best: tuple[BestAttempts, ...]


@dataclass(frozen=True)
class ScoreStudy:
    """What one column of scores is worth.

    Attributes
    ----------
    column, label : the verifier's name in the pool, and in tables.
    arena : the samples.
    n_missing : samples without a score; they rank below all others and are never accepted.
    n_levels : distinct scores; 1 or 0 can choose nothing.
    ranking : AUROC and average precision.
    best_of, weighted : (problems, ks); weighted is None without answers to vote on.
    weighted_error : Monte Carlo error of the mean weighted vote, (ks,).
    weights : what votes weigh: the scores, or their Platt probabilities where some are negative.
    turning : where best-of-k is highest, and its fall from there.
    calibration : `stated` where all scores are in [0, 1], and cross-fitted `platt`, `isotonic`.
    ceiling : for a score of zeros and ones.
    """

    column: str
    label: str
    arena: Arena
    n_missing: int
    n_levels: int
    ranking: RankQuality
    best_of: FloatArray
    weighted: FloatArray | None
    weighted_error: FloatArray | None
    weights: Literal["score", "platt"]
    turning: TurningPoint
    calibration: Mapping[str, Calibrated]
    ceiling: Ceiling | None

    @property
    def oracle(self) -> bool:
        """Whether the scores look at the reference answer."""
        return self.arena.samples.is_oracle(self.column)


def study_score(arena: Arena, column: str, ks: IntArray, resampling: Resampling) -> ScoreStudy:
    """Everything about one column of scores, at budgets that every problem's samples reach."""
    rows, rng = arena.rows, resampling.rng
    score, right = rows.scores[column], np.nan_to_num(rows.correct)
    known = ~np.isnan(score)
    levels = np.unique(score[known])
    scaled = {
        scaling: cross_fitted(score, right, rows.problem, rng, scaling=scaling)
        for scaling in ("platt", "isotonic")
    }  # fmt: skip
    plain = bool(np.isfinite(score[known]).all() and (score[known] >= 0).all())
    selected = curves(rows.problem, right, scores={column: score}, ks=ks)
    best_of = selected.matrices[f"best_of:{column}"]
    weighted = error = None
    if rows.answer_class is not None:
        weight = np.where(known, score if plain else scaled["platt"], np.nan)
        voted = curves(rows.problem, right, rows.answer_class, {column: weight}, ks=ks, rng=rng)
        weighted = voted.matrices[f"weighted_majority:{column}"]
        squares = voted.standard_errors[f"weighted_majority:{column}"] ** 2
        error = np.sqrt(squares.sum(axis=0)) / len(squares)
    calibration = {
        name: _calibrated(stated, right, rows.problem) for name, stated in scaled.items()
    }
    if plain and known.any() and levels[-1] <= 1:
        stated = _calibrated(score[known], right[known], rows.problem[known])
        calibration = {"stated": stated, **calibration}
    binary = np.array_equal(levels, (0.0, 1.0))
    return ScoreStudy(
        column,
        arena.names[column],
        arena,
        int((~known).sum()),
        len(levels),
        rank_quality(
            rows.problem, score, right, rng,
            level=resampling.level, n_resamples=resampling.n_resamples,
        ),
        best_of,
        weighted,
        error,
        "score" if plain else "platt",
        turning_point(
            best_of, ks, rng,
            level=resampling.level, n_resamples=resampling.n_resamples,
        ),
        calibration,
        find_ceiling(rows.problem, (score == 1.0).astype(np.float64), right, ks, resampling)
        if binary
        else None,
    )  # fmt: skip


def _calibrated(stated: FloatArray, right: FloatArray, problem: IntArray) -> Calibrated:
    diagram = reliability(stated, right, problem)
    return Calibrated(brier(stated, right), calibration_error(diagram), diagram)


def find_ceiling(
    problem: IntArray, accepted: FloatArray, right: FloatArray, ks: IntArray, resampling: Resampling
) -> Ceiling:
    """The ceiling from columns of one entry per sample; problem counts from 0 without gaps."""
    rng, level, n_resamples = resampling
    n = np.bincount(problem)
    n_problems = len(n)
    c = np.bincount(problem, right, n_problems).astype(np.int64)
    a = np.bincount(problem, accepted, n_problems).astype(np.int64)
    both = np.bincount(problem, accepted * right, n_problems).astype(np.int64)
    counts = problem_weights(n_problems, n_resamples, rng, "bootstrap") * n_problems
    rows = np.concatenate([np.ones((1, n_problems)), counts])
    with np.errstate(divide="ignore", invalid="ignore"):
        completeness = (rows @ both) / (rows @ c)
        soundness = 1.0 - (rows @ (a - both)) / (rows @ (n - c))
    mixture = rate_mixture(n, c, rows)
    limits = np.array(
        [
            float(ImperfectVerifier(mixture.rate, weight, p, q).outcome(np.inf).right)
            for weight, p, q in zip(mixture.weight, completeness, soundness, strict=True)
        ]
    )
    model = ImperfectVerifier(mixture.rate, mixture.weight[0], completeness[0], soundness[0])
    observed = accept_first(n[:, None], a[:, None], both[:, None], ks)
    best = []
    for wrong in PENALTIES:
        value = observed.correct - wrong * (observed.returned - observed.correct)
        value = np.concatenate([np.zeros((n_problems, 1)), value], axis=1)
        turn = turning_point(value, np.append(0, ks), rng, level=level, n_resamples=n_resamples)
        attempts = model.best_attempts(-wrong)
        best.append(BestAttempts(wrong, attempts, float(model.value(attempts, -wrong)), turn))
    return Ceiling(
        percentiles(completeness, level, n_problems),
        percentiles(soundness, level, n_problems),
        percentiles(limits, level, n_problems),
        ks,
        mean_interval(observed.correct, rng, level=level, n_resamples=n_resamples),
        model.outcome(ks).right,
        tuple(best),
    )


def percentiles(values: FloatArray, level: float, n_problems: int) -> Interval:
    """The first of (1 + B) values, between the quantiles of the others that are defined."""
    draws = values[1:][np.isfinite(values[1:])]
    if not len(draws):
        return Interval(values[0], np.asarray(np.nan), np.asarray(np.nan))
    tail = expanded_tail((1.0 - level) / 2.0, n_problems)
    low, high = np.quantile(draws, (tail, 1.0 - tail))
    return Interval(values[0], np.minimum(low, values[0]), np.maximum(high, values[0]))
