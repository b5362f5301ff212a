"""What a search is given that does not fit: it is told, or survived where it can be."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.contract.playing import Silent, experiment
from tests.scripted import ScriptedScorer
from ttscale.engine.reward import RewardConfig, RewardEngine
from ttscale.engine.simulated import SimulatedConfig, SimulatedEngine
from ttscale.errors import InputError
from ttscale.run import models
from ttscale.run.runner import run

SEARCHES = [
    "a_star",
    "beam_search",
    "dvts",
    "ets",
    "lookahead",
    "mcts",
    "particle_filter",
    "particle_gibbs",
    "rebase",
]


def summary(tmp_path: Path, entry: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What a run of one strategy on six simulated problems says of itself."""
    folder = run(experiment(tmp_path, entry, **changes), tmp_path / "r", Silent(), fresh=False)
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return found


def test_a_delimiter_that_never_occurs_leaves_paths_that_end_by_length_and_is_told(
    tmp_path: Path,
) -> None:
    entry = {"name": "beam_search", "n": 4, "width": 2, "verifier": "mean_logprob"}
    found = summary(tmp_path, entry, step={"text": "@@"}, sampling={"max_tokens": 20})
    (warning,) = found["warnings"]
    assert "no step ended as configured ({'text': ('@@',)})" in warning
    assert found["n_failed"] == 0 and found["n_sampled_tokens"] == 6 * 4 * 20


@pytest.mark.parametrize("name", SEARCHES)
def test_scores_that_are_no_numbers_leave_the_vote_but_no_best_path(
    tmp_path: Path, name: str
) -> None:
    entry = {"name": name, "n": 4, "verifier": "prm"}
    nothing_fits = {"prm": {"engine": "simulated_reward", "max_context": 16}}
    found = summary(tmp_path, entry, models=nothing_fits, size=3)
    (figures,) = found["strategies"]
    assert found["n_failed"] == 0 and found["warnings"] == []
    assert figures["n_answered"] == (0 if name.startswith("particle") else 3)


def loaded(config: RewardConfig) -> RewardEngine:
    """A reward model as it is once its tokenizer is loaded."""
    engine = RewardEngine(config)
    engine._process.tokenizer = SimpleNamespace(vocabulary="its own")  # type: ignore[assignment]
    return engine


def test_a_reward_model_with_another_tokenizer_is_refused_if_it_reads_the_policys_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Foreign(ScriptedScorer):
        agrees_with = loaded(RewardConfig(model="some/prm")).agrees_with

    monkeypatch.setattr(models, "make_scorer", lambda *_: Foreign(lambda text: 0.5))
    entry = {"name": "best_of_n", "n": 4, "verifier": "prm"}
    with pytest.raises(InputError, match=r"has another tokenizer(?s:.*)models\.prm"):
        summary(tmp_path, entry, models={"prm": {"engine": "simulated_reward"}})


def test_one_that_is_shown_text_needs_no_tokenizer_in_common() -> None:
    shown_text = RewardConfig(model="some/prm", format={"layout": "chat", "mark": "<m>"})
    policy = SimulatedEngine(SimulatedConfig())
    assert loaded(shown_text).agrees_with(policy)
    assert not loaded(RewardConfig(model="some/prm")).agrees_with(policy)
