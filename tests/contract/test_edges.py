"""Ends that every strategy can meet: no answer, one answer, a tie, a failed start, no budget."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import pytest

from tests.contract.playing import entries, experiment
from tests.scripted_talk import Talked, talk
from ttscale.engine.protocol import Sampling
from ttscale.run.sweep import arms

SEVERAL = [entry for entry in entries() if "n" in entry]
STEPS = ["a\n\n", "bc\n\n", "=1", "d\n\n", "=2", "e=1"]
SHORT = {"budget_forcing": {"maximum": 4, "cue": ":", "answer": 3}}
"""What fits into a response of a dozen tokens."""


def say(tmp_path: FilePath, entry: dict[str, Any], replies: list[str], **more: Any) -> Talked:
    """Run a strategy on a model that gives these replies in turn, whatever it is asked."""
    (arm,) = arms(experiment(tmp_path, entry))
    return talk(
        tmp_path,
        arm.strategy,
        {"": replies},
        verifier=arm.verifier,
        sure=lambda text: [2.0] * len(text),
        first=lambda prefix: {"1": 0.3, "0": 0.6},
        **more,
    )


def name(entry: dict[str, Any]) -> str:
    return str(entry["name"])


@pytest.mark.parametrize("entry", entries(), ids=name)
def test_where_nobody_answers_there_is_no_answer(entry: dict[str, Any], tmp_path: FilePath) -> None:
    talked = say(tmp_path, entry, ["a", "bc", ""])
    assert talked.answer is None and talked.error is None


@pytest.mark.parametrize("entry", entries(), ids=name)
def test_where_all_agree_at_once_that_is_the_answer(
    entry: dict[str, Any], tmp_path: FilePath
) -> None:
    assert say(tmp_path, entry, ["a=1", "bc=1", "=1"]).answer == "1"


@pytest.mark.parametrize("entry", entries(), ids=name)
def test_a_tie_is_broken_the_same_way_each_time(entry: dict[str, Any], tmp_path: FilePath) -> None:
    first, again = (say(tmp_path, entry, ["a=1", "b=2"]) for _ in range(2))
    assert first.answer in {"1", "2"}
    assert (again.text, again.result.tied) == (first.text, first.result.tied)


@pytest.mark.parametrize("entry", SEVERAL, ids=name)
def test_a_first_path_that_fails_does_not_decide(entry: dict[str, Any], tmp_path: FilePath) -> None:
    assert say(tmp_path, entry, ["", *["a=2"] * 40]).answer == "2"


@pytest.mark.parametrize("entry", entries(), ids=name)
def test_a_budget_that_ends_anywhere_leaves_the_best_of_what_is_finished(
    entry: dict[str, Any], tmp_path: FilePath
) -> None:
    entry = {**entry, **SHORT.get(entry["name"], {})}
    ended = []
    for budget in (1, 8, 13, 20, 33):
        talked = say(tmp_path, entry, STEPS, budget=budget, sampling=Sampling(max_tokens=12))
        assert talked.n_generated <= budget
        if talked.error is not None:
            ended.append(budget)
            answered = [text for text in talked.finished if "=" in text]
            assert talked.text in answered or not answered
    assert 1 in ended, "a budget below one response ends it at once"
