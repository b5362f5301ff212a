"""The vote weighted by scores, whatever their scale."""

from __future__ import annotations

import math
from pathlib import Path as FilePath

import pytest

from tests.scripted_tree import grow
from ttscale.strategies.weighted_majority import WeightedMajority

TREE = {"": ["a =1", "b =1", "=2", "c"]}


@pytest.mark.parametrize(
    ("scores", "answer", "share"),
    [
        ([0.2, 0.2, 0.5, 0.9], "=2", 0.5 / 1.8),
        ([0.3, 0.3, 0.5, 0.0], "a =1", 0.6 / 1.1),
        ([math.nan, 0.3, 0.2, 0.0], "a =1", 0.3 / 0.5),
        # Log-odds: sigmoids .27, .27, .5 and .12.
        ([-1.0, -1.0, 0.0, -2.0], "a =1", 0.537883 / 1.157086),
    ],
)
def test_the_largest_sum_of_scores_wins(tmp_path: FilePath, scores, answer, share) -> None:
    names = ["a =1", "b =1", "=2", "c"]
    played = grow(tmp_path, WeightedMajority(n=4), TREE, dict(zip(names, scores, strict=True)))
    assert played.grown == names
    assert played.answer == answer
    assert played.result.score == pytest.approx(share, abs=1e-6)
    assert played.result.abstained == 1


def test_without_any_answer_there_is_no_winner(tmp_path: FilePath) -> None:
    played = grow(tmp_path, WeightedMajority(n=2), {"": ["a"]}, {"a": 0.9})
    assert played.answer is None
    assert played.result.abstained == 2
