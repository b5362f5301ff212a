"""The simulated engine's slots and prefix cache, against round-by-round and token-by-token ones."""

from __future__ import annotations

import math
from array import array
from collections import deque
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscale.engine.simulated import TimingConfig
from ttscale.engine.simulated.batching import BLOCK, WAITING, PrefixCache, Slots

INSTANT = TimingConfig(round_seconds=0, stream_seconds=0, prefill_seconds=0)


@dataclass(eq=False)
class Job:
    """A stream of known length, for the slots alone."""

    n_rounds: int
    end_round: float = WAITING

    def begin(self) -> int:
        return 0


def ends_by_hand(lengths: list[int], n_slots: int, round_s: float, stream_s: float) -> list[float]:
    """When each of these jobs ends, round by round."""
    queue, left = deque(range(len(lengths))), dict[int, int]()
    ends, now = [0.0] * len(lengths), 0.0
    while queue or left:
        while queue and len(left) < n_slots:
            job = queue.popleft()
            left[job] = lengths[job]
        now += round_s + stream_s * len(left)
        for job in list(left):
            left[job] -= 1
            if left[job] == 0:
                ends[job] = now
                del left[job]
    return ends


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=25),
    st.integers(1, 6),
    st.floats(0.001, 1.0),
    st.floats(0.0, 1.0),
)
def test_jumping_from_end_to_end_is_the_same_as_round_by_round(
    lengths: list[int], n_slots: int, round_seconds: float, stream_seconds: float
) -> None:
    timing = TimingConfig(round_seconds=round_seconds, stream_seconds=stream_seconds)
    slots: Slots[Job] = Slots(timing, n_slots)
    jobs = [Job(n) for n in lengths]
    for job in jobs:
        slots.put(job)
    ends = {}
    while True:
        slots.admit()
        assert slots.running <= n_slots
        ended = slots.advance()
        if not ended:
            break
        ends.update(dict.fromkeys(map(id, ended), slots.now))
    expected = ends_by_hand(lengths, n_slots, round_seconds, stream_seconds)
    assert [ends[id(job)] for job in jobs] == pytest.approx(expected)
    assert slots.running == slots.waiting == 0


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=6), st.lists(st.floats(0.01, 9), max_size=9)
)
def test_stopping_the_clock_anywhere_changes_no_end(
    lengths: list[int], pauses: list[float]
) -> None:
    timing = TimingConfig(round_seconds=0.5, stream_seconds=0.25)
    slots: Slots[Job] = Slots(timing, 3)
    jobs = [Job(n) for n in lengths]
    for job in jobs:
        slots.put(job)
    ends = {}
    for until in [*sorted(pauses), math.inf]:
        while True:
            slots.admit()
            ended = slots.advance(until)
            if not ended:
                break
            ends.update(dict.fromkeys(map(id, ended), slots.now))
    expected = ends_by_hand(lengths, 3, 0.5, 0.25)
    assert [ends[id(job)] for job in jobs] == pytest.approx(expected)


def test_a_job_that_comes_in_the_middle_of_a_round_ends_there() -> None:
    slots: Slots[Job] = Slots(TimingConfig(round_seconds=1.0, stream_seconds=0.0), 2)
    early, late = Job(5), Job(5)
    slots.put(early)
    slots.admit()
    assert slots.advance(until=0.5) == []
    slots.put(late)
    slots.admit()
    assert (slots.advance(), slots.now) == ([early], 5.0)
    assert (slots.advance(), slots.now) == ([late], 5.5)


def test_rounds_that_take_no_time_end_together_the_shortest_first() -> None:
    slots: Slots[Job] = Slots(INSTANT, 3)
    jobs = [Job(7), Job(2), Job(5), Job(1)]
    for job in jobs:
        slots.put(job)
    slots.admit()
    assert slots.advance() == [jobs[1], jobs[2], jobs[0]]
    assert (slots.now, slots.running, slots.waiting) == (0.0, 0, 1)


def test_a_job_that_leaves_counts_its_rounds_and_makes_room() -> None:
    slots: Slots[Job] = Slots(TimingConfig(round_seconds=1.0, stream_seconds=0.0), 2)
    long, short, queued, gone = Job(10), Job(4), Job(5), Job(3)
    for job in (long, short, queued, gone):
        slots.put(job)
    slots.admit()
    assert slots.drop(gone) == 0
    assert (slots.running, slots.waiting) == (2, 1)
    assert slots.advance() == [short]
    assert slots.drop(long) == 4
    assert slots.drop(long) == 0
    slots.admit()
    assert (slots.running, slots.waiting, slots.now) == (1, 0, 4.0)
    assert slots.advance(until=6.5) == []
    assert slots.jobs() == [queued]
    assert slots.drop(queued) == 2


@settings(max_examples=200)
@given(st.data())
def test_the_cache_finds_the_longest_common_blocks(data: st.DataObject) -> None:
    cache = PrefixCache(10_000)
    letters = st.lists(st.sampled_from([0] * 20 + [1]), max_size=100)
    known: list[list[int]] = []
    for _ in range(data.draw(st.integers(1, 6))):
        prefix: list[int] = data.draw(letters)
        if data.draw(st.booleans()) and known:
            base: list[int] = data.draw(st.sampled_from(known))
            prefix = base[: data.draw(st.integers(0, len(base)))] + prefix
        names = cache.names(array("i", prefix))
        expected = 0
        for other in known:
            same = next(
                (i for i, (a, b) in enumerate(zip(prefix, other)) if a != b),  # noqa: B905
                min(len(prefix), len(other)),
            )
            expected = max(expected, same // BLOCK)
        assert cache.n_known(names) == expected
        cache.add(names)
        known.append(prefix[: len(names) * BLOCK])
        grown: list[int] = data.draw(letters)
        tail = array("i", prefix[len(names) * BLOCK :])
        cache.add_grown(names[-1] if names else 0, tail, array("i", grown))
        known.append((prefix + grown[:-1]) if grown else prefix)


def test_the_cache_forgets_the_oldest_and_stays_small() -> None:
    cache = PrefixCache(100)
    sequences = [array("i", [k] * (10 * BLOCK)) for k in range(60)]
    for k, sequence in enumerate(sequences):
        cache.add(cache.names(sequence))
        cache.add_grown(cache.names(sequence)[-1], array("i"), array("i", [k + 1] * (5 * BLOCK)))
    held = [cache.n_known(cache.names(sequence)) for sequence in sequences]
    assert held[-1] == 10
    assert held[0] == 0
    assert sum(held) <= 200
