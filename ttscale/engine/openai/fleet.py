"""The servers of an endpoint together: where a request goes, and how long it is tried."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from array import array
from pathlib import Path as FilePath
from typing import Protocol

from ttscale.engine.openai.config import EndpointModel
from ttscale.engine.openai.connection import Connection
from ttscale.engine.openai.faults import Fault, pause_seconds
from ttscale.engine.openai.identity import Local, Probe, Statement, check_same, load_local
from ttscale.engine.openai.replica import Replica
from ttscale.engine.openai.routing import Routes
from ttscale.engine.protocol import EngineDied
from ttscale.errors import InputError


class Errand(Protocol):
    """Something to be asked of a server, and what asking took so far.

    Attributes
    ----------
    order : the replicas it goes to, the first first.
    n_attempts : requests it took.
    n_lost_tokens : tokens of those that failed.
    """

    order: list[int]
    n_attempts: int
    n_lost_tokens: int

    async def send(self, http: Connection, replica: Replica) -> None:
        """Ask, and keep the answer. Raises Fault and InputError."""


class Fleet:
    """An endpoint's replicas, from `start` to `close`.

    Parameters
    ----------
    config : where they are, and what they serve.
    probe : how a server is tried out.
    log : file that takes what went wrong with requests; nowhere if left out.

    Attributes
    ----------
    local : what of the model lies on this side, once started.
    statement : what the servers said of themselves, once started.
    """

    local: Local
    statement: Statement

    def __init__(self, config: EndpointModel, probe: Probe, log: FilePath | None) -> None:
        self._config, self._probe = config, probe
        self._log = logging.Logger("endpoint")
        self._log.addHandler(logging.FileHandler(log, delay=True) if log else logging.NullHandler())
        self._log.handlers[0].setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        self._http: Connection | None = None
        self._replicas: list[Replica] = []
        self._routes = Routes(config.endpoint)
        self._rng = random.Random()  # of pauses: no result depends on it

    async def start(self) -> None:
        """Load the tokenizer, and see whether the servers are what they should be."""
        self._http = http = Connection(self._config)
        self.local = await asyncio.to_thread(load_local, self._config)
        self._replicas = [
            Replica(url, self._config, http, self._probe, self._log)
            for url in self._config.endpoint
        ]
        ends = await asyncio.gather(
            *(replica.start(self.local) for replica in self._replicas), return_exceptions=True
        )
        faults = []
        for replica, end in zip(self._replicas, ends, strict=True):
            if isinstance(end, Fault):
                faults.append(f"{replica.url}: {end}")
                replica.lose()
            elif end is not None:
                raise end
        statements = [replica.statement for replica in self._replicas if replica.statement]
        if not statements:
            raise InputError(
                "no server answers at the endpoint",
                where="endpoint",
                got="; ".join(faults),
                hint="start it first: `vllm serve MODEL --port 8000`, and wait until it is ready",
            )
        self.statement = max(statements, key=lambda statement: statement.max_context)
        for replica in self._replicas:
            replica.expected = self.statement
            if replica.statement is not None:
                check_same(self.statement, replica.statement, replica.url, "another replica")

    async def close(self) -> None:
        """Let the servers go; may be called twice."""
        replicas, self._replicas = self._replicas, []
        for replica in replicas:
            await replica.close()
        if self._http is not None:
            await self._http.close()
        self._log.handlers[0].close()

    @property
    def n_running(self) -> int:
        """Requests in flight."""
        return sum(replica.limit.n_running for replica in self._replicas)

    def note_prompt(self, token_ids: array[int]) -> None:
        """Remember a prompt: what begins with it goes to one replica."""
        self._routes.note_prompt(token_ids)

    def order(self, token_ids: array[int], n: int) -> list[int]:
        """The order of replicas for n streams of a sequence, which from now on burden the first."""
        order = self._routes.order(token_ids, [replica.n_assigned for replica in self._replicas])
        self._replicas[order[0]].n_assigned += n
        return order

    def release(self, order: list[int]) -> None:
        """A stream has ended."""
        if self._replicas:
            self._replicas[order[0]].n_assigned -= 1

    async def run(self, errand: Errand) -> None:
        """Do an errand, with as many requests as it takes.

        Raises InputError, and EngineDied where no server is up for too long or all tries fail.
        """
        while True:
            replica = await self._reachable(errand)
            fault = await self._try(errand, replica)
            if fault is None:
                return
            if errand.n_attempts >= self._config.requests.attempts:
                raise EngineDied(
                    f"{replica.url} failed a request {errand.n_attempts} times, "
                    f"the last time with: {fault}"
                )
            await asyncio.sleep(pause_seconds(errand.n_attempts, self._rng))

    async def _reachable(self, errand: Errand) -> Replica:
        """The replica to try next: the errand's own, the others in turn after two failures."""
        deadline = time.monotonic() + self._config.requests.patience_seconds
        while True:
            for replica in self._replicas:
                if replica.refusal is not None:
                    raise replica.refusal
            up = [self._replicas[place] for place in errand.order if self._replicas[place].up]
            if up:
                replica = up[max(0, errand.n_attempts - 1) % len(up)]
                await replica.quiet()
                return replica
            if time.monotonic() > deadline:
                seconds = self._config.requests.patience_seconds
                raise EngineDied(
                    f"no server of the endpoint has answered for {seconds:g} s: "
                    + ", ".join(self._config.endpoint)
                )
            await asyncio.sleep(0.05)

    async def _try(self, errand: Errand, replica: Replica) -> Fault | None:
        """One request."""
        assert self._http is not None, "the fleet has been started"
        async with replica.limit.slot() as number:
            if not replica.up:
                return Fault("it went down before the request was sent")
            errand.n_attempts += 1
            try:
                await errand.send(self._http, replica)
            except Fault as fault:
                errand.n_lost_tokens += fault.n_tokens
                replica.note_fault(fault, number)
                return fault
        replica.note_answer()
        return None
