"""The door: what is keyed, shared, billed, replayed, cut and limited there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path as FilePath
from typing import Any

import pytest

from tests.scripted import ScriptedEngine, make_problem, make_session
from ttscale.context import Context, OutOfBudget
from ttscale.engine.protocol import Sampling
from ttscale.errors import InputError
from ttscale.record.journal import Journal
from ttscale.session import Session
from ttscale.strategy import STEP, Until
from ttscale.trace import Path

SAMPLING = Sampling(temperature=0.5, max_tokens=50)


def echo(prefix: str, seed: int) -> str:
    return f"the answer ={seed % 7}"


def with_context(
    tmp_path: FilePath,
    play: Callable[[Context, Session], Awaitable[Any]],
    engine: ScriptedEngine | None = None,
    *,
    sampling: Sampling = SAMPLING,
    budget: int | None = None,
    arm: str = "arm",
    seed: int = 0,
) -> Any:
    """Run `play` with a context over a journal in `tmp_path`; returns what it returns."""

    async def main() -> Any:
        tmp_path.mkdir(exist_ok=True)
        journal = Journal(tmp_path / "journal.sqlite")
        session = make_session(engine or ScriptedEngine(echo), journal, seed)
        ctx = Context(session, make_problem(), arm, sampling, budget=budget)
        try:
            return await play(ctx, session)
        finally:
            journal.close()

    return asyncio.run(main())


def texts(paths: list[Path]) -> list[str]:
    return [path.response for path in paths]


async def sample_16(ctx: Context, session: Session) -> list[str]:
    return texts(await ctx.sample(ctx.problem.root, n=16))


def test_asking_again_gives_further_samples(tmp_path: FilePath) -> None:
    async def play(ctx: Context, _: Session) -> None:
        root = ctx.problem.root
        first, second = await ctx.sample(root, n=2), await ctx.sample(root, n=2)
        streams = [path.stream[1] for path in [*first, *second]]
        assert streams == [0, 1, 2, 3]
        assert len({path.stream[0] for path in [*first, *second]}) == 1

    with_context(tmp_path, play)


def test_64_after_16_samples_only_the_48_that_are_missing(tmp_path: FilePath) -> None:
    engine = ScriptedEngine(echo)
    few = with_context(tmp_path, sample_16, engine, arm="best_of_n")
    assert engine.n_streams == 16

    async def play(ctx: Context, session: Session) -> list[str]:
        many = texts(await ctx.sample(ctx.problem.root, n=64))
        assert session.ledger.totals()["generate"].n_sequences == 64
        assert session.ledger.totals(fresh=True)["generate"].n_sequences == 48
        return many

    many = with_context(tmp_path, play, engine, arm="majority_vote")
    assert many[:16] == few
    assert engine.n_streams == 64
    assert [request[3] for request in engine.requests] == [16, 48]


def test_stream_i_has_the_base_seed_plus_i_however_it_was_asked_for(tmp_path: FilePath) -> None:
    async def one_by_one(ctx: Context, _: Session) -> list[str]:
        return [(await ctx.sample(ctx.problem.root))[0].response for _ in range(16)]

    for name in "ab":
        (tmp_path / name).mkdir()
    at_once = with_context(tmp_path / "a", sample_16)
    assert with_context(tmp_path / "b", one_by_one) == at_once


@pytest.mark.parametrize(
    "change",
    [
        {"sampling": Sampling(temperature=0.6, max_tokens=50)},
        {"sampling": Sampling(temperature=0.5, max_tokens=49)},
        {"seed": 1},
        {"engine": ScriptedEngine(echo, fingerprint="other")},
    ],
)
def test_whatever_determines_a_sample_is_in_its_key(tmp_path: FilePath, change: Any) -> None:
    async def key(ctx: Context, _: Session) -> bytes:
        (path,) = await ctx.sample(ctx.problem.root)
        return path.stream[0]

    assert with_context(tmp_path, key) == with_context(tmp_path, key, arm="another")
    assert with_context(tmp_path, key) != with_context(tmp_path, key, **change)


def test_strategies_in_flight_together_share_their_samples(tmp_path: FilePath) -> None:
    engine = ScriptedEngine(echo, delay=lambda prefix, seed: 5)

    async def main() -> None:
        journal = Journal(tmp_path / "j")
        session = make_session(engine, journal)

        async def arm(name: str, n: int) -> list[str]:
            ctx = Context(session, make_problem(), name, SAMPLING)
            return texts(await ctx.sample(ctx.problem.root, n=n))

        small, large = await asyncio.gather(arm("a", 4), arm("b", 8))
        assert large[:4] == small
        assert session.ledger.totals("a", fresh=True)["generate"].n_sequences == 4
        assert session.ledger.totals("b", fresh=True)["generate"].n_sequences == 4

    asyncio.run(main())
    assert engine.n_streams == 8


def test_a_result_is_committed_before_it_is_seen(tmp_path: FilePath) -> None:
    async def play(ctx: Context, session: Session) -> None:
        await ctx.sample(ctx.problem.root, n=3)
        import sqlite3

        outside = sqlite3.connect(tmp_path / "journal.sqlite")
        assert outside.execute("SELECT count(*) FROM calls").fetchone() == (3,)

    with_context(tmp_path, play)


async def grow_tree(ctx: Context, session: Session) -> list[str]:
    """Branches that sample, draw random numbers, and branch again."""

    async def branch(path: Path, depth: int) -> list[str]:
        children = await ctx.sample(path, n=2, until=STEP)
        drawn = float(ctx.rng.random())
        if depth == 0:
            return [f"{child.response}:{drawn:.6f}" for child in children]
        deeper = await ctx.gather(*(branch(child, depth - 1) for child in children))
        return [text for texts in deeper for text in texts]

    root = ctx.problem.root
    found = await ctx.gather(branch(root, 2), branch(root, 2), branch(root, 1))
    return [text for texts in found for text in texts]


def test_scheduling_does_not_matter_to_branches(tmp_path: FilePath) -> None:
    def steps(prefix: str, seed: int) -> str:
        return f"{seed % 1000}\n\nnever reached"

    outcomes = set()
    for run in range(10):
        chance = random.Random(run)
        engine = ScriptedEngine(steps, delay=lambda p, s, c=chance: c.randrange(20))
        (tmp_path / str(run)).mkdir()
        outcomes.add(tuple(with_context(tmp_path / str(run), grow_tree, engine)))
    assert len(outcomes) == 1
    (outcome,) = outcomes
    assert len(outcome) == 8 + 8 + 4
    assert len(set(outcome)) == len(outcome), "no two branches drew the same stream"


def test_a_budget_is_never_exceeded_and_what_fitted_is_kept(tmp_path: FilePath) -> None:
    async def play(ctx: Context, session: Session) -> None:
        with pytest.raises(OutOfBudget):
            await ctx.sample(ctx.problem.root, n=100)
        spent = session.ledger.totals()["generate"].n_generated_tokens
        assert spent <= 200
        assert 200 - spent < SAMPLING.max_tokens, "it stopped only when no further sample fits"
        assert len(ctx.finished) == session.ledger.totals()["generate"].n_sequences > 4

    with_context(tmp_path, play, budget=200)


def test_branches_split_the_budget(tmp_path: FilePath) -> None:
    async def play(ctx: Context, session: Session) -> None:
        async def branch() -> int:
            with pytest.raises(OutOfBudget):
                await ctx.sample(ctx.problem.root, n=100)
            return len(ctx.finished)

        await ctx.gather(branch(), branch(), branch())
        assert session.ledger.totals()["generate"].n_generated_tokens <= 600
        assert ctx.tokens_left == 600 - session.ledger.totals()["generate"].n_generated_tokens

    with_context(tmp_path, play, budget=600)


def test_a_race_keeps_what_the_losers_had_and_is_replayed(tmp_path: FilePath) -> None:
    def reply(prefix: str, seed: int) -> str:
        return f"a reply by {seed % 1000} ={seed % 10}"

    async def play(ctx: Context, session: Session) -> list[tuple[str, str]]:
        paths = await ctx.race(ctx.problem.root, n=4, finish=1)
        return [(path.finish, path.response) for path in paths]

    engine = ScriptedEngine(reply, delay=lambda prefix, seed: 3 + 10 * (seed % 4))
    first = with_context(tmp_path, play, engine)
    assert [finish for finish, _ in first].count("stop") == 1
    assert all(text for _, text in first)
    assert not engine.running
    other = ScriptedEngine(reply, delay=lambda prefix, seed: 40 - 10 * (seed % 4))
    assert with_context(tmp_path, play, other) == first
    assert other.n_streams == 0


def test_shared_tokens_are_the_ideal_whatever_the_engine_cached(tmp_path: FilePath) -> None:
    def steps(prefix: str, seed: int) -> str:
        return "ab\n\ncd"

    async def play(ctx: Context, session: Session) -> None:
        children = await ctx.sample(ctx.problem.root, n=3, until=STEP)
        await ctx.sample(children[:1], n=2, until=STEP)
        rows = session.ledger.table().to_pylist()
        prompt, step = 3, 4
        assert [row["n_prompt_tokens"] for row in rows] == [prompt] * 3 + [prompt + step] * 2
        # The first continuation feeds back the one token its parent sampled last.
        assert [row["n_shared_tokens"] for row in rows] == [0, 3, 3, 6, 7]
        assert [row["n_generated_tokens"] for row in rows] == [step] * 5

    with_context(tmp_path, play, ScriptedEngine(steps))


def test_a_response_is_bounded_over_all_its_steps(tmp_path: FilePath) -> None:
    async def play(ctx: Context, session: Session) -> None:
        path = ctx.problem.root
        while not path.done:
            (path,) = await ctx.sample(path, until=Until(n_tokens=20))
        assert (path.n_generated, path.depth, path.finish) == (50, 3, "length")

    with_context(tmp_path, play, ScriptedEngine(lambda prefix, seed: "x" * 1000))


def test_several_paths_are_continued_in_their_order(tmp_path: FilePath) -> None:
    chance = random.Random(1)
    engine = ScriptedEngine(
        lambda prefix, seed: f"{prefix[-1]}{seed % 10}\n\n", delay=lambda p, s: chance.randrange(9)
    )

    async def play(ctx: Context, session: Session) -> None:
        beam = await ctx.sample(ctx.problem.root, n=3, until=STEP)
        children = await ctx.sample(beam, n=2, until=STEP)
        assert [child.parent for child in children] == [b for b in beam for _ in range(2)]

    with_context(tmp_path, play, engine)


def test_scores_without_a_verifier_say_what_to_add(tmp_path: FilePath) -> None:
    async def play(ctx: Context, session: Session) -> None:
        paths = await ctx.sample(ctx.problem.root)
        with pytest.raises(InputError, match="verifier"):
            await ctx.score(paths)

    with_context(tmp_path, play)


def test_random_numbers_depend_on_seed_and_problem_alone(tmp_path: FilePath) -> None:
    async def draw(ctx: Context, _: Session) -> float:
        return float(ctx.rng.random())

    same = {with_context(tmp_path, draw, arm=arm) for arm in "ab"}
    assert len(same) == 1
    assert with_context(tmp_path, draw, seed=1) not in same


def test_words_put_in_are_computed_and_not_generated(tmp_path: FilePath) -> None:
    async def play(ctx: Context, session: Session) -> list[tuple[int, int, int]]:
        (step,) = await ctx.sample(ctx.problem.root, until=Until(n_tokens=4))
        longer = ctx.extend(step, " Wait")
        assert longer.response == "the  Wait" and not longer.done
        (done,) = await ctx.sample(longer)
        assert done.response.startswith("the  Wait" + "the answer")
        return [
            (row["n_prompt_tokens"], row["n_shared_tokens"], row["n_generated_tokens"])
            for row in session.ledger.table().to_pylist()
        ]

    # three tokens of prompt; four drawn, of which the last was never fed back; five put in
    assert with_context(tmp_path, play) == [(3, 0, 4), (12, 6, 13)]


def test_what_ended_a_path_is_taken_off_before_it_goes_on(tmp_path: FilePath) -> None:
    async def play(ctx: Context, session: Session) -> None:
        (path,) = await ctx.sample(ctx.problem.root)
        ended = Path(
            path.token_ids + session.engine.encode("</think>"),
            path.text,
            path.parent,
            "stop",
            stream=path.stream,
            n_prefix=path.n_prefix,
            depth=1,
        )
        again = ctx.cut(ended)
        assert again.token_ids == path.token_ids and not again.done
        assert ctx.extend(ended, " Wait").response == path.text + " Wait"

    with_context(tmp_path, play)


def test_a_path_is_cut_at_any_length(tmp_path: FilePath) -> None:
    async def play(ctx: Context, session: Session) -> None:
        (step,) = await ctx.sample(ctx.problem.root, until=Until(n_tokens=4))
        (done,) = await ctx.sample(step)
        for n in range(1, done.n_generated):
            part = ctx.cut(done, n)
            assert part.response == done.response[:n] and not part.done
            assert part.n_generated == n and part.root is ctx.problem.root
        assert ctx.cut(done, 4) is step
        assert len(ctx.cut(done, 2).logprobs) == 2

    with_context(tmp_path, play)


def test_a_step_that_leaves_no_room_ends_the_path(tmp_path: FilePath) -> None:
    engine = ScriptedEngine(lambda prefix, seed: "a\n\nb")

    async def play(ctx: Context, session: Session) -> list[bool]:
        (exact,) = await ctx.sample(ctx.problem.root, until=STEP)
        (short,) = await ctx.sample(ctx.problem.root, until=Until(n_tokens=2))
        return [exact.done, short.done]

    sampling = Sampling(max_tokens=3)
    assert with_context(tmp_path, play, engine, sampling=sampling) == [True, False]


def test_a_path_given_twice_in_a_row_is_one_request(tmp_path: FilePath) -> None:
    engine = ScriptedEngine(echo)

    async def play(ctx: Context, session: Session) -> list[str]:
        root = ctx.problem.root
        return texts(await ctx.sample([root, root, root], n=2))

    repeated = with_context(tmp_path / "a", play, engine)
    assert [n for _, _, _, n in engine.requests] == [6]

    async def at_once(ctx: Context, session: Session) -> list[str]:
        return texts(await ctx.sample(ctx.problem.root, n=6))

    assert repeated == with_context(tmp_path / "b", at_once)


def test_what_a_search_holds_is_noted_for_every_step(tmp_path: FilePath) -> None:
    async def play(ctx: Context, session: Session) -> list[int]:
        steps = await ctx.sample(ctx.problem.root, n=2, until=Until(n_tokens=4))
        await ctx.sample(steps, until=Until(n_tokens=4))
        await ctx.sample(steps[0])
        return ctx.held_tokens

    assert with_context(tmp_path, play) == [3, 3 + 4 + 4]
