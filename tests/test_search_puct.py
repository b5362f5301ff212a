"""PUCT's scores, and what a node of the search tree remembers."""

from __future__ import annotations

import math

import pytest

from tests.scripted_tree import extended, prompt
from ttscale.search.node import Node
from ttscale.search.puct import puct

C = math.log((4 + 19652 + 1) / 19652) + 1.25


def test_puct_is_the_value_and_a_bonus_for_what_was_seen_little() -> None:
    scores = puct([0.5, 0.2], [0.75, 0.25], [3, 1], 4)
    assert scores == pytest.approx([0.5 + C * 0.75 * 2 / 4, 0.2 + C * 0.25 * 2 / 2])
    assert puct([0.5], [1.0], [0], 0).tolist() == [0.5]
    more = puct([0.0], [1.0], [0], 1, c_init=2.0, c_base=1.0)
    assert more == pytest.approx([math.log(3) + 2])


def tree() -> Node:
    """a twice with .6 and .8, b with .4."""
    root = Node(prompt())
    root.expand([extended(root.path, step) for step in "aba"], [0.6, 0.4, 0.8])
    return root


def test_expanding_merges_equal_texts_and_backs_every_score_up() -> None:
    root = tree()
    a, b = root.children
    assert (a.prior, b.prior) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert (a.visits, b.visits, root.visits) == (2, 1, 3)
    assert (a.value, b.value, root.value) == (pytest.approx(0.7), 0.4, pytest.approx(0.6))
    a.expand([extended(a.path, "c")], [0.1])
    assert (a.visits, root.visits) == (3, 4)
    assert a.value == pytest.approx(0.5)


def test_a_continuation_without_a_score_stays_out() -> None:
    root = Node(prompt())
    root.expand([extended(root.path, step) for step in "ab"], [math.nan, 0.4])
    assert [child.path.response for child in root.children] == ["b\n\n"]
    assert root.visits == 1


def test_virtual_visits_lead_elsewhere_without_touching_values() -> None:
    root = tree()
    a, b = root.children
    assert root.descend(1.25, 19652) is a
    a.wait_for(8)
    assert root.descend(1.25, 19652) is b
    assert a.value == pytest.approx(0.7)
    a.wait_for(-8)
    assert root.descend(1.25, 19652) is a
    assert (root.pending, a.pending) == (0, 0)


def test_the_most_visited_leaf_is_where_visits_lead() -> None:
    root = tree()
    a, b = root.children
    assert root.most_visited_leaf() is a
    b.expand([extended(b.path, step) for step in "cd"], [0.1, 0.3])
    assert root.most_visited_leaf() is b.children[1], "of equal visits the higher value"
