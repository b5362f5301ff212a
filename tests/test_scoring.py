"""Scores at the door: memory, billing, sharing, and what a reward model cannot take."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from pathlib import Path as FilePath
from typing import Any

import pytest

from tests.scripted import ScriptedEngine, ScriptedScorer, make_problem, make_session
from ttscale.context import Context
from ttscale.engine.protocol import Sampling, Scorer
from ttscale.errors import InputError
from ttscale.record.journal import Journal
from ttscale.session import Session
from ttscale.strategy import STEP, Until
from ttscale.verifiers.orm import OutcomeRewardModel
from ttscale.verifiers.prm import ProcessRewardModel

LINE = Until(text=("\n",))


def lines(prefix: str, seed: int) -> str:
    return f"a{seed % 5}\nb{seed % 3}\n=2"


def n_characters(text: str) -> float:
    return len(text) / 1000


def with_scorer(
    tmp_path: FilePath,
    play: Callable[[Context, Session], Awaitable[Any]],
    scorer: ScriptedScorer,
    arm: str = "arm",
) -> Any:
    async def main() -> Any:
        journal = Journal(tmp_path / "journal.sqlite")
        session = make_session(ScriptedEngine(lines), journal, scorers={"prm": scorer})
        sampling = Sampling(max_tokens=60)
        verifier = ProcessRewardModel()
        ctx = Context(session, make_problem(), arm, sampling, verifier, step=LINE)
        try:
            return await play(ctx, session)
        finally:
            journal.close()

    return asyncio.run(main())


def test_a_scripted_scorer_is_a_scorer() -> None:
    assert isinstance(ScriptedScorer(n_characters), Scorer)


def test_every_step_is_scored_at_the_token_that_completes_it(tmp_path: FilePath) -> None:
    async def play(ctx: Context, session: Session) -> list[list[float]]:
        (path,) = await ctx.sample(ctx.problem.root)
        return await ctx.step_scores("prm", [path])

    (scores,) = with_scorer(tmp_path, play, ScriptedScorer(n_characters))
    assert scores == pytest.approx([6 / 1000, 9 / 1000, 11 / 1000])  # "1+1" and three lines


def test_a_path_sampled_in_steps_scores_as_one_sampled_whole(tmp_path: FilePath) -> None:
    async def play(ctx: Context, session: Session) -> list[list[float]]:
        (path,) = await ctx.sample(ctx.problem.root, until=STEP)
        assert path.text.endswith("\n") and not path.done
        (longer,) = await ctx.sample(path, until=STEP)
        before = await ctx.step_scores("prm", [path])
        return before + await ctx.step_scores("prm", [longer])

    first, second = with_scorer(tmp_path, play, ScriptedScorer(n_characters))
    assert second[:1] == first and len(second) == 2


def test_what_was_scored_is_neither_asked_nor_billed_again(tmp_path: FilePath) -> None:
    scorer = ScriptedScorer(n_characters)

    async def play(ctx: Context, session: Session) -> list[tuple[int, int]]:
        (path,) = await ctx.sample(ctx.problem.root, until=STEP)
        await ctx.score([path])
        longer = await ctx.sample(path, n=2, until=STEP)
        await ctx.score(longer)
        await ctx.step_scores("prm", longer)
        return [
            (row["n_prompt_tokens"], row["n_shared_tokens"])
            for row in session.ledger.table().to_pylist()
            if row["kind"] == "score"
        ]

    entries = with_scorer(tmp_path, play, scorer)
    assert [positions for _, positions in scorer.requests] == [(5,), (8,), (8,)]
    assert entries[0] == (6, 0)
    assert entries[1] == (9, 6)
    # the second child begins with its parent and perhaps with some of its sibling
    assert entries[2][0] == 9 and 6 <= entries[2][1] < 9


def test_a_second_arm_finds_the_scores_and_replays_them(tmp_path: FilePath) -> None:
    async def play(ctx: Context, session: Session) -> tuple[list[float], list[bool]]:
        paths = await ctx.sample(ctx.problem.root, n=4)
        scores = await ctx.score(paths)
        table = session.ledger.table().to_pylist()
        return scores, [row["replayed"] for row in table if row["kind"] == "score"]

    first_scorer, second_scorer = ScriptedScorer(n_characters), ScriptedScorer(n_characters)
    first, paid = with_scorer(tmp_path, play, first_scorer)
    second, replayed = with_scorer(tmp_path, play, second_scorer, arm="another")
    assert first == second
    assert not any(paid) and all(replayed) and len(paid) == len(replayed)
    assert first_scorer.requests and not second_scorer.requests


def test_another_reward_model_has_scores_of_its_own(tmp_path: FilePath) -> None:
    async def play(ctx: Context, session: Session) -> list[float]:
        return await ctx.score(await ctx.sample(ctx.problem.root))

    first = with_scorer(tmp_path, play, ScriptedScorer(n_characters))
    other = ScriptedScorer(lambda text: 0.25, fingerprint="other")
    assert with_scorer(tmp_path, play, other) == [0.25] != first


def test_what_does_not_fit_is_not_a_number_and_the_rest_is_scored(tmp_path: FilePath) -> None:
    async def play(ctx: Context, session: Session) -> list[list[float]]:
        return await ctx.step_scores("prm", await ctx.sample(ctx.problem.root))

    (scores,) = with_scorer(tmp_path, play, ScriptedScorer(n_characters, max_context=8))
    assert scores[0] == pytest.approx(6 / 1000)
    assert all(map(math.isnan, scores[1:])) and len(scores) == 3
    (none,) = with_scorer(tmp_path, play, ScriptedScorer(n_characters, max_context=2))
    assert all(map(math.isnan, none)) and len(none) == 3


def test_an_outcome_reward_model_sees_one_step(tmp_path: FilePath) -> None:
    scorer = ScriptedScorer(n_characters)

    async def play(ctx: Context, session: Session) -> Any:
        paths = await ctx.sample(ctx.problem.root, n=2)
        return await OutcomeRewardModel(model="prm")(ctx.problem, paths, ctx)

    scores = with_scorer(tmp_path, play, scorer)
    assert scores == pytest.approx([0.011, 0.011])
    assert {positions for _, positions in scorer.requests} == {(10,)}


def test_an_unknown_reward_model_is_named(tmp_path: FilePath) -> None:
    async def play(ctx: Context, session: Session) -> None:
        await ctx.step_scores("nobody", await ctx.sample(ctx.problem.root))

    with pytest.raises(InputError, match="no reward model of this name"):
        with_scorer(tmp_path, play, ScriptedScorer(n_characters))


def test_a_path_without_words_has_no_steps(tmp_path: FilePath) -> None:
    async def main() -> list[float]:
        journal = Journal(tmp_path / "journal.sqlite")
        engine = ScriptedEngine(lambda prefix, seed: " \n")
        session = make_session(engine, journal, scorers={"prm": ScriptedScorer(n_characters)})
        verifier = ProcessRewardModel()
        ctx = Context(session, make_problem(), "arm", Sampling(), verifier, step=LINE)
        scores = await ctx.score(await ctx.sample(ctx.problem.root))
        journal.close()
        return scores

    assert all(map(math.isnan, asyncio.run(main())))
