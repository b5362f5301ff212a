"""Particle filter and particle Gibbs: who survives, how often, and the reference particle."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path as FilePath

import numpy as np
import pytest
from scipy.stats import binom, chisquare

from tests.contract.playing import experiment, play
from tests.scripted_tree import grow, grow_many
from ttscale.strategies.particle_filter import ParticleFilter
from ttscale.strategies.particle_gibbs import ParticleGibbs

CERTAIN = {"a": 1.0, "b": 0.0}


def test_the_filter_goes_on_with_what_was_drawn(tmp_path: FilePath) -> None:
    tree = {"": ["a", "b"], "a": ["=1", "c"], "a c": ["=2", "=3"]}
    scores = CERTAIN | {"a =1": 0.0, "a c": 1.0, "a c =2": 0.3, "a c =3": 0.6}
    played = grow(tmp_path, ParticleFilter(n=2), tree, scores)
    # b is never drawn against a, nor the finished a =1 against a c.
    assert played.grown == ["a", "b", "a =1", "a c", "a c =2", "a c =3"]
    assert played.answer == "a c =3"
    assert played.result.score == 0.6
    assert played.n_generated_tokens == 6 + 5 + 4


def test_a_finished_particle_stays_with_its_final_score(tmp_path: FilePath) -> None:
    tree = {"": ["a", "b"], "a": ["=1", "c"]}
    scores = CERTAIN | {"a =1": 1.0, "a c": 0.0}
    played = grow(tmp_path, ParticleFilter(n=2), tree, scores)
    assert played.grown == ["a", "b", "a =1", "a c"]
    assert played.answer == "a =1"
    # It may also be drawn beside one that goes on.
    scores = CERTAIN | {"a =1": 0.5, "a c": 0.5, "a c =2": 0.4}
    runs = grow_many(tmp_path, ParticleFilter(n=2), {**tree, "a c": ["=2"]}, scores, 40)
    assert {tuple(run.grown[4:]) for run in runs} == {(), ("a c =2",), ("a c =2", "a c =2")}


def test_the_last_step_goes_on_to_the_end(tmp_path: FilePath) -> None:
    tree = {"": ["a", "b"], "a": ["c =1", "c d e"]}
    scores = CERTAIN | {"a c =1": 0.4, "a c d e": 0.6}
    played = grow(tmp_path, ParticleFilter(n=2, max_steps=2, pick="weighted"), tree, scores)
    assert played.grown == ["a", "b", "a c =1", "a c d e"]
    assert played.answer == "a c =1", "what has no answer has no vote"
    assert played.result.abstained == 1


@pytest.mark.parametrize(("temperature", "share"), [(1.0, 3 / 4), (0.5, 9 / 10)])
def test_resampling_is_by_the_odds(tmp_path: FilePath, temperature: float, share: float) -> None:
    tree = {"": ["a", "b"], "a": ["=1"], "b": ["=2"]}
    scores = {"a": 0.75, "b": 0.5, "a =1": 0.5, "b =2": 0.5}  # odds 3 against 1
    n, n_runs = 4, 300
    runs = grow_many(tmp_path, ParticleFilter(n=n, temperature=temperature), tree, scores, n_runs)
    drawn = np.bincount([run.grown[n:].count("a =1") for run in runs], minlength=n + 1)
    expected = binom.pmf(range(n + 1), n, share) * n_runs
    few = expected < 5
    observed = np.append(drawn[~few], drawn[few].sum())
    assert chisquare(observed, np.append(expected[~few], expected[few].sum())).pvalue > 1e-3


def test_systematic_resampling_leaves_whole_expectations_to_no_chance(tmp_path: FilePath) -> None:
    tree = {"": ["a", "b", "c", "d"], "a": ["=1"], "b": ["=2"]}
    scores = {"a": 0.75, "b": 0.5, "c": 0.0, "d": 0.0, "a =1": 0.5, "b =2": 0.5}
    strategy = ParticleFilter(n=4, resampling="systematic")
    for run in grow_many(tmp_path, strategy, tree, scores, 50):
        assert run.grown[4:] == ["a =1", "a =1", "a =1", "b =2"]


def test_one_score_outside_0_to_1_makes_all_of_them_log_odds(tmp_path: FilePath) -> None:
    """1 and .5 are then a ratio of e^.5, where probabilities of 1 and .5 are one of 10^7."""
    tree = {"": ["a", "b", "c"], "a": ["=1"], "b": ["=2"]}
    scores = {"a": 1.0, "b": 0.5, "a =1": 0.5, "b =2": 0.5}
    strategy = ParticleFilter(n=3, resampling="systematic")
    certain = grow(tmp_path, strategy, tree, scores | {"c": 0.0})
    assert certain.grown[3:] == ["a =1"] * 3
    for run in grow_many(tmp_path, strategy, tree, scores | {"c": -40.0}, 20):
        # Of three draws 1.87 and 1.13 are expected.
        assert run.grown[3:] in (["a =1", "a =1", "b =2"], ["a =1", "b =2", "b =2"])


def test_the_entropic_schedule_keeps_more_particles_early(tmp_path: FilePath) -> None:
    tree = {"": ["a", "b", "c", "d"], **{step: ["=1"] for step in "abcd"}}
    scores = {"a": 0.999, "b": 0.5, "c": 0.5, "d": 0.5, **{f"{step} =1": 0.5 for step in "abcd"}}
    # Odds 999:1:1:1: one of four is effective. With 40 steps, the weights are flattened by
    # 0.975 / 0.2515 = 3.88: odds 5.93:1:1:1, of which b, c and d have a third.
    others = Counter[str]()
    for schedule in ("constant", "entropic"):
        strategy = ParticleFilter(n=4, schedule=schedule, resampling="systematic")
        for run in grow_many(tmp_path, strategy, tree, scores, 30):
            others[schedule] += sum(not name.startswith("a") for name in run.grown[4:])
    assert others["constant"] <= 2
    assert 30 * 4 * 0.336 - 30 <= others["entropic"] <= 30 * 4 * 0.336 + 30


def test_gibbs_keeps_a_reference_and_cuts_it_where_it_is_drawn(tmp_path: FilePath) -> None:
    tree = {"": ["a", "b", "c"], "a": ["=1", "=2", "=3"]}
    scores = CERTAIN | {"c": 0.0, "a =1": 1.0, "a =2": 0.0, "a =3": 0.2}
    played = grow(tmp_path, ParticleGibbs(n=2, sweeps=2), tree, scores)
    assert played.grown == [
        *["a", "b", "a =1", "a =2"],  # a =1 becomes the reference
        *["c"],  # one free particle beside it; against c, the reference's first step a is drawn
        *["a =3"],  # and goes on with a step of its own
    ]
    assert played.answer == "a =1", "the reference itself stays as it is"
    assert played.result.score == 1.0


def test_a_reference_longer_than_the_others_is_shown_step_by_step(tmp_path: FilePath) -> None:
    tree = {"": ["a", "b", "=5"], "a": ["=1", "=2", "=3"]}
    scores = CERTAIN | {"=5": 0.0, "a =1": 1.0, "a =2": 0.0, "a =3": 0.2}
    strategy = ParticleGibbs(n=2, sweeps=2, pick="weighted")
    drawn = grow(tmp_path, strategy, tree, scores)
    assert drawn.grown[4:] == ["=5", "a =3"], "a finished particle is drawn anew against a"
    kept = grow(tmp_path, strategy, tree, scores | {"a": 0.5, "b": 0.0, "=5": 1.0})
    assert kept.grown[4:] == ["=5"]
    assert kept.result.tied == 2, "=5 and the whole reference, each with a score of 1"


def test_the_reference_is_drawn_by_its_final_weight(tmp_path: FilePath) -> None:
    tree = {"": ["a", "b", "c"], "a": ["=1"], "b": ["=2"]}
    scores = {"a": 0.5, "b": 0.5, "c": 0.0, "a =1": 0.75, "b =2": 0.5}
    strategy = ParticleGibbs(n=2, sweeps=2, resampling="systematic")
    firsts = Counter[str]()
    for run in grow_many(tmp_path, strategy, tree, scores, 300):
        assert sorted(run.grown[2:4]) == ["a =1", "b =2"], "equal weights: one each"
        assert run.grown[4] == "c"
        firsts[run.grown[5]] += 1  # the free particle is drawn from the reference's first step
    assert sum(firsts.values()) == 300
    assert chisquare([firsts["a =1"], firsts["b =2"]], [225, 75]).pvalue > 1e-3


def test_one_sweep_of_gibbs_is_the_particle_filter(tmp_path: FilePath) -> None:
    entry = {"n": 4, "verifier": "mean_logprob"}
    filtered = play(experiment(tmp_path, {"name": "particle_filter", **entry}), tmp_path / "filter")
    swept = play(
        experiment(tmp_path, {"name": "particle_gibbs", "sweeps": 1, **entry}), tmp_path / "gibbs"
    )
    assert filtered is not None and swept is not None
    assert filtered.chosen == swept.chosen
    assert filtered.books == swept.books


def test_a_reference_costs_nothing(tmp_path: FilePath) -> None:
    tree = {"": ["=1", "=2", "=3"]}
    scores = {"=1": 0.5, "=2": 0.5, "=3": 0.5}
    strategy = ParticleGibbs(n=3, sweeps=3)
    played = grow(tmp_path, strategy, tree, scores)
    assert len(played.grown) == 3 + 2 + 2
    assert grow(tmp_path, dataclasses.replace(strategy, n=1), tree, scores).grown == ["=1"]
