"""Verifiers made of what is known: self-certainty, and ensembles of other verifiers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import pytest

from tests.scripted import ScriptedEngine, make_problem, make_session
from ttscale import registry
from ttscale.context import Context
from ttscale.engine.protocol import Sampling
from ttscale.errors import InputError
from ttscale.record.journal import Journal
from ttscale.strategy import Verifier
from ttscale.trace import Path, Problem
from ttscale.verifiers.ensemble import Ensemble
from ttscale.verifiers.exact import Exact
from ttscale.verifiers.length import Length
from ttscale.verifiers.mean_logprob import MeanLogprob
from ttscale.verifiers.self_certainty import SelfCertainty


@dataclass(frozen=True)
class Given(Verifier):
    """Scores as written."""

    scores: tuple[float, ...]

    async def __call__(
        self, problem: Problem, paths: Sequence[Path], ctx: Context
    ) -> Sequence[float]:
        """In the order of the paths."""
        return self.scores[: len(paths)]


def score(
    tmp_path: FilePath, verifier: Verifier, n: int = 4, top_logprobs: int = 0
) -> tuple[list[Path], list[float]]:
    """n scripted paths and their scores."""

    async def main() -> tuple[list[Path], list[float]]:
        journal = Journal(tmp_path / f"{top_logprobs}.sqlite")
        engine = ScriptedEngine(lambda prefix, seed: "abcdef"[: seed % 5])
        sampling = Sampling(max_tokens=50, top_logprobs=top_logprobs)
        ctx = Context(make_session(engine, journal), make_problem(), "arm", sampling, verifier)
        paths = await ctx.sample(ctx.problem.root, n=n)
        scores = await ctx.score(paths)
        journal.close()
        return paths, scores

    return asyncio.run(main())


def test_self_certainty_is_confidence_less_log_k(tmp_path: FilePath) -> None:
    paths, scores = score(tmp_path, SelfCertainty(), n=5, top_logprobs=20)
    for path, found in zip(paths, scores, strict=True):
        if path.n_generated:
            mean = sum(path.confidences) / len(path.confidences)
            assert found == pytest.approx(mean - math.log(20))
        else:
            assert math.isnan(found)
    assert sum(map(math.isnan, scores)) == 1


def test_self_certainty_says_what_it_needs(tmp_path: FilePath) -> None:
    with pytest.raises(InputError, match=r"sampling: \{top_logprobs: 20\}"):
        score(tmp_path, SelfCertainty())


def test_mean_of_log_odds(tmp_path: FilePath) -> None:
    members = Given((0.5, 0.9, 0.0, math.nan)), Given((0.8, 0.9, 1.0, 0.5))
    _, scores = score(tmp_path, Ensemble(of=members, by="logit"))
    assert scores[:3] == pytest.approx([2 / 3, 0.9, 0.5])  # odds 2, 9, and 1: certainty is bounded
    assert math.isnan(scores[3])
    _, scores = score(tmp_path, Ensemble(of=members, by="logit", weights=(3, 1)))
    assert scores[0] == pytest.approx(4**0.25 / (1 + 4**0.25))


def test_mean_of_ranks_whatever_the_scale(tmp_path: FilePath) -> None:
    members = Given((-10.0, 5000.0, 3.0, 3.0)), Given((0.1, 0.2, 0.3, math.nan))
    _, scores = score(tmp_path, Ensemble(of=members))
    assert scores[:3] == pytest.approx([(1 + 2) / 8, (4 + 3) / 8, (2.5 + 4) / 8])
    assert math.isnan(scores[3])


def test_weighted_scores_as_of_a_regression(tmp_path: FilePath) -> None:
    members = Given((1.0, 2.0, 3.0, 4.0)), Given((0.5, 0.5, -0.5, math.nan))
    _, scores = score(tmp_path, Ensemble(of=members, by="score", weights=(2.0, -4.0)))
    assert scores[:3] == [0.0, 2.0, 8.0]
    assert math.isnan(scores[3])


def test_log_odds_of_what_is_no_probability_are_refused(tmp_path: FilePath) -> None:
    with pytest.raises(InputError, match="takes probabilities"):
        score(tmp_path, Ensemble(of=(MeanLogprob(),), by="logit"))


def build(**fields: Any) -> Any:
    return registry.build("verifiers", "ensemble", fields, where="verifier")


def test_members_are_named_in_the_configuration() -> None:
    built = build(of=["length", {"name": "perplexity", "of": "worst"}], weights=[1, 2])
    assert built.of[0] == Length() and built.of[1].of == "worst"
    assert build(of="length") == Ensemble(of=(Length(),))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "needs the field of"),
        ({"of": []}, "needs members"),
        ({"of": ["exact"]}, "oracle"),
        ({"of": ["length"], "weights": [1, 2]}, "as many weights"),
        ({"of": ["length"], "weights": [-1]}, "not negative"),
        ({"of": ["lenght"]}, "did you mean length"),
        ({"of": [{"of": "worst"}]}, "needs a name"),
        ({"of": [3]}, "needs a name"),
    ],
)
def test_what_is_no_ensemble_is_said(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(**fields)


def test_an_oracle_is_no_member() -> None:
    with pytest.raises(ValueError, match="oracle"):
        Ensemble(of=(Exact(), Length()))
