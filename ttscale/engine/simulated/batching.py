"""What a serving engine does with requests: slots on a virtual clock, and a prefix cache.

Decoding goes in rounds, one token for each running stream; a round takes a fixed time and a little
more for every stream in it. Between two ends of streams the rounds are alike, so the clock jumps
from end to end and no token is counted by hand.
"""

from __future__ import annotations

import heapq
import math
from array import array
from collections import deque
from collections.abc import Sequence
from itertools import chain, count
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

BLOCK = 16
"""Tokens in a block of the prefix cache."""


class TimingConfig(BaseModel):
    """How fast the simulated engine is, on its virtual clock; nothing here changes a token.

    The defaults are of the order of a small model on one large GPU; they were not measured.

    Attributes
    ----------
    round_seconds : a decoding round's fixed time.
    stream_seconds : what each running stream adds to a round.
    prefill_seconds : for each prompt token that is not in the prefix cache.
    time_scale : real seconds for each virtual second. 0: no waiting at all.
    patience : with no waiting, turns of the event loop that callers have to react to an end
        before the clock moves on. With three levels of tasks between a sample and the next one,
        about eight turns are needed; too few make busy callers look slow, never wrong.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    round_seconds: float = Field(default=0.008, ge=0, allow_inf_nan=False)
    stream_seconds: float = Field(default=0.00002, ge=0, allow_inf_nan=False)
    prefill_seconds: float = Field(default=0.00002, ge=0, allow_inf_nan=False)
    time_scale: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    patience: int = Field(default=16, ge=0, le=1000)

    @property
    def instant(self) -> bool:
        """Whether the clock never moves."""
        return self.round_seconds == self.stream_seconds == self.prefill_seconds == 0


class Job(Protocol):
    """A stream, as the slots see it."""

    end_round: float
    """The round it ends with; `WAITING` or `GONE` when it does not run."""
    n_rounds: int
    """Tokens it generates."""

    def begin(self) -> int:
        """Enter a slot: set `n_rounds`, and say how many prompt tokens must be computed."""


WAITING, GONE = -1.0, -2.0

AnyJob = TypeVar("AnyJob", bound=Job)


class Slots(Generic[AnyJob]):
    """Who runs, who waits, and when each is done. Jobs enter in the order in which they came.

    Attributes
    ----------
    now : the virtual time in seconds.
    running, waiting : number of jobs; `running` never exceeds `n_slots`.
    """

    def __init__(self, timing: TimingConfig, n_slots: int) -> None:
        self.timing, self.n_slots = timing, n_slots
        self.now = 0.0
        self.running = self.waiting = 0
        self._round = 0.0
        self._queue: deque[AnyJob] = deque()
        self._heap: list[tuple[float, int, AnyJob]] = []
        self._serial = count()

    def put(self, job: AnyJob) -> None:
        """Queue a job."""
        job.end_round = WAITING
        self._queue.append(job)
        self.waiting += 1

    def admit(self) -> None:
        """Move jobs from the queue to the free slots, and the clock by their prefill."""
        prefill = self.timing.prefill_seconds
        while self.waiting and self.running < self.n_slots:
            job = self._queue.popleft()
            if job.end_round == GONE:
                continue
            self.now += job.begin() * prefill
            job.end_round = self._round + job.n_rounds
            heapq.heappush(self._heap, (job.end_round, next(self._serial), job))
            self.waiting -= 1
            self.running += 1

    def next_end(self) -> float:
        """When the next running job ends, if none comes or goes before; infinity if none runs."""
        while self._heap and self._heap[0][2].end_round == GONE:
            heapq.heappop(self._heap)
        if not self._heap:
            return math.inf
        return self.now + (self._heap[0][0] - self._round) * self._round_seconds()

    def _round_seconds(self) -> float:
        return self.timing.round_seconds + self.timing.stream_seconds * self.running

    def advance(self, until: float = math.inf) -> list[AnyJob]:
        """Move the clock to the next end, but not beyond `until`; the jobs that end there.

        An empty list when the clock reached `until` first, or nothing runs.
        """
        end = self.next_end()
        if end > until or not self._heap:
            if until < math.inf and until > self.now:
                if self._heap:
                    self._round += (until - self.now) / self._round_seconds()
                self.now = until
            return []
        ended = []
        heap = self._heap
        # Rounds that take no time end together, in their order.
        last = heap[0][0] if self._round_seconds() else math.inf
        self.now = end
        while heap and heap[0][0] <= last:
            self._round = heap[0][0]
            job = heapq.heappop(heap)[2]
            if job.end_round != GONE:
                job.end_round = GONE
                ended.append(job)
        self.running -= len(ended)
        return ended

    def drop(self, job: AnyJob) -> int:
        """Take a job out, running or waiting; the tokens it has generated by now."""
        if job.end_round == GONE:
            return 0
        if job.end_round == WAITING:
            job.end_round = GONE
            self.waiting -= 1
            return 0
        n_left = math.ceil(job.end_round - self._round)
        job.end_round = GONE
        self.running -= 1
        return min(max(job.n_rounds - n_left, 0), job.n_rounds)

    def jobs(self) -> list[AnyJob]:
        """All jobs that run or wait."""
        everyone = chain((entry[2] for entry in self._heap), self._queue)
        return [job for job in everyone if job.end_round != GONE]


class PrefixCache:
    """Which blocks of tokens an engine has computed, so that the same beginning is not paid twice.

    A block's name is a hash of its tokens and of all that precede them, so a known block stands
    for a known prefix. At most twice `capacity` blocks are held, in two generations: when the
    young one is full, the old one is forgotten. Up to that size the answer is exact.

    Most generated sequences are never continued, so they are cut into blocks only when a prefix
    comes up that shares the block they grew from.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._generations = [_Generation(), _Generation()]

    def names(self, token_ids: array[int], after: int = 0) -> list[int]:
        """The names of a sequence's full blocks, where `after` names the block before it."""
        data = token_ids.tobytes()
        width = BLOCK * token_ids.itemsize
        names = []
        for start in range(0, len(data) - width + 1, width):
            after = hash((after, data[start : start + width]))
            names.append(after)
        return names

    def n_known(self, names: Sequence[int]) -> int:
        """How many leading blocks of a sequence are held."""
        if not names or any(names[-1] in generation.names for generation in self._generations):
            return len(names)
        for generation in self._generations:
            for root in (0, *names):
                for tail, token_ids in generation.grown.pop(root, ()):
                    # The last token was drawn but never fed back: its keys are not there.
                    generation.names.update(self.names(tail + token_ids[:-1], root))
        held = (any(name in g.names for g in self._generations) for name in reversed(names))
        return next(
            (n for n, known in zip(range(len(names), 0, -1), held, strict=True) if known), 0
        )

    def add(self, names: Sequence[int]) -> None:
        """Hold the blocks of a prompt."""
        young = self._generations[0]
        if names and names[-1] not in young.names:
            young.names.update(names)
            self._age(len(names))

    def add_grown(self, root: int, tail: array[int], token_ids: array[int]) -> None:
        """Hold what was generated after the block `root` and the prompt's `tail` beyond it."""
        self._generations[0].grown.setdefault(root, []).append((tail, token_ids))
        self._age((len(tail) + len(token_ids)) // BLOCK)

    def _age(self, n_blocks: int) -> None:
        young = self._generations[0]
        young.n_blocks += n_blocks
        if young.n_blocks > self.capacity:
            self._generations = [_Generation(), young]


class _Generation:
    """Blocks of one age: those with a name, and generated sequences by the block they follow."""

    def __init__(self) -> None:
        self.names: set[int] = set()
        self.grown: dict[int, list[tuple[array[int], array[int]]]] = {}
        self.n_blocks = 0
