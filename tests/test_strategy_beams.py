"""Beam search, lookahead and DVTS: trees computed by hand from the pseudo-code."""

from __future__ import annotations

import dataclasses
from pathlib import Path as FilePath

import pytest

from tests.contract.playing import experiment, play
from tests.scripted_tree import END, grow
from ttscale.errors import InputError
from ttscale.strategies.beam_search import BeamSearch
from ttscale.strategies.dvts import DVTS
from ttscale.strategies.lookahead import Lookahead

TREE = {
    "": ["a", "b", "c", "a"],
    "a": ["=1", "d"],
    "c": ["e", "f"],
    "c e": ["=2"],
    "a d": ["=1", "g"],
    "a d g": ["h =1", "=3", "=3", "=3"],
}
SCORES = {
    **{"a": 0.9, "b": 0.5, "c": 0.7},
    **{"a =1": 0.6, "a d": 0.3, "c e": 0.8, "c f": 0.2},
    **{"c e =2": 0.9, "a d =1": 0.5, "a d g": 0.1},
    **{"a d g h =1": 0.95, "a d g =3": 0.1},
}
GROWN = [
    *["a", "b", "c", "a"],  # the second a is dropped; a and c are kept
    *["a =1", "a d", "c e", "c f"],  # d and e are kept, in the order of their scores
    *["c e =2", "c e =2", "a d =1", "a d g"],  # one path is left: it gets all four
    *["a d g h =1", "a d g =3", "a d g =3", "a d g =3"],  # the last stage: to the end
]


def test_beam_search_grows_the_tree_of_its_pseudo_code(tmp_path: FilePath) -> None:
    played = grow(tmp_path, BeamSearch(n=4, width=2, max_steps=4), TREE, SCORES)
    assert played.grown == GROWN
    assert played.n_generated_tokens == 4 * 3 + (2 + 3 * 3) + (3 * 2 + 3) + (5 + 3 * 2)
    assert len(played.finished) == 8
    # The best four are .95, .9, .9, .6: answer 2 has 1.8 of their 3.35, answer 1 has 1.55. All
    # eight would have elected answer 1.
    assert played.answer == "c e =2"
    assert played.result.score == pytest.approx(1.8 / 3.35)


def test_beam_search_may_answer_with_the_best_path(tmp_path: FilePath) -> None:
    best = grow(tmp_path, BeamSearch(n=4, width=2, max_steps=4, pick="best"), TREE, SCORES)
    assert best.answer == "a d g h =1"
    assert best.result.score == 0.95


def test_a_beam_of_one_path_gets_all_continuations(tmp_path: FilePath) -> None:
    tree = {"": ["a", "b", "a"], "a": ["=1"], "b": ["=2"]}
    scores = {"a": 0.2, "b": 0.3, "a =1": 0.5, "b =2": 0.5}
    uneven = grow(tmp_path, BeamSearch(n=3, width=1), tree, scores)
    assert uneven.grown[3:] == ["b =2", "b =2", "a =1"]
    greedy = grow(tmp_path, BeamSearch(n=3, width=3), tree, scores)
    assert greedy.grown[3:] == ["b =2"] * 3


AHEAD = {"": ["a", "b"], "b": ["=1", "=2"], "b y": []}
AHEAD_SCORES = {"a x": 0.2, "b y": 0.8, "a =9": 0.7, "b y z": 0.9, "b =1": 0.4, "b =2": 0.6}


def test_lookahead_scores_where_a_greedy_step_leads_and_drops_it(tmp_path: FilePath) -> None:
    strategy = Lookahead(n=2, width=2, k=1)
    played = grow(tmp_path, strategy, AHEAD, AHEAD_SCORES, greedy={"a": "x", "b": "y"})
    assert played.grown == ["a", "b", "a x", "b y", "b =1", "b =2"]
    assert played.scored == ["a x", "b y", "b =1", "b =2"]
    assert played.n_generated_tokens == 2 * 3 + 2 * 3 + 2 * 2, "rollouts are billed"
    assert played.answer == "b =2"


def test_a_rollout_ends_where_the_solution_does(tmp_path: FilePath) -> None:
    strategy = Lookahead(n=2, width=2, k=2)
    greedy = {"a": "=9", "b": "y", "b y": "z"}
    played = grow(tmp_path, strategy, AHEAD, AHEAD_SCORES, greedy=greedy)
    assert played.grown == ["a", "b", "a =9", "b y", "b y z", "b =1", "b =2"]
    assert played.answer == "b =2"


def test_there_is_no_lookahead_at_the_last_step(tmp_path: FilePath) -> None:
    strategy = Lookahead(n=2, width=2, k=3, max_steps=1)
    played = grow(tmp_path, strategy, {"": ["a =1", "=2"]}, {"a =1": 0.1, "=2": 0.2})
    assert played.grown == ["a =1", "=2"]


def test_lookahead_of_no_steps_is_beam_search(tmp_path: FilePath) -> None:
    fields = {"n": 4, "width": 2, "max_steps": 4}
    ahead = grow(tmp_path, Lookahead(k=0, **fields), TREE, SCORES)
    assert ahead.grown == GROWN
    assert ahead.answer == "c e =2"
    played = [
        play(
            experiment(tmp_path, {**entry, "n": 8, "verifier": "mean_logprob"}),
            tmp_path / entry["name"],
        )
        for entry in ({"name": "beam_search"}, {"name": "lookahead", "k": 0})
    ]
    assert played[0] is not None and played[1] is not None
    assert played[0].chosen == played[1].chosen
    assert played[0].books == played[1].books


SUBTREES = {
    "": ["a", "b", "c", "d"],
    "a": ["=1", "e"],
    "d": ["=2", "f"],
    "a e": ["=3", "=1"],
}
SUBTREE_SCORES = {
    **{"a": 0.9, "b": 0.8, "c": 0.2, "d": 0.3},
    **{"a =1": 0.4, "a e": 0.7, "d =2": 0.6, "d f": 0.5},
    **{"a e =3": 0.5, "a e =1": 0.3},
}


def test_dvts_keeps_the_best_of_every_subtree(tmp_path: FilePath) -> None:
    played = grow(tmp_path, DVTS(n=4, width=2), SUBTREES, SUBTREE_SCORES)
    # A beam search would have kept a and b. The second subtree ends with its best child, d =2;
    # d f is dropped unfinished, and a =1 was not in the first one's last step.
    assert played.grown == ["a", "b", "c", "d", "a =1", "a e", "d =2", "d f", "a e =3", "a e =1"]
    assert sorted(played.finished) == ["a =1", "a e =1", "a e =3", "d =2"]
    assert played.answer == "d =2"
    assert played.result.score == pytest.approx(0.6 / (0.6 + 0.5 + 0.3))


def test_dvts_subtrees_do_not_compete(tmp_path: FilePath) -> None:
    """Whatever the second subtree's scores, the first one grows the same."""
    expected = ["a", "b", "a =1", "a e", "a e =3", "a e =1"]
    for high in (0.1, 1.0):
        scores = SUBTREE_SCORES | {"c": 0.0, "d": high, "d =2": high, "d f": 0.0}
        played = grow(tmp_path, DVTS(n=4, width=2), SUBTREES, scores)
        assert [step for step in played.grown if step[0] in "ab"] == expected


def test_dvts_subtrees_sample_streams_of_their_own(tmp_path: FilePath) -> None:
    result = play(
        experiment(tmp_path, {"name": "dvts", "n": 8, "width": 2, "verifier": "mean_logprob"}),
        tmp_path / "j",
    )
    assert result is not None
    for outcome in result.outcomes:
        firsts = {sample.path.response.partition(END)[0] for sample in outcome.samples}
        assert len(firsts) > 1, "subtrees begin with different steps"


@pytest.mark.parametrize("strategy", [BeamSearch, Lookahead, DVTS])
def test_a_width_that_does_not_divide_n_is_refused(strategy) -> None:
    with pytest.raises(InputError, match=r"(?s)width must divide n.*width 4, n 6.*1, 2, 3, 6"):
        strategy(n=6, width=4)
    assert dataclasses.replace(strategy(n=8, width=4), n=1).n == 1
