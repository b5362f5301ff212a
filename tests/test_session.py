"""A session whose asker has gone, and a journal that is not kept."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.scripted import PlainGrading, ScriptedEngine, make_problem
from ttscale.context import Context
from ttscale.engine.protocol import Completion, Sampling, Scores
from ttscale.engine.simulated import SimulatedConfig, SimulatedEngine, TimingConfig
from ttscale.record.ephemeral import EphemeralJournal
from ttscale.record.journal import Journal
from ttscale.record.ledger import Ledger
from ttscale.session import Session
from ttscale.trace import TOKEN

SLOW = SimulatedConfig(timing=TimingConfig(time_scale=1, round_seconds=0.05))


class Kept(EphemeralJournal):
    """Counts what it is told to keep."""

    written = 0

    def write(self, *what: Any) -> None:
        self.written += 1
        super().write(*what)


async def sample(ctx: Context) -> None:
    await ctx.sample(ctx.problem.root, n=3)


async def race(ctx: Context) -> None:
    await ctx.race(ctx.problem.root, n=3)


async def branch(ctx: Context) -> None:
    await ctx.gather(*(ctx.sample(ctx.problem.root) for _ in range(3)))


@pytest.mark.parametrize("ask", [sample, race, branch])
def test_what_nobody_waits_for_any_more_is_cancelled(
    ask: Callable[[Context], Coroutine[Any, Any, None]],
) -> None:
    async def main() -> None:
        engine = SimulatedEngine(SLOW)
        await engine.start()
        session = Session(engine, Kept(), Ledger(), PlainGrading())

        async def play() -> None:
            await ask(Context(session, make_problem(), "arm", Sampling()))

        asking = asyncio.create_task(play())
        while engine.load().running < 3:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # so that something is written
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert engine.load().running == 3
        await session.abandon()
        assert engine.load().running == 0
        await session.abandon()
        assert session.n_fresh_tokens == engine.totals().n_generated_tokens > 0
        assert engine.totals().n_lost_streams == 0
        assert session.journal.written == 0, "what was cut is not kept"
        await engine.close()

    asyncio.run(main())


def test_a_journal_that_is_not_kept_gives_what_a_kept_one_gives(tmp_path: Any) -> None:
    async def play(journal: Journal | EphemeralJournal) -> list[tuple[Any, ...]]:
        engine = ScriptedEngine(lambda prefix, seed: f"={seed % 3}")
        session = Session(engine, journal, Ledger(), PlainGrading())
        for _ in range(2):  # the second one is replayed
            ctx = Context(session, make_problem(), "arm", Sampling())
            paths = await ctx.sample(ctx.problem.root, n=4)
            await ctx.race(ctx.problem.root, n=3, finish=2)
        assert [path.text for path in paths] == [path.text for path in ctx.finished[:4]]
        return [tuple(row.values()) for row in session.ledger.table().drop("started").to_pylist()]

    kept = Journal(tmp_path / "journal.sqlite")
    assert asyncio.run(play(kept)) == asyncio.run(play(EphemeralJournal()))
    kept.close()


def test_it_knows_what_was_noted() -> None:
    journal = EphemeralJournal()
    first, second = (Completion(array(TOKEN, [one]), str(one), "stop") for one in (1, 2))
    journal.write(b"a", 0, "me", first)
    journal.write(b"a", 0, "you", second)
    journal.write(b"a", 2, "you", second)
    found = journal.read(b"a", 0, 4)
    assert {index: stored.payer for index, stored in found.items()} == {0: "me", 2: "you"}
    assert found[0].completion is first
    assert journal.read(b"b", 0, 4) == {}
    scores = Scores(array("f", [0.5]))
    journal.write_score(b"k", "me", scores)
    stored = journal.read_score(b"k")
    assert stored is not None and stored.scores is scores and stored.payer == "me"
    assert journal.read_score(b"j") is None
    journal.commit()
