"""Verifiers that cost nothing: length, perplexity, consensus, and the oracle that errs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path as FilePath

import numpy as np
import pytest

from tests.scripted import ScriptedEngine, make_problem, make_session
from ttscale import registry
from ttscale.context import Context
from ttscale.engine.protocol import Sampling
from ttscale.errors import InputError
from ttscale.record.journal import Journal
from ttscale.strategy import Until, Verifier
from ttscale.trace import Path
from ttscale.verifiers.consensus import Consensus
from ttscale.verifiers.length import Length
from ttscale.verifiers.mean_logprob import mean_logprob
from ttscale.verifiers.noisy_oracle import NoisyOracle
from ttscale.verifiers.perplexity import Perplexity

REPLIES = ("so =2", "no idea", "well, =2", "=3", "hm =2", "then =3", "=4")


def score(
    tmp_path: FilePath,
    *verifiers: Verifier,
    n: int = 7,
    steps: bool = False,
    parts: int = 1,
) -> tuple[list[Path], list[list[float]]]:
    """Paths of a scripted problem and each verifier's scores, asked for in `parts` calls."""

    async def main() -> tuple[list[Path], list[list[float]]]:
        engine = ScriptedEngine(lambda prefix, seed: REPLIES[seed % 7])
        journal = Journal(tmp_path / f"{n}.sqlite")
        session = make_session(engine, journal)
        given = []
        paths: list[Path] = []
        for verifier in verifiers:
            problem = make_problem()
            ctx = Context(session, problem, "arm", Sampling(max_tokens=50), verifier)
            until = Until(text=(" ",)) if steps else None
            paths = await ctx.sample(problem.root, n=n, until=until)
            chunks = [paths[i::parts] for i in range(parts)]
            scores: dict[Path, float] = {}
            for chunk in chunks:
                scores.update(zip(chunk, await ctx.score(chunk), strict=True))
            given.append([scores[path] for path in paths])
        journal.close()
        return paths, given

    return asyncio.run(main())


def test_shorter_is_better(tmp_path: FilePath) -> None:
    paths, (scores,) = score(tmp_path, Length())
    assert scores == [-len(path.response) for path in paths]
    assert sorted(scores) == sorted(-len(text) for text in REPLIES)


def test_perplexity_of_all_tokens_ranks_as_mean_logprob(tmp_path: FilePath) -> None:
    paths, (scores,) = score(tmp_path, Perplexity())
    assert scores == pytest.approx([math.exp(mean_logprob(path)) for path in paths])
    assert all(0 < one <= 1 for one in scores)


def test_perplexity_where_it_is_worst_and_at_the_end(tmp_path: FilePath) -> None:
    kinds = [Perplexity("last", 2), Perplexity("worst", 2), Perplexity("worst", 50)]
    paths, (last, worst, whole) = score(tmp_path, *kinds)
    for place, path in enumerate(paths):
        runs = [sum(path.logprobs[i : i + 2]) / 2 for i in range(len(path.logprobs) - 1)]
        assert last[place] == pytest.approx(math.exp(runs[-1]))
        assert worst[place] == pytest.approx(math.exp(min(runs)))
        assert whole[place] == pytest.approx(math.exp(mean_logprob(path)))
    assert worst != last


def test_paths_without_tokens_have_no_perplexity() -> None:
    problem = make_problem()
    assert math.isnan(Perplexity()._score(problem.root))


def test_consensus_is_the_share_of_votes(tmp_path: FilePath) -> None:
    paths, (scores,) = score(tmp_path, Consensus())
    shares = dict(zip(REPLIES, [3 / 7, 0, 3 / 7, 2 / 7, 3 / 7, 2 / 7, 1 / 7], strict=True))
    assert scores == pytest.approx([shares[path.response] for path in paths])
    _, (apart,) = score(tmp_path, Consensus(), parts=3)
    assert apart == scores, "all finished paths vote, whichever are asked about"


def test_unfinished_paths_have_no_vote_and_no_share(tmp_path: FilePath) -> None:
    paths, (scores,) = score(tmp_path, Consensus(), steps=True)
    for path, share in zip(paths, scores, strict=True):
        assert math.isnan(share) != path.done
    finished = {path.response: share for path, share in zip(paths, scores, strict=True)}
    assert finished["=3"] == finished["=4"] == 1 / 2


def test_a_noisy_oracle_errs_at_its_rates(tmp_path: FilePath) -> None:
    oracle = NoisyOracle(true_positive=0.8, false_positive=0.3)
    paths, (scores,) = score(tmp_path, oracle, n=3500)
    right = np.array([path.response.endswith("=2") for path in paths])
    accepted = np.array(scores)
    assert set(scores) == {0.0, 1.0}
    assert accepted[right].mean() == pytest.approx(0.8, abs=0.04)
    assert accepted[~right].mean() == pytest.approx(0.3, abs=0.04)
    near = accepted[:-7][right[:-7]] * accepted[7:][right[7:]]
    assert near.mean() == pytest.approx(0.64, abs=0.05), "equal answers err independently"


def test_a_noisy_oracles_verdict_belongs_to_the_sample(tmp_path: FilePath) -> None:
    oracle, other = NoisyOracle(0.6, 0.4), NoisyOracle(0.6, 0.4, seed=1)
    _, (once, again, elsewhere) = score(tmp_path, oracle, oracle, other, n=70)
    _, (apart,) = score(tmp_path, oracle, n=70, parts=5)
    assert once == again == apart
    assert once != elsewhere


def test_rates_of_one_and_zero_are_the_truth(tmp_path: FilePath) -> None:
    paths, (scores,) = score(tmp_path, NoisyOracle(true_positive=1.0, false_positive=0.0))
    assert scores == [float(path.response.endswith("=2")) for path in paths]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("noisy_oracle", {"true_positive": 1.2}),
        ("noisy_oracle", {"false_positive": -0.1}),
        ("perplexity", {"of": "answer"}),
        ("perplexity", {"window": 0}),
        ("length", {"window": 3}),
    ],
)
def test_fields_are_checked(name: str, fields: dict[str, object]) -> None:
    with pytest.raises(InputError):
        registry.build("verifiers", name, fields, where="strategies[0].verifier")


def test_only_the_oracle_is_one() -> None:
    kinds: Sequence[type[Verifier]] = (Length, Perplexity, Consensus, NoisyOracle)
    assert [kind.oracle for kind in kinds] == [False, False, False, True]
