"""Scores as probabilities, as log-odds, as votes' weights; the best of a frontier; best-first f."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scripted_tree import extended, prompt
from ttscale.errors import InputError
from ttscale.search.best_first import priority
from ttscale.search.fields import check_width
from ttscale.search.frontier import distinct, repeated, top
from ttscale.search.scores import are_probabilities, log_odds, vote_weights
from ttscale.search.stages import stages
from ttscale.strategy import STEP


def test_scores_are_probabilities_when_all_lie_between_0_and_1() -> None:
    assert are_probabilities([0.0, 0.4, 1.0, math.nan])
    assert are_probabilities([])
    assert not are_probabilities([0.4, -0.1])
    assert not are_probabilities([0.4, 1.5])


def test_log_odds_of_probabilities_are_clipped() -> None:
    logits = log_odds([0.5, 0.9, 0.0, 1.0, math.nan], probabilities=True)
    assert logits[:2] == pytest.approx([0.0, math.log(9)])
    assert logits[2:4] == pytest.approx([-16.118096, 16.118096], abs=1e-5)
    assert logits[4] == -math.inf


def test_other_scores_are_log_odds_already() -> None:
    assert log_odds([-3.0, 7.0], probabilities=False).tolist() == [-3.0, 7.0]
    weights = vote_weights([0.0, -2.0, 800.0, -800.0, math.nan], probabilities=False)
    assert weights == pytest.approx([0.5, 1 / (1 + math.e**2), 1.0, 0.0, 0.0])


def test_a_probability_weighs_itself_in_a_vote() -> None:
    assert vote_weights([0.0, 0.3, math.nan], probabilities=True).tolist() == [0.0, 0.3, 0.0]


def test_top_takes_the_best_first_ones_and_nan_last() -> None:
    assert top("abcde", [0.1, math.nan, 0.5, 0.7, 0.5], 3) == ["d", "c", "e"]
    assert top("ab", [math.nan, 0.0], 2) == ["b", "a"]
    assert top("ab", [0.1, 0.2], 9) == ["b", "a"]


def test_distinct_keeps_the_first_of_equal_texts_in_order() -> None:
    root = prompt()
    paths = [extended(root, step) for step in "bab"] + [extended(extended(root, "a"), "b")]
    assert distinct(paths) == [paths[0], paths[1], paths[3]]


def test_repeated_puts_copies_side_by_side() -> None:
    assert repeated("abc", [2, 0, 1]) == ["a", "a", "c"]


def test_the_last_stage_goes_on_to_the_end() -> None:
    assert stages(3, 4) == [STEP, STEP, None]
    assert stages(1, 4) == [None]
    assert stages(40, 1) == [None]


def test_priority_is_the_value_and_a_share_of_the_past() -> None:
    assert priority([0.2, 0.4, 0.9]) == 0.9
    assert priority([0.2, 0.4, 0.9], past=0.5) == pytest.approx(0.9 + 0.5 * 0.3)
    assert priority([0.8], past=0.5) == pytest.approx(1.2)
    assert priority([math.nan, 0.5]) == 0.5
    assert priority([0.5, math.nan]) == -math.inf
    assert priority([math.nan, 0.5], past=1.0) == -math.inf


@given(st.integers(2, 64), st.integers(1, 80))
def test_a_width_that_does_not_divide_n_is_told_with_those_that_do(n: int, width: int) -> None:
    if n % width == 0:
        check_width("dvts", n, width)
        return
    with pytest.raises(InputError) as error:
        check_width("dvts", n, width)
    assert error.value.where == "dvts.width"
    assert f"width {width}, n {n}" in str(error.value)
    assert error.value.hint is not None
    divisors = [int(d) for d in error.value.hint.partition(": ")[2].split(", ")]
    assert divisors == [d for d in np.arange(1, n + 1).tolist() if n % d == 0]


def test_with_one_sample_the_width_has_no_effect() -> None:
    check_width("beam_search", 1, 4)
