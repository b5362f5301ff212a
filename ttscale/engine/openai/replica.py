"""One server: whether it answers, how much it is asked at a time, and what it has been up to."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import re
import time
from collections import Counter

from ttscale.engine.openai.config import EndpointModel
from ttscale.engine.openai.connection import Connection
from ttscale.engine.openai.faults import AnotherModel, Fault, NotAllowed, pause_seconds
from ttscale.engine.openai.identity import Local, Probe, Statement, check_same, examine
from ttscale.engine.openai.limit import Limit
from ttscale.errors import InputError

FAILURES = 8
"""Failures in a row after which a server is examined anew before it is asked further."""

LOOK_SECONDS = 0.25
"""Time between looks at a server's queue while requests wait here."""

LONGEST_LOOK_SECONDS = 5.0
"""Time between looks at a server that is down, at most."""

_GAUGE = re.compile(
    r"^vllm:num_requests_(running|waiting)(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE
)


class Replica:
    """One server of an endpoint.

    Attributes
    ----------
    url : its address.
    limit : of the requests in flight there.
    n_assigned : streams that are its business now, waiting ones included.
    faults : what went wrong, counted by what was said.
    expected : what the first server said of itself, which all go on saying.
    refusal : set once what came back after a fault is not the model it was.
    """

    def __init__(
        self,
        url: str,
        config: EndpointModel,
        http: Connection,
        probe: Probe,
        log: logging.Logger,
    ) -> None:
        self.url, self.limit = url, Limit(config.requests.in_flight)
        self.n_assigned = 0
        self.faults: Counter[str] = Counter()
        self.refusal: InputError | None = None
        self.statement: Statement | None = None
        self.expected: Statement | None = None
        self._config, self._http, self._probe, self._log = config, http, probe, log
        self._n_failures = 0
        self._quiet_until = 0.0
        self._recovery: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._rng = random.Random()  # of pauses: no result depends on it

    @property
    def up(self) -> bool:
        """Whether it answers, as far as is known."""
        return self.statement is not None and self._recovery is None

    async def start(self, local: Local) -> None:
        """Examine it. Raises Fault and InputError."""
        self._local = local
        self._looking = asyncio.get_running_loop().create_task(self._follow_queue())
        self.statement = await self._examine()

    async def _examine(self) -> Statement:
        return await examine(self.url, self._config, self._local, self._http, self._probe)

    async def close(self) -> None:
        """End what goes on in the background."""
        tasks = [task for task in (self._recovery, self._looking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def quiet(self) -> None:
        """Wait until it wants to be asked again."""
        while (left := self._quiet_until - time.monotonic()) > 0:
            await asyncio.sleep(left + self._rng.uniform(0, min(1.0, left)))

    def note_answer(self) -> None:
        """It answered a request."""
        self._n_failures = 0
        self.limit.note_answer()

    def note_fault(self, fault: Fault, number: int) -> None:
        """It failed a request of this number."""
        self.faults[str(fault)[:60]] += 1
        self._log.warning("%s: %s (%d tokens lost)", self.url, fault, fault.n_tokens)
        self._n_failures += not fault.refused
        if fault.refused or fault.late:
            self.limit.note_refusal(number)
        if fault.wait_seconds:
            self._quiet_until = max(self._quiet_until, time.monotonic() + fault.wait_seconds)
        if self.up and (fault.lost or self._n_failures >= FAILURES):
            self.lose()

    def lose(self) -> None:
        """Take it for down, until an examination shows that it is there and what it was."""
        if self._recovery is None:
            self._log.warning("%s: down", self.url)
            self._recovery = asyncio.get_running_loop().create_task(self._recover())

    async def _recover(self) -> None:
        """Examine it until it answers and is what it was."""
        for n in itertools.count():
            if n:
                await asyncio.sleep(min(LONGEST_LOOK_SECONDS, pause_seconds(n, self._rng)))
            try:
                now = await self._examine()
                if self.expected is not None:
                    check_same(self.expected, now, self.url, "before")
            except (AnotherModel, NotAllowed) as error:
                self.refusal = error
                return
            except (Fault, InputError):
                continue  # a server that is just starting may refuse anything
            break
        self.statement = now
        self._n_failures, self._recovery = 0, None
        self._log.warning("%s: up", self.url)

    async def _follow_queue(self) -> None:
        """Tell the limit how long the server's queue is, if it says so."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self.limit.n_waiting or not self.up:
                continue
            try:
                text = await self._http.ask(f"{self.url}/metrics")
            except Fault:
                continue
            except InputError:
                return
            gauges = Counter[str]()
            for name, value in _GAUGE.findall(text or ""):
                gauges[name] += int(float(value))
            if "waiting" not in gauges:
                return
            self.limit.note_queue(gauges["running"], gauges["waiting"])
