"""A* and MCTS: the order in which they expand, computed by hand."""

from __future__ import annotations

import math
from pathlib import Path as FilePath

import pytest

from tests.scripted_tree import grow
from ttscale.search.puct import puct
from ttscale.strategies.a_star import AStar
from ttscale.strategies.mcts import MCTS

TREE = {
    "": ["a", "b", "b"],
    "a": ["c", "d"],
    "b": ["=1", "e"],
    "a d": ["=2", "=3"],
}
SCORES = {
    **{"a": 0.6, "b": 0.5, "a c": 0.3, "a d": 0.46, "b =1": 0.45, "b e": 0.2},
    **{"a d =2": 0.1, "a d =3": 0.44},
}


def test_a_star_expands_in_the_order_of_f(tmp_path: FilePath) -> None:
    tree = TREE | {"": ["a", "b"]}
    played = grow(tmp_path, AStar(n=2), tree, SCORES)
    assert played.grown == ["a", "b", "a c", "a d", "b =1", "b e", "a d =2", "a d =3"]
    assert played.answer == "b =1", "0.45 is popped before 0.44: a finished one ends the search"
    assert played.result.score == 0.45
    assert played.n_generated_tokens == 6 + 6 + 5 + 4


def test_a_star_may_count_the_past(tmp_path: FilePath) -> None:
    tree = TREE | {"": ["a", "b"]}
    # f: a 1.2, b 1.0; then a c 0.3 + 0.6, a d 0.46 + 0.6 = 1.06, before b.
    played = grow(tmp_path, AStar(n=2, past=1.0), tree, SCORES)
    assert played.grown == ["a", "b", "a c", "a d", "a d =2", "a d =3", "b =1", "b e"]
    # f of a d =3: 0.44 + 0.53 = 0.97; of b =1: 0.45 + 0.5 = 0.95.
    assert played.answer == "a d =3"


def test_a_star_queues_equal_texts_once_and_equal_f_first_come(tmp_path: FilePath) -> None:
    scores = SCORES | {"b": 0.6, "a c": 0.0, "a d": 0.0, "b =1": 0.7, "b e": 0.0}
    played = grow(tmp_path, AStar(n=3), TREE, scores)
    assert played.grown[:3] == ["a", "b", "b"]
    assert played.grown[3:6] == ["a c", "a d", "a c"], "a came first"
    assert played.grown[6:] == ["b =1", "b e", "b =1"], "b is expanded once"
    assert played.answer == "b =1"


def test_a_star_ends_its_last_expansion_with_the_response(tmp_path: FilePath) -> None:
    tree = {"": ["a", "=1"], "a": ["c =2", "d e =3"]}
    scores = {"a": 0.6, "=1": 0.1, "a c =2": 0.05, "a d e =3": 0.02}
    played = grow(tmp_path, AStar(n=2, max_expansions=2), tree, scores)
    assert played.grown == ["a", "=1", "a c =2", "a d e =3"]
    assert played.answer == "=1", "the highest f of the finished ones, whenever they were found"


def test_mcts_goes_where_puct_leads_and_ends_where_it_went_most(tmp_path: FilePath) -> None:
    tree = {"": ["a", "b"], "a": ["c", "d"], "b": ["e", "=2"], "b e": ["=1", "f =1"]}
    scores = {
        **{"a": 0.6, "b": 0.4, "a c": 0.2, "a d": 0.3, "b e": 0.8, "b =2": 0.7},
        **{"b e =1": 0.5, "b e f =1": 0.4},
    }
    # After the root: a, b have Q .6, .4, N 1. After a: Q (.6 + .2 + .3) / 3, N 3, and b is due.
    # After b: N 3 each, Q .37 and .63. The last simulation follows b and the better of its two.
    first = puct([0.6, 0.4], [0.5, 0.5], [1, 1], 2)
    second = puct([1.1 / 3, 0.4], [0.5, 0.5], [3, 1], 4)
    assert first[0] > first[1] and second[1] > second[0]
    played = grow(tmp_path, MCTS(n=4, width=2, batch=1), tree, scores)
    assert played.grown == ["a", "b", "a c", "a d", "b e", "b =2", "b e =1", "b e f =1"]
    assert played.answer == "b e =1", "0.5 + 0.4 against 0.7"
    assert played.n_generated_tokens == 6 + 6 + 5 + 7
    best = grow(tmp_path, MCTS(n=4, width=2, batch=1, pick="best"), tree, scores)
    assert best.answer == "b =2"


def test_mcts_descends_as_long_as_it_pays(tmp_path: FilePath) -> None:
    tree = {"": ["a", "b"], "a": ["c", "d"], "a c": ["=1", "=2"]}
    scores = {"a": 0.9, "b": 0.1, "a c": 0.95, "a d": 0.6, "a c =1": 0.3, "a c =2": 0.2}
    played = grow(tmp_path, MCTS(n=4, width=2, batch=1), tree, scores)
    assert played.grown == ["a", "b", "a c", "a d", "a c =1", "a c =2"]
    assert played.answer == "a c =1"


def test_mcts_batches_leaves_apart_by_virtual_visits(tmp_path: FilePath) -> None:
    tree = {"": ["a", "b"], "a": ["=1"], "b": ["=2"]}
    scores = {"a": 0.6, "b": 0.4, "a =1": 0.5, "b =2": 0.9}
    # The root is alone in the first batch. With two visits under way at a, b is next.
    waiting = puct([0.6, 0.4], [0.5, 0.5], [3, 1], 4)
    assert waiting[1] > waiting[0]
    played = grow(tmp_path, MCTS(n=4, width=2, batch=2), tree, scores)
    assert played.grown == ["a", "b", "a =1", "a =1", "b =2", "b =2"]
    assert played.answer == "b =2"


def test_a_finished_leaf_is_visited_again_for_nothing(tmp_path: FilePath) -> None:
    scores = {"=1": 0.9, "b": 0.1}
    played = grow(tmp_path, MCTS(n=4, width=2, batch=1), {"": ["=1", "b"]}, scores)
    assert played.grown == ["=1", "b"]
    assert played.answer == "=1"
    # … until its bonus has shrunk below that of what was seen less.
    visits = 1
    while True:
        mine, other = puct([0.9, 0.1], [0.5, 0.5], [visits, 1], visits + 1)
        if other > mine:
            break
        visits += 1
    tree = {"": ["=1", "b"], "b": ["=2"]}
    for n, n_grown in ((visits + 1, 2), (visits + 2, 4)):
        played = grow(tmp_path, MCTS(n=n, width=2, batch=1), tree, scores | {"b =2": 0.2})
        assert played.grown == ["=1", "b", "b =2", "b =2"][:n_grown]


def test_a_verifier_that_is_silent_does_not_stop_mcts(tmp_path: FilePath) -> None:
    tree = {"": ["a", "=1"]}
    scores = {"a": math.nan, "=1": math.nan}
    played = grow(tmp_path, MCTS(n=2, width=2), tree, scores)
    assert played.grown == ["a", "=1", "a", "=1"]
    assert played.answer == "=1"
    assert played.result.score == pytest.approx(0.0)
