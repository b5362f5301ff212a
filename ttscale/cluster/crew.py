"""The workers of one session: placed, started, fed, listened to, and replaced when lost."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from ttscale.cluster.resources import demand, no_room
from ttscale.cluster.upstream import Parcel
from ttscale.cluster.worker import About, Worker
from ttscale.engine.protocol import Load
from ttscale.errors import InputError, TTScaleError
from ttscale.record.journal import Journal
from ttscale.run.display import Display
from ttscale.run.runner import Sheet
from ttscale.run.settle import Settled
from ttscale.trace import Finish

MAX_LOSSES = 4
"""Workers lost one after the other, no problem being finished between, that end a run."""

POLL_SECONDS = 2.0
"""How long a worker without news is waited for."""

STOP_SECONDS = 60.0
"""How long a worker has to close its models."""


class Hooks(NamedTuple):
    """What the driver does when something happens.

    Attributes
    ----------
    joined : the first worker can work; returns whether the driver's journal knows anything.
    settled : a problem is finished.
    lost : a worker is gone, and its journal may lie about.
    """

    joined: Callable[[About], bool]
    settled: Callable[[Settled], None]
    lost: Callable[[], object]


class Crew:
    """Works through all problems; used from one event loop.

    Parameters
    ----------
    ray : connected to a cluster.
    sheet : what is run.
    token : of the run, see `ttscale.run.shards`.
    journal : the driver's, into which all that workers commit flows.
    hooks : what the driver does when something happens.
    """

    def __init__(
        self,
        ray: ModuleType,
        sheet: Sheet,
        token: str,
        journal: Journal,
        display: Display,
        hooks: Hooks,
    ) -> None:
        self._ray, self._sheet, self._token = ray, sheet, token
        self._journal, self._display, self._hooks = journal, display, hooks
        config = sheet.experiment.config.run
        self._config, self._n_members = config.ray, config.ray.workers
        self._n_slots = max(1, config.concurrency // len(sheet.arms))
        self._items = ray.put(list(sheet.items))
        self._about: About | None = None
        self._known = False
        self._queue: deque[list[int]] = deque()
        self._n_left = 1  # until the first worker says how problems hang together
        self._change = asyncio.Condition()
        self._over = asyncio.Event()
        self._n_hired = self._n_placed = self._n_lost_in_a_row = 0
        self._gauges: dict[int, Parcel] = {}

    @property
    def n_fresh_tokens(self) -> int:
        """Tokens that this session's workers generated."""
        return sum(parcel.n_fresh_tokens for parcel in self._gauges.values())

    @property
    def step_ends(self) -> Counter[Finish]:
        """How samples that were to end with a step ended."""
        total: Counter[Finish] = Counter()
        for parcel in self._gauges.values():
            total.update(parcel.step_ends)
        return total

    def load(self) -> Load:
        """How many streams run and wait on all workers."""
        return Load(
            sum(parcel.running for parcel in self._gauges.values()),
            sum(parcel.waiting for parcel in self._gauges.values()),
        )

    async def work_through(self) -> None:
        """Until every problem is settled.

        Raises InputError for a cluster without room and for what a worker says the user can mend,
        TTScaleError when a worker cannot go on or too many are lost.
        """
        members = [asyncio.create_task(self._member()) for _ in range(self._n_members)]
        try:
            await asyncio.wait(members, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for member in members:
                member.cancel()
            ends = await asyncio.gather(*members, return_exceptions=True)
        for error in ends:
            if isinstance(error, Exception):
                raise error

    async def _member(self) -> None:
        """One worker, and when it is lost another in its place."""
        while not self._over.is_set():
            number = self._n_hired
            self._n_hired += 1
            actor = self._hire(number)
            try:
                if await self._place(actor):
                    await self._employ(actor, number)
            except self._ray.exceptions.RayActorError as error:
                await self._mourn(number, error)
            finally:
                self._ray.kill(actor)
                if number in self._gauges:
                    self._gauges[number] = self._gauges[number]._replace(running=0, waiting=0)

    def _hire(self, number: int) -> Any:
        needs = demand(self._config)
        actor = self._ray.remote(Worker).options(
            num_cpus=needs.pop("CPU", 0),
            num_gpus=needs.pop("GPU", 0),
            resources=needs or None,
            max_restarts=0,
            max_concurrency=2 * self._n_slots + 8,
        )
        sheet = self._sheet
        return actor.remote(number, sheet.experiment, self._items, sheet.folder, self._token)

    async def _place(self, actor: Any) -> bool:
        """Wait for a place; False when the work is done before there is one."""
        placed = asyncio.create_task(_result(actor.placed.remote()))
        over = asyncio.create_task(self._over.wait())
        try:
            while True:
                await _any([placed, over], self._config.wait_seconds)
                if over.done():
                    return False
                if placed.done():
                    placed.result()
                    return True
                if not self._n_placed:
                    raise no_room(self._ray, self._config)
        finally:
            placed.cancel()
            over.cancel()

    async def _employ(self, actor: Any, number: int) -> None:
        """Start a worker, listen to it, and hand it problems until none is left."""
        self._n_placed += 1
        held: set[int] = set()
        listener = asyncio.create_task(self._listen(actor, number))
        over = asyncio.create_task(self._over.wait())
        starting = asyncio.create_task(_result(actor.start.remote()))
        tasks: list[asyncio.Future[Any]] = [listener, over, starting]
        try:
            await _any(tasks)
            if over.done():
                return
            await _first(starting, listener)
            self._admit(starting.result())
            tasks += [asyncio.create_task(self._slot(actor, held)) for _ in range(self._n_slots)]
            working = asyncio.gather(*tasks[3:])
            tasks.append(working)
            await _first(working, listener)
            stopping = asyncio.create_task(_result(actor.stop.remote()))
            tasks.append(stopping)
            listener.cancel()
            await _any([stopping], STOP_SECONDS)
            if stopping.done():
                self._gauges[number] = stopping.result()
        finally:
            self._n_placed -= 1
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _admit(self, about: About) -> None:
        """Take a worker in that has loaded its models; they are the same on all."""
        self._known |= about.salvaged
        if self._about is None:
            self._about = about
            self._queue.extend(about.groups)
            self._n_left = len(about.groups)
            for line in about.said:
                self._display.say(line)
            self._known |= self._hooks.joined(about)
        elif about.fingerprint != self._about.fingerprint:
            raise InputError(
                "two workers hold different models",
                where="model",
                got=f"fingerprints {self._about.fingerprint} and {about.fingerprint}",
                hint="the same weights, ttscale and vLLM on every node",
            )

    async def _slot(self, actor: Any, held: set[int]) -> None:
        """Hand one problem after the other to a worker; what it does not finish goes back."""
        while (group := await self._next(held)) is not None:
            finished = False
            try:
                settled = await _result(actor.work.remote(group, self._known))
                finished = True
            except self._ray.exceptions.ObjectLostError:
                pass  # the work is done and journaled; another asking replays it
            finally:
                held.discard(group[0])
                if not finished:
                    self._queue.appendleft(group)
            self._known |= not finished
            if finished:
                self._n_lost_in_a_row = 0
                for one in settled:
                    self._hooks.settled(one)
                self._n_left -= 1
                if not self._n_left:
                    self._over.set()
            async with self._change:
                self._change.notify_all()

    async def _next(self, held: set[int]) -> list[int] | None:
        """A worker's next problem, once there is one for it; None when all are done.

        No worker holds more than its share of what is left, so that one that comes late finds work.
        """

        def ready() -> bool:
            share = -(-self._n_left // self._n_members)
            return self._n_left == 0 or (bool(self._queue) and len(held) < share)

        async with self._change:
            await self._change.wait_for(ready)
            if self._n_left == 0:
                return None
            group = self._queue.popleft()
            held.add(group[0])
            return group

    async def _listen(self, actor: Any, number: int) -> None:
        """Keep what a worker commits, and answer what it asks."""
        delivered = 0
        while True:
            parcel: Parcel = await _result(actor.take.remote(delivered, POLL_SECONDS))
            for rows in parcel.commits:
                self._journal.receive(rows)
            self._journal.commit()
            delivered = parcel.number
            self._gauges[number] = parcel._replace(commits=[], questions=[])
            if parcel.questions:
                answers = {
                    question.number: self._journal.lookup(question.spans, question.facts)
                    for question in parcel.questions
                }
                self._journal.commit()
                actor.answer.remote(answers)

    async def _mourn(self, number: int, error: Exception) -> None:
        """What a lost worker held goes to others."""
        self._hooks.lost()
        self._known = True
        self._n_lost_in_a_row += 1
        reason = " ".join(str(error).split())
        if self._about is None and not self._n_placed:
            raise TTScaleError(
                f"a worker could not be started\n  got:   {reason[:600]}\n"
                "  try:   the same version of ttscale and its extras on every node"
            ) from error
        if self._n_lost_in_a_row >= MAX_LOSSES:
            raise TTScaleError(
                f"{self._n_lost_in_a_row} workers were lost, and no problem was finished between\n"
                f"  got:   {reason[:600]}\n"
                "  try:   see the workers' logs in the run folder, and Ray's; "
                "the same command goes on from here"
            ) from error
        self._display.say(f"worker {number} was lost; its problems go to others ({reason[:120]} …)")
        async with self._change:
            self._change.notify_all()


async def _result(reference: Any) -> Any:
    """What a call to a worker gave; a worker's own error is raised as it was there."""
    import ray

    try:
        return await reference
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error


async def _any(tasks: Sequence[asyncio.Future[Any]], seconds: float | None = None) -> None:
    """Wait until one of several is done, or some time has passed."""
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


async def _first(wanted: asyncio.Future[Any], other: asyncio.Future[Any]) -> None:
    """Wait for one; what the other raises before that is raised."""
    await _any([wanted, other])
    if other.done():
        other.result()
    if wanted.done():
        wanted.result()
