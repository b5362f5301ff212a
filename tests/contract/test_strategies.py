"""Laws that every registered strategy obeys, whoever wrote it."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest

from tests.contract.playing import Played, entries, experiment, play
from ttscale import registry
from ttscale.record.ledger import Totals

pytestmark = pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["name"])


def played(result: Played | None) -> Played:
    assert result is not None
    return result


def total_tokens(result: Played) -> int:
    return sum(totals.n_generated_tokens for totals in result.books.values())


def books(result: Played) -> dict[str, Totals]:
    """Ledger totals without what the engine's cache happened to hold."""
    return {kind: totals._replace(n_cached_tokens=0) for kind, totals in result.books.items()}


def test_it_is_a_frozen_dataclass_that_says_what_it_is(entry: dict[str, Any], tmp_path) -> None:
    cls = registry.load("strategies", entry["name"])
    assert dataclasses.is_dataclass(cls)
    assert cls.__dataclass_params__.frozen
    assert cls.__doc__ and not cls.__doc__.startswith(cls.__name__ + "(")


def test_every_answer_is_finished_and_begins_with_its_prompt(entry, tmp_path: Path) -> None:
    result = played(play(experiment(tmp_path, entry), tmp_path / "j"))
    assert {outcome.status for outcome in result.outcomes} <= {"answered", "no answer"}, [
        outcome.error for outcome in result.outcomes
    ]
    assert all(outcome.samples for outcome in result.outcomes)


def test_the_books_balance_with_the_engines_own(entry, tmp_path: Path) -> None:
    result = played(play(experiment(tmp_path, entry), tmp_path / "j"))
    assert sum(totals.n_sequences for totals in result.books.values()) == result.engine_streams
    assert total_tokens(result) == result.engine_tokens > 0
    assert sum(outcome.n_generated_tokens for outcome in result.outcomes) == result.engine_tokens


def test_scheduling_does_not_matter(entry, tmp_path: Path) -> None:
    results = [
        played(play(experiment(tmp_path, entry, slots=slots), tmp_path / f"j{slots}"))
        for slots in (1, 7, 64)
    ]
    alone = [
        played(play(experiment(tmp_path, entry), tmp_path / f"alone{i}", problems=[i]))
        for i in range(6)
    ]
    for result in results[1:]:
        assert result.chosen == results[0].chosen
        assert result.books["generate"].n_generated_tokens == total_tokens(results[0])
    assert {key: value for one in alone for key, value in one.chosen.items()} == results[0].chosen


def test_a_death_at_a_random_call_is_invisible_after_resuming(entry, tmp_path: Path) -> None:
    setup = experiment(tmp_path, entry)
    whole = played(play(setup, tmp_path / "whole"))
    chance = random.Random(entry["name"])
    for trial in range(5):
        journal = tmp_path / f"j{trial}"
        died_after = chance.randrange(whole.engine_streams)
        assert play(setup, journal, die_after=died_after) is None
        resumed = played(play(setup, journal))
        assert resumed.chosen == whole.chosen
        assert books(resumed) == books(whole)
        again = played(play(setup, journal))
        assert again.engine_streams == 0, "what is in the journal is not paid for twice"
        assert books(again) == books(whole)


def test_budgets_hold(entry, tmp_path: Path) -> None:
    for budget in (600, 1500):
        setup = experiment(tmp_path, entry, budget={"generated_tokens": budget})
        result = played(play(setup, tmp_path / f"j{budget}"))
        for outcome in result.outcomes:
            assert outcome.status != "failed", outcome.error
            assert outcome.n_generated_tokens <= budget
            assert outcome.answer is not None or not any(s.answer for s in outcome.samples)


def test_a_budget_below_one_sample_is_told_not_hidden(entry, tmp_path: Path) -> None:
    setup = experiment(tmp_path, entry, budget={"generated_tokens": 10})
    result = played(play(setup, tmp_path / "j"))
    assert {outcome.status for outcome in result.outcomes} == {"out of budget"}
    assert result.engine_tokens == 0


def test_seeds_matter_and_are_all_that_does(entry, tmp_path: Path) -> None:
    def responses(seed: int, name: str) -> list[str]:
        result = played(play(experiment(tmp_path, entry, seed=seed), tmp_path / name))
        return [s.path.response for outcome in result.outcomes for s in outcome.samples]

    assert responses(0, "a") == responses(0, "b")
    assert responses(0, "a") != responses(1, "c")


def test_n_of_one_is_one_plain_sample(entry, tmp_path: Path) -> None:
    if "n" not in entry and entry["name"] != "single":
        pytest.skip("this strategy has no n")
    attention = entry.get("policy", "dense")
    one = {"name": "single", "attention": attention}
    plain = played(play(experiment(tmp_path, one), tmp_path / "single"))
    small = {**entry, "n": 1} if "n" in entry else entry
    result = played(play(experiment(tmp_path, small), tmp_path / "one"))
    assert {k: v[0] for k, v in result.chosen.items()} == {k: v[0] for k, v in plain.chosen.items()}
    assert books(result) == books(plain)


def test_it_does_not_look_at_the_reference(entry, tmp_path: Path) -> None:
    setup = experiment(tmp_path, entry)
    honest = played(play(setup, tmp_path / "j"))
    blind = played(play(setup, tmp_path / "k", change_references=True))
    assert {k: v[0] for k, v in honest.chosen.items()} == {k: v[0] for k, v in blind.chosen.items()}


def test_it_runs_under_an_attention_policy(entry, tmp_path: Path) -> None:
    setup = experiment(tmp_path, entry, attention={"policy": "quest", "budget": 512})
    result = played(play(setup, tmp_path / "j"))
    assert result.policies == {entry.get("policy", "quest:512")}
    assert total_tokens(result) == result.engine_tokens > 0
    assert {outcome.status for outcome in result.outcomes} <= {"answered", "no answer"}
