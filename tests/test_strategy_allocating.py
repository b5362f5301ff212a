"""REBASE and ETS: the widths they allot and the leaves they keep, computed by hand."""

from __future__ import annotations

from pathlib import Path as FilePath

import pytest

from tests.scripted_tree import grow
from ttscale.search.allocation import rebase_widths
from ttscale.strategies.ets import ETS
from ttscale.strategies.rebase import Rebase


def test_rebase_allots_widths_and_ends_with_n_solutions(tmp_path: FilePath) -> None:
    tree = {
        "": ["a", "b", "c", "=1"],
        "a": ["=2", "d"],
        "b": ["=1"],
        "a d": ["=2"],
    }
    scores = {
        **{"a": 0.9, "b": 0.8, "c": 0.1, "=1": 0.7},
        **{"a =2": 0.6, "a d": 0.3, "b =1": 0.4, "a d =2": 0.3},
    }
    # One of four is finished: a width of 3 is left, and ceil(3 / 1.6248) = 2 of it go to a, 1 to b.
    assert rebase_widths([0.9, 0.8, 0.1], 3, 0.2) == [2, 1, 0]
    played = grow(tmp_path, Rebase(n=4), tree, scores)
    assert played.grown == ["a", "b", "c", "=1", "a =2", "a d", "b =1", "a d =2"]
    assert played.finished == ["=1", "a =2", "b =1", "a d =2"]
    assert played.answer == "=1", "0.7 + 0.4 against 0.6 + 0.3"
    assert played.result.score == pytest.approx(1.1 / 2.0)
    assert played.n_generated_tokens == (3 * 3 + 2) + (2 + 3 + 2) + 2
    assert grow(tmp_path, Rebase(n=4, pick="best"), tree, scores).answer == "=1"


def test_rebase_goes_on_to_the_end_at_the_last_step(tmp_path: FilePath) -> None:
    tree = {"": ["a"], "a": ["b =3", "b c"]}
    scores = {"a": 0.9, "a b =3": 0.9, "a b c": 0.1}
    played = grow(tmp_path, Rebase(n=2, max_steps=2), tree, scores)
    assert played.grown == ["a", "a", "a b =3", "a b c"]
    assert len(played.finished) == 2
    assert played.answer == "a b =3"


TREE = {
    "": ["a", "b", "c", "d"],
    "a": ["e", "f"],
    "b": ["g", "h"],
    "a e": ["=1", "=1", "=2"],
    "a f": ["=2"],
    "b g": ["=3"],
    "b h": ["=3"],
}
SCORES = {
    **{"a": 0.9, "b": 0.9, "c": 0.0, "d": 0.0},
    **{"a e": 0.9, "a f": 0.75, "b g": 0.75, "b h": 0.74},
    **{"a e =1": 0.5, "a e =2": 0.5, "a f =2": 0.8, "b g =3": 0.9, "b h =3": 0.9},
}


def test_ets_keeps_leaves_of_shared_nodes(tmp_path: FilePath) -> None:
    # First step: widths 2, 2, 0, 0. Each leaf costs 1/4, so a and b stay.
    # Second step: widths 2, 1, 1, 0 on a e, a f, b g, b h. Those below a give 3/4 - 3/6; adding
    # b g gives 1 - 5/6, a e alone 1/2 - 2/6. The width of 4 then goes to a e and a f as 3 and 1.
    assert rebase_widths([0.9, 0.75, 0.75, 0.74], 4, 0.2) == [2, 1, 1, 0]
    assert rebase_widths([0.9, 0.75], 4, 0.2) == [3, 1]
    played = grow(tmp_path, ETS(n=4, diversity=0.0), TREE, SCORES)
    assert played.grown == [
        *["a", "b", "c", "d"],
        *["a e", "a f", "b g", "b h"],
        *["a e =1", "a e =1", "a e =2", "a f =2"],
    ]
    assert played.answer == "a e =2", "0.5 + 0.8 against 0.5 + 0.5"


def test_ets_keeps_more_for_diversity(tmp_path: FilePath) -> None:
    played = grow(tmp_path, ETS(n=4, diversity=1.5), TREE, SCORES)
    assert played.grown[8:] == ["a e =1", "a e =1", "a f =2", "b g =3"], "REBASE's own widths"


def test_without_a_price_or_a_prize_ets_is_rebase_where_all_leaves_get_some(
    tmp_path: FilePath,
) -> None:
    ets = grow(tmp_path, ETS(n=4, sharing=0.0, diversity=0.0), TREE, SCORES)
    rebase = grow(tmp_path, Rebase(n=4), TREE, SCORES)
    assert ets.grown == rebase.grown
    assert ets.answer == rebase.answer


def test_ets_may_count_tokens_instead_of_nodes(tmp_path: FilePath) -> None:
    """A long first step makes the other branch the cheaper one."""
    long = "a" * 400
    tree = {long if key == "a" else key.replace("a ", f"{long} "): TREE[key] for key in TREE}
    tree[""] = [long, "b", "c", "d"]
    scores = {
        long if key == "a" else key.replace("a ", f"{long} "): SCORES[key] for key in SCORES
    } | {f"{long} e": 0.76, "b g": 0.75, "b h": 0.74, f"{long} f": 0.73}
    below = {}
    for cost in ("nodes", "tokens"):
        played = grow(tmp_path, ETS(n=4, diversity=0.0, sharing=0.9, cost=cost), tree, scores)
        below[cost] = {name[0] for name in played.grown if len(name.split()) == 3}
    assert "a" in below["nodes"]
    assert below["tokens"] == {"b"}
