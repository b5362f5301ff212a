"""Laws that every registered verifier obeys, whoever wrote it."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import random
from pathlib import Path as FilePath
from typing import Any

import pytest

from tests.contract.playing import Silent, SureEngine, experiment
from ttscale import registry
from ttscale.benchmark.source import load as load_items
from ttscale.context import Context
from ttscale.engine.simulated import SimulatedConfig, SimulatedScorer
from ttscale.record.journal import Journal
from ttscale.record.ledger import Ledger
from ttscale.run.judging import Judge
from ttscale.run.prepare import prepare
from ttscale.run.sweep import arms
from ttscale.session import Session

SETTINGS: dict[str, dict[str, Any]] = {
    "ensemble": {"of": ["mean_logprob", {"name": "judge", "verdicts": 2}]},
}
"""What a verifier needs set."""

pytestmark = pytest.mark.parametrize("name", registry.names("verifiers"))


def scores(
    tmp_path: FilePath, name: str, *, order: int | None = None, reference: str | None = None
) -> dict[str, float]:
    """Scores of ten samples of a problem, by response; asked for in a random order if wished."""
    verifier = {"name": name, **SETTINGS.get(name, {})}
    entry = {"name": "best_of_n", "n": 4, "verifier": verifier}
    sampling = {"max_tokens": 600, "top_logprobs": 5}
    setup = experiment(tmp_path, entry, size=1, sampling=sampling)
    (arm,) = arms(setup)
    items = load_items(setup.config.benchmark, folder=setup.folder)

    async def main() -> dict[str, float]:
        assert isinstance(setup.config.model, SimulatedConfig)
        engine = SureEngine(setup.config.model)
        journal = Journal(tmp_path / f"{order}{reference}")
        await engine.start()
        async with Judge(setup.config, journal) as judge:
            (problem,) = prepare(setup, engine, items, [arm], Silent())
            if reference is not None:
                problem = dataclasses.replace(problem, reference=reference)
            scorers = {"prm": SimulatedScorer(), "orm": SimulatedScorer()}
            session = Session(engine, journal, Ledger(), judge, scorers=scorers)
            ctx = Context(session, problem, "arm", arm.sampling, arm.verifier)
            paths = await ctx.sample(problem.root, n=10)
            if order is not None:
                random.Random(order).shuffle(paths)
            given = await ctx.score(paths)
            assert await ctx.score(paths) == given or any(map(math.isnan, given))
            assert len(given) == len(paths)
            await engine.close()
        return {path.response: score for path, score in zip(paths, given, strict=True)}

    return asyncio.run(main())


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(
        a[key] == b[key] or (math.isnan(a[key]) and math.isnan(b[key])) for key in a
    )


def test_it_is_a_frozen_dataclass_that_says_what_it_is(name: str, tmp_path: FilePath) -> None:
    cls = registry.load("verifiers", name)
    assert dataclasses.is_dataclass(cls)
    assert cls.__dataclass_params__.frozen
    assert cls.__doc__ and not cls.__doc__.startswith(cls.__name__ + "(")


def test_a_score_belongs_to_its_path_whatever_the_order(name: str, tmp_path: FilePath) -> None:
    assert same(scores(tmp_path, name), scores(tmp_path, name, order=3))


def test_scores_are_the_same_again(name: str, tmp_path: FilePath) -> None:
    assert same(scores(tmp_path, name), scores(tmp_path, name))


def test_only_an_oracle_looks_at_the_reference(name: str, tmp_path: FilePath) -> None:
    honest = scores(tmp_path, name)
    blind = scores(tmp_path, name, reference="no such answer")
    assert same(honest, blind) != registry.load("verifiers", name).oracle
