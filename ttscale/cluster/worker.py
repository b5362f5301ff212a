"""A worker: one process on a cluster with an engine, a journal and the problems it is handed."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from ttscale.benchmark.item import Item
from ttscale.cluster.upstream import EMPTY, Parcel, Upstream
from ttscale.record.journal import NAME, Journal
from ttscale.record.ledger import Ledgers
from ttscale.record.rows import Rows
from ttscale.run.config import Experiment
from ttscale.run.judging import Judge
from ttscale.run.models import start_models
from ttscale.run.pairs import all_pairs, work_through
from ttscale.run.prepare import prepare
from ttscale.run.settle import Desk, Settled
from ttscale.run.shards import abandoned, discard, open_shard, place_of
from ttscale.run.sweep import arms
from ttscale.run.work import Outcome
from ttscale.session import Session
from ttscale.trace import Problem


class About(NamedTuple):
    """What a worker says of itself once it can work.

    Attributes
    ----------
    fingerprint, simulated, provenance : the policy's, and all models'.
    groups : problems by index; those of one prompt are together, for they share their samples.
    salvaged : whether it sent rows that a lost worker had left on this node.
    said : what a user should know.
    """

    fingerprint: str
    simulated: bool
    provenance: dict[str, Any]
    groups: list[list[int]]
    salvaged: bool
    said: list[str]


class _Notes:
    """A display that remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def begin(self, n_tasks: int, session: object, engine: object) -> None: ...

    def done(self, n_failed: int) -> None: ...

    def end(self) -> None: ...


class Worker:
    """The actor; every method is called by the driver.

    Parameters
    ----------
    number : of this worker in its session.
    experiment, items : what is run.
    folder : the run's, as the driver sees it.
    token : by which the folder is recognised, and this run's journals on this node.
    """

    def __init__(
        self,
        number: int,
        experiment: Experiment,
        items: Sequence[Item],
        folder: FilePath,
        token: str,
    ) -> None:
        self._number, self._experiment, self._items = number, experiment, items
        self._folder, self._token = folder, token
        self._stack = AsyncExitStack()
        self._ledgers = Ledgers()
        self._upstream = Upstream()
        self._session: Session | None = None

    async def placed(self) -> str:
        """The node's name, once the cluster has made room for this worker."""
        return socket.gethostname()

    async def start(self) -> About:
        """Open the journal and load the models. Raises InputError for what the user can mend."""
        config, notes = self._experiment.config, _Notes()
        self._arms = arms(self._experiment)
        place = place_of(self._folder, self._token)
        self._shard, lock = open_shard(place, self._number)
        self._stack.callback(lock.release)
        n_salvaged = 0
        if place.parent != self._folder:
            n_salvaged = await self._salvage(place)
        self._journal = Journal(self._shard / NAME, self._upstream)
        self._stack.callback(self._journal.close)
        self._judge = await self._stack.enter_async_context(Judge(config, self._journal))
        models = await start_models(self._stack, config, self._shard, _Notes())
        self._problems = prepare(self._experiment, models.policy, self._items, self._arms, notes)
        self._session = Session(
            models.policy,
            self._journal,
            self._ledgers,
            self._judge,
            seed=config.seed,
            engines=models.engines,
            scorers=models.scorers,
        )
        return About(
            models.policy.fingerprint,
            models.policy.simulated,
            models.provenance(),
            _by_prompt(self._problems),
            n_salvaged > 0,
            notes.said,
        )

    async def _salvage(self, place: FilePath) -> int:
        """Send upstream what lost workers left on this node, where the driver does not see it."""
        n_calls = 0
        with abandoned(place, seconds=0.0) as folders:
            for folder in folders:
                journal = Journal(folder / NAME)
                for rows in journal.rows():
                    n_calls += len(rows.calls)
                    self._upstream.committed(rows)
                    await self._upstream.delivered()
                journal.close()
                discard(folder)
        return n_calls

    async def work(self, group: Sequence[int], known: bool) -> list[Settled]:
        """Run all arms on problems; returns once what they took is in the driver's journal.

        `known` says that the driver's journal may hold some of it.
        """
        self._upstream.asks |= known
        settled: list[Settled] = []
        desk = Desk(self._arms, self._judge, self._ledgers, settled.append)
        problems = [self._problems[index] for index in group]
        pairs = list(all_pairs(self._arms, problems))

        async def done(problem: Problem, outcome: Outcome) -> None:
            await desk.note(problem, outcome)

        assert self._session is not None, "a worker is started first"
        await work_through(pairs, self._experiment, self._session, done, width=len(pairs))
        self._journal.commit()
        await self._upstream.delivered()
        return settled

    async def take(self, delivered: int, seconds: float) -> Parcel:
        """See `Upstream.take`, with this worker's gauges."""
        return self._gauged(await self._upstream.take(delivered, seconds))

    def _gauged(self, parcel: Parcel) -> Parcel:
        session = self._session
        if session is None:
            return parcel
        load = session.engine.load()
        return parcel._replace(
            n_fresh_tokens=session.n_fresh_tokens,
            running=load.running,
            waiting=load.waiting,
            step_ends=dict(session.step_ends),
        )

    async def answer(self, answers: dict[int, Rows]) -> None:
        """See `Upstream.answer`."""
        self._upstream.answer(answers)

    async def stop(self) -> Parcel:
        """Close the models and delete the journal, all of which is in the driver's.

        Returns an empty parcel with the last state of the gauges.
        """
        final = self._gauged(EMPTY)
        self._session = None
        await self._stack.aclose()
        discard(self._shard)
        return final


def _by_prompt(problems: Sequence[Problem]) -> list[list[int]]:
    groups: dict[bytes, list[int]] = {}
    for index, problem in enumerate(problems):
        groups.setdefault(problem.root.token_ids.tobytes(), []).append(index)
    return list(groups.values())
