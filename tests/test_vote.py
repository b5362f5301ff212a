"""Votes: who wins, whatever the order, and how ties and abstentions are told."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscale.vote import argmax, plurality


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_most_frequent_class_wins_and_its_first_candidate_stands_for_it() -> None:
    vote = plurality([2, 0, None, 0, 1], rng())
    assert vote == (1, 2 / 5, 1, 1)


def test_weights_decide_over_counts() -> None:
    assert plurality([0, 0, 1], rng(), [0.2, 0.2, 0.5]).winner == 2


def test_all_abstaining_gives_no_winner() -> None:
    assert plurality([None, None], rng()) == (None, 0.0, 0, 2)
    assert plurality([], rng()).winner is None


def test_ties_are_told_and_broken_evenly() -> None:
    winners = [plurality([0, 1, 2, 1, 0], rng(seed)).winner for seed in range(2000)]
    assert plurality([0, 1, 2, 1, 0], rng()).tied == 2
    assert set(winners) == {0, 1}
    assert abs(winners.count(0) / 2000 - 0.5) < 0.05


@given(
    st.lists(st.tuples(st.integers(0, 4), st.floats(0, 1e6, allow_nan=False)), min_size=1),
    st.randoms(),
)
def test_the_order_of_candidates_does_not_matter(ballots, random) -> None:
    shuffled = list(ballots)
    random.shuffle(shuffled)
    votes = [
        plurality([c for c, _ in order], rng(1), [w for _, w in order])
        for order in (ballots, shuffled)
    ]
    classes = [order[v.winner][0] for v, order in zip(votes, (ballots, shuffled), strict=True)]
    assert classes[0] == classes[1]
    assert votes[0].share == pytest.approx(votes[1].share)
    assert votes[0].tied == votes[1].tied


def test_argmax_ignores_nan_and_tells_ties() -> None:
    assert argmax([math.nan, 1.0, 3.0], rng()) == (2, 3.0, 1, 1)
    assert argmax([math.nan], rng()).winner is None
    assert argmax([2.0, 2.0, 1.0], rng()).tied == 2
    assert {argmax([2.0, 2.0, 1.0], rng(seed)).winner for seed in range(50)} == {0, 1}
