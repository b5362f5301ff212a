"""The adaptive strategies: what they ask for, in order, and what their stopping saves."""

from __future__ import annotations

import math
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta as beta_distribution

from tests.contract.playing import Played, experiment, play
from tests.scripted_talk import PROMPT, talk
from tests.test_adaptive import plan
from ttscale.engine.simulated.law import World, WorldConfig
from ttscale.errors import InputError
from ttscale.strategies.adaptive_consistency import AdaptiveConsistency
from ttscale.strategies.compute_optimal import ComputeOptimal
from ttscale.strategies.deepconf import DeepConf
from ttscale.strategies.semantic_entropy import SemanticEntropy

P, N, SIZE = 0.6, 12, 120


def test_it_stops_at_the_sample_that_decides(tmp_path: FilePath) -> None:
    agreed = talk(tmp_path, AdaptiveConsistency(n=9), {"": ["=1"]})
    assert agreed.requests == [(PROMPT, 1000, 1)] * 4, "P(4, 0) is the first above .95"
    assert agreed.answer == "1" and agreed.n_generated == 8
    silent = talk(tmp_path, AdaptiveConsistency(n=3), {"": ["x"]})
    assert silent.text is None and silent.result.abstained == 3
    tied = talk(tmp_path, AdaptiveConsistency(n=4), {"": ["=1", "=2"]})
    assert tied.result.tied == 2 and len(tied.requests) == 4
    late = talk(tmp_path, AdaptiveConsistency(n=9), {"": ["x", *["=1"] * 8]})
    assert len(late.requests) == 5, "a first path without an answer decides nothing"
    ended = talk(tmp_path, AdaptiveConsistency(n=9), {"": ["=1"]}, budget=1003)
    assert ended.error and ended.answer == "1" and ended.n_generated == 4


def test_a_window_stops_when_it_agrees(tmp_path: FilePath) -> None:
    strategy = AdaptiveConsistency(n=8, rule="window", window=3)
    script = {"": ["=1", "=2", "=1", "=3", "=3", "=3", "=1", "=1"]}
    talked = talk(tmp_path, strategy, script)
    assert talked.requests == [(PROMPT, 1000, 3), (PROMPT, 1000, 3)]
    assert talked.answer == "3"
    assert [n for _, _, n in talk(tmp_path, strategy, {"": ["=1", "=2"]}).requests] == [3, 3, 2]
    with pytest.raises(InputError, match="agrees with itself"):
        AdaptiveConsistency(rule="window")


def simulated(chances: list[float], window: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples used, and the chance that the answer is that of all samples: another way to both."""
    sure = beta_distribution.sf(0.5, *np.indices((N + 1, N + 1)) + 1) >= 0.9
    classes = np.random.default_rng(0).choice(len(chances), p=chances, size=(4000, N))
    said = (classes[:, :, None] == np.arange(1, len(chances))).cumsum(axis=1)
    ordered = np.sort(said, axis=2)
    decided = sure[ordered[:, :, -1], ordered[:, :, -2]]
    decided[:, np.arange(1, N + 1) % window > 0] = False
    decided[:, -1] = True
    used = decided.argmax(axis=1) + 1
    at_stop, at_end = said[np.arange(len(said)), used - 1], said[:, -1]
    best = at_end == at_end.max(axis=1, keepdims=True)
    agrees = np.take_along_axis(
        best / best.sum(axis=1, keepdims=True), at_stop.argmax(axis=1)[:, None], 1
    )
    return used, np.where(used == N, 1.0, agrees[:, 0])


@pytest.mark.parametrize("window", [1, 4])
def test_stopping_saves_what_an_independent_simulation_says(
    tmp_path: FilePath, window: int
) -> None:
    benchmark = {"simulated": {"success": {"distribution": "fixed", "values": [P]}}, "size": SIZE}

    def run(entry: dict[str, Any]) -> Played:
        setup = experiment(tmp_path, entry, benchmark=benchmark)
        played = play(setup, tmp_path / "journal")
        assert played is not None
        return played

    stopped = run({"name": "adaptive_consistency", "n": N, "threshold": 0.9, "window": window})
    full = run({"name": "majority_vote", "n": N})
    used = np.array([len(outcome.samples) for outcome in stopped.outcomes])
    assert full.engine_streams == SIZE * N - used.sum(), "what both ask for is sampled once"
    same = np.array([stopped.chosen[key][0] == full.chosen[key][0] for key in full.chosen])

    misses = np.array(World(WorldConfig()).misses) * (1 - P)
    expected_used, expected_same = simulated([misses[0], P, *misses[1:]], window)
    assert expected_used.mean() < 0.8 * N and 0.9 < expected_same.mean() < 1
    for found, expected in ((used, expected_used), (same, expected_same)):
        error = math.sqrt(expected.var() * (1 / SIZE + 1 / len(expected)))
        assert abs(found.mean() - expected.mean()) < 4 * error, (found.mean(), expected.mean())


def test_rounds_end_when_answers_agree(tmp_path: FilePath) -> None:
    script = {
        "so far.*a=1.*=2": ["=2", "q=2", "x"],
        "so far.*=2": ["=3", "=3", "=3"],
        "": ["a=1", "b=1", "=2"],
    }
    talked = talk(tmp_path, SemanticEntropy(n=3, rounds=4, threshold=0.3), script)
    assert [n for _, _, n in talked.requests] == [3, 3, 3]
    second, third = talked.requests[1][0], talked.requests[2][0]
    assert "### Solution 1\na=1\n\n### Solution 2\nb=1\n\n### Solution 3\n=2" in second
    assert "### Solution 2\nq=2\n\n### Solution 3\nx" in third
    assert talked.text == "=3" and talked.result.score == 1
    assert talked.finished == ["a=1", "b=1", "=2"], "later rounds have prompts of their own"
    assert talked.ledger[3][1] == 0, "a new prompt is computed"


def test_rounds_edges(tmp_path: FilePath) -> None:
    assert len(talk(tmp_path, SemanticEntropy(n=3), {"": ["=1"]}).requests) == 1
    assert len(talk(tmp_path, SemanticEntropy(n=1), {"": ["=1"]}).requests) == 1
    silent = talk(tmp_path, SemanticEntropy(n=2, rounds=2), {"": ["x"]})
    assert silent.text is None and len(silent.requests) == 2
    # The last round says nothing: the first one's vote stands.
    lost = talk(tmp_path, SemanticEntropy(n=2, rounds=2), {"so far": ["x"], "": ["=1", "=2"]})
    assert lost.answer in {"1", "2"} and lost.result.tied == 2
    ended = talk(tmp_path, SemanticEntropy(n=2), {"": ["=1", "=2"]}, budget=1005)
    assert ended.error and len(ended.finished) == 2


def test_rounds_end_by_the_secretary(tmp_path: FilePath) -> None:
    script = {"so far": ["=1", "=1", "=2"], "": ["=1", "=2", "=3"]}
    talked = talk(tmp_path, SemanticEntropy(n=3, rounds=5, stop="secretary"), script)
    assert len(talked.requests) == 2, "one of five rounds is watched, the second is below it"
    assert talked.answer == "1"


LEVELS = {"a": 5.0, "b": 1.0, "c": 4.0, "d": 2.0}


def levels(text: str) -> list[float]:
    """Confidence by letter, that of the letter before for what is none."""
    found: list[float] = []
    for letter in text:
        found.append(LEVELS.get(letter, found[-1] if found else 9.0))
    return found


def test_offline_the_surest_vote(tmp_path: FilePath) -> None:
    script = {"": ["bbbb=1", "bbbb=1", "cccc=2", "aaaa=3", "dddd=1"]}
    strategy = DeepConf(n=5, keep=0.4, window=4)
    talked = talk(tmp_path, strategy, script, sure=levels)
    assert talked.requests == [(PROMPT, 1000, 5)]
    assert talked.answer == "3" and talked.result.score == pytest.approx(5 / 13)
    everyone = talk(tmp_path, DeepConf(n=5, keep=1.0, window=4), script, sure=levels)
    assert everyone.answer == "3", "1 + 1 + 2 of weight against 5"
    # The surest has no answer: all are heard.
    alone = talk(tmp_path, DeepConf(n=2, keep=0.4), {"": ["aaaa", "b=1"]}, sure=levels)
    assert alone.answer == "1" and alone.result.abstained == 1
    assert talk(tmp_path, DeepConf(n=2), {"": ["aaaa"]}, sure=levels).text is None


def test_online_weak_traces_are_given_up_and_billed(tmp_path: FilePath) -> None:
    # The warm-up's lowest groups of two are 2 and 4; a bar for half of them is 3.
    script = {
        "1\\+1$": ["dddd=1", "cccc=2", "ccbbccc=9", "cccc=1"],
        "ccbb$": ["ccc=9"],
        "cccc$": ["=1"],
    }
    strategy = DeepConf(n=4, warmup=2, keep=0.5, window=2, check=4, trust="mean")
    talked = talk(tmp_path, strategy, script, sure=levels)
    assert talked.requests == [
        (PROMPT, 1000, 2),
        (PROMPT, 1000, 2),
        (f"{PROMPT}cccc", 996, 1),
    ]
    assert talked.said == ["dddd=1", "cccc=2", "ccbb", "cccc", "=1"]
    assert talked.notes == {"aborted_traces": 1}
    assert talked.n_generated == 6 + 6 + 4 + 4 + 2, "what was given up is billed, and no more"
    # 2 has 4, 1 has (16 + 2 * 9) / 6 by the confidences of its two spans.
    assert talked.answer == "1"
    assert talked.finished == ["dddd=1", "cccc=2", "cccc=1"]


def test_the_pilot_says_how_much_a_problem_gets(tmp_path: FilePath) -> None:
    strategy = ComputeOptimal(pilot=2, edges=(0.75,), budgets=(5, 2))
    easy = talk(tmp_path, strategy, {"": ["=1", "=1"]})
    assert easy.requests == [(PROMPT, 1000, 2)] and easy.answer == "1"
    hard = talk(tmp_path, strategy, {"": ["=1", "=2", "=2"]})
    assert [n for _, _, n in hard.requests] == [2, 3] and hard.answer == "2"
    assert talk(tmp_path, strategy, {"": ["x"]}).text is None
    with pytest.raises(InputError, match="one budget more"):
        ComputeOptimal(edges=(0.5,), budgets=(4,))
    with pytest.raises(InputError, match="pilot's samples"):
        ComputeOptimal(pilot=4, edges=(), budgets=(2,))


def test_a_plan_says_it_all(tmp_path: FilePath) -> None:
    path = plan(tmp_path)
    hard = talk(tmp_path, ComputeOptimal(plan=path), {"": ["=1", "=2", "=2"]})
    assert [n for _, _, n in hard.requests] == [2, 6]
    with pytest.raises(InputError, match="no verifier"):
        talk(tmp_path, ComputeOptimal(plan=path), {"": ["=1"]})
