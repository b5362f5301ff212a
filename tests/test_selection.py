"""Weights, utilities, lists and vote trees: values worked by hand or by a second way."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ttscale.errors import InputError
from ttscale.selection.listing import (
    labelled,
    read_items,
    read_number,
    read_share,
    shorten,
    shown,
)
from ttscale.selection.risk import overlap, same_answer
from ttscale.selection.tree import phase, vote_up
from ttscale.selection.weights import borda, shortness


def test_shortness_gives_each_class_its_count_over_the_log_of_its_mean_length() -> None:
    classes = [0, 0, 0, 1, 1, None]
    weights = shortness(classes, [8000, 7000, 9000, 200, 400, 5])
    assert sum(weights[:3]) == pytest.approx(0.333808, abs=1e-6)
    assert sum(weights[3:5]) == pytest.approx(0.350645, abs=1e-6)
    assert weights[5] == 0
    assert shortness([0, 1], [1, 2])[0] == shortness([0, 1], [1, 2])[1] == 1 / np.log(2)


def test_borda_ranks_and_shares_ranks() -> None:
    assert borda([0.2, 0.9, 0.5], 1).tolist() == [1, 3, 2]
    assert borda([0.2, 0.9, 0.5], 2).tolist() == [1, 9, 4]
    assert borda([0.2, 0.9, 0.5], 0).tolist() == [1, 1, 1]
    assert borda([0.5, 0.5, float("nan")], 1).tolist() == [2.5, 2.5, 1]
    assert borda([0.5] * 4, 1).tolist() == [2.5] * 4


def test_utilities() -> None:
    assert same_answer([0, None], [0, 1, None]).tolist() == [[1, 0, 0], [0, 0, 0]]
    texts = ["the cat sat", "the cat sat", "xyzw"]
    values = overlap(texts, texts)
    assert values[0, 1] == pytest.approx(1)
    assert values[0, 2] == 0
    # "ab" against "abc", n = 1: padded with no blanks; 2 common of 2 and 3 characters.
    assert overlap(["ab"], ["abc"], size=1) == pytest.approx((1 + 4) * 2 / (4 * 3 + 2))


def test_a_list_and_its_shortening_keep_the_ends() -> None:
    assert labelled(["a", " b\n"]) == "### Solution 1\na\n\n### Solution 2\nb"
    texts = ["0123456789", "abc", ""]
    assert shorten(texts, lambda parts: sum(map(len, parts)) <= 13) == texts
    assert shorten(texts, lambda parts: sum(map(len, parts)) <= 12) == ["… 3456789", "abc", ""]
    assert shorten(texts, lambda parts: sum(map(len, parts)) <= 8) == ["… 789", "abc", ""]
    assert shorten(texts, lambda parts: sum(map(len, parts)) <= 7) == ["… 9", "… c", ""]
    assert shorten(texts, lambda parts: False) == ["", "", ""]
    assert shorten([], lambda parts: True) == []


def test_what_is_shown_is_the_answer_or_the_thinking_without_one() -> None:
    assert shown("<think>a</think> b ") == "b"
    assert shown("<think>a") == "<think>a"


@pytest.mark.parametrize(
    ("reply", "number"),
    [
        ("Best: 2", 2),
        ("2 is better than 1. Best: **2**.", 2),
        ("Solution 3 has 2.5 instead of 12", 3),
        ("I like 7", None),
        ("none", None),
        ("<think>1 or 2? 3", None),
        ("x2", None),
    ],
)
def test_a_choice_is_the_last_number_in_range(reply: str, number: int | None) -> None:
    assert read_number(reply, 3) == number


def test_votes_go_up_the_tree() -> None:
    rng = np.random.default_rng(0)
    # 5 of 9 vote 1, but 0 wins two of the three groups.
    vote = vote_up([0, 0, 1, 0, 0, 1, 1, 1, 1], 3, rng)
    assert (vote.winner, vote.tied, vote.abstained) == (0, 1, 0)
    assert vote.share == pytest.approx(2 / 3)
    assert vote_up([None, 1, None], 3, rng) == (1, 1 / 3, 1, 2)
    assert vote_up([None] * 4, 2, rng) == (None, 0.0, 0, 4)
    assert vote_up([5], 2, rng) == (0, 1.0, 1, 0)
    assert {vote_up([0, 1], 2, rng).winner for _ in range(50)} == {0, 1}


def test_a_tree_of_independent_votes_is_as_right_as_majorities_of_majorities() -> None:
    p, rng = 0.6, np.random.default_rng(1)
    three = p**3 + 3 * p**2 * (1 - p)
    nine = three**3 + 3 * three**2 * (1 - three)
    right = [
        vote_up(list(leaves), 3, rng).winner is not None
        and leaves[vote_up(list(leaves), 3, rng).winner or 0] == 1
        for leaves in itertools.product([0, 1], repeat=9)
    ]
    weight = [p ** sum(x) * (1 - p) ** (9 - sum(x)) for x in itertools.product([0, 1], repeat=9)]
    assert np.dot(right, weight) == pytest.approx(nine)


@pytest.mark.parametrize(("rho", "gain"), [(0.0, 1.875), (0.2, 1.7), (0.5, 1.4375)])
def test_the_phase_is_told_from_answers_with_a_common_cause(rho: float, gain: float) -> None:
    rng = np.random.default_rng(2)
    own = rng.random((40_000, 5)) < 0.6
    correct = np.where(rng.random((40_000, 1)) < rho, own[:, :1], own).astype(float)
    found = phase(correct, 5, fidelity=0.62)
    assert found.correlation == pytest.approx(rho, abs=0.01)
    assert found.gain == pytest.approx(0.62 * gain, abs=0.01)
    assert found.critical_fidelity == pytest.approx(1 / gain, abs=0.01)
    assert found.side == ("amplifies" if rho < 0.3 else "dies out")


def test_what_is_no_table_of_answers_is_told() -> None:
    assert phase([[1, 1], [1, 1]], 3).correlation == 0
    for correct, width in (([1, 0], 3), ([[1, 2]], 3), ([[1, 0]], 4)):
        with pytest.raises(InputError):
            phase(correct, width)


def test_a_numbered_list_is_read_line_by_line() -> None:
    reply = "Parts:\n1. add **them**\n  2) check: 3. is odd\n**Step 3:** halve**\n- no\n4.\n5. more"
    assert read_items(reply, 9) == ["add **them", "check: 3. is odd", "halve", "more"]
    assert read_items(reply, 1) == ["add **them"]
    assert read_items("<think>1. a", 9) == [] == read_items("none", 9)


@pytest.mark.parametrize(
    ("reply", "share"),
    [
        ("0.3", 0.3),
        ("Hardness: .75", 0.75),
        ("1", 1.0),
        ("1.0 of 10", 1.0),
        ("0", 0.0),
        ("2.5", None),
    ],
)
def test_a_rating_is_the_last_number_from_0_to_1(reply: str, share: float | None) -> None:
    assert read_share(reply) == share
