"""The simulated engine: the protocol, the virtual clock, and the books."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from pydantic import ValidationError

from ttscale.engine.protocol import Completion, ContextTooLong, Engine, EngineDied, Load, Sampling
from ttscale.engine.simulated import (
    Fixed,
    SimulatedConfig,
    SimulatedEngine,
    TimingConfig,
    Totals,
    WorldConfig,
    simulated_items,
)
from ttscale.engine.simulated.batching import BLOCK

T = TypeVar("T")

INSTANT = TimingConfig(round_seconds=0, stream_seconds=0, prefill_seconds=0)
SAMPLING = Sampling(max_tokens=4000)
STEPWISE = Sampling(max_tokens=4000, step=("\n\n",))


def engine(**fields: object) -> SimulatedEngine:
    return SimulatedEngine(SimulatedConfig.model_validate(fields))


def prompts(served: SimulatedEngine, n: int = 8) -> list[array[int]]:
    return [
        served.encode_chat([{"role": "user", "content": item.question}])
        for item in simulated_items(n)
    ]


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(coroutine, 300))


async def whole(served: SimulatedEngine, prefix: array[int], seed: int) -> Completion:
    """A stream followed step by step, put together."""
    ids, logprobs, text = array("i"), array("f"), ""
    while True:
        (future,) = served.submit(prefix + ids, STEPWISE, seed, 1)
        step = await future
        ids, logprobs, text = ids + step.token_ids, logprobs + step.logprobs, text + step.text
        if step.finish != "step":
            return Completion(ids, text, step.finish, logprobs)


def test_it_is_an_engine_and_says_that_it_is_simulated() -> None:
    served = engine()
    assert isinstance(served, Engine)
    assert served.simulated
    assert served.provenance()["simulated"] is True
    assert served.decode(served.encode("naïve\n")) == "naïve\n"


def test_the_fingerprint_covers_samples_and_nothing_else() -> None:
    same = [engine(), engine(max_num_seqs=3), engine(timing=INSTANT), engine(cache_tokens=0)]
    others = [
        engine(model="other"),
        engine(max_context=100),
        engine(world=WorldConfig(seed=1)),
        engine(world=WorldConfig(logprobs=False)),
    ]
    assert len({served.fingerprint for served in same}) == 1
    assert len({served.fingerprint for served in [same[0], *others]}) == 5


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValidationError, match="max_seqs"):
        engine(max_seqs=3)


# Samples


@pytest.mark.parametrize(
    ("slots", "timing", "backwards"),
    [
        (1, TimingConfig(), False),
        (3, TimingConfig(), True),
        (256, INSTANT, True),
        (5, TimingConfig(prefill_seconds=1.0, patience=0), False),
        (64, TimingConfig(time_scale=1e-4), True),
    ],
)
def test_tokens_do_not_depend_on_what_else_runs(
    slots: int, timing: TimingConfig, backwards: bool
) -> None:
    async def sample(served: SimulatedEngine, *, backwards: bool) -> dict[tuple[int, int], object]:
        await served.start()
        calls = list(enumerate(prompts(served)))
        futures = {}
        for i, prefix in reversed(calls) if backwards else calls:
            if backwards:  # the same four streams, asked for apart
                groups = [served.submit(prefix, SAMPLING, 10 + k, 1) for k in (3, 1, 0, 2)]
                order = [groups[2], groups[1], groups[3], groups[0]]
                futures[i] = [group[0] for group in order]
            else:
                futures[i] = served.submit(prefix, SAMPLING, 10, 4)
            await asyncio.sleep(0)
        stepwise = await asyncio.gather(*(whole(served, prefix, 5) for _, prefix in calls))
        found: dict[tuple[int, int], object] = {}
        for i, group in futures.items():
            for k, future in enumerate(group):
                done = await future
                found[i, k] = (done.token_ids, done.text, done.finish, done.logprobs)
        found.update({(i, -1): (done.token_ids, done.text) for i, done in enumerate(stepwise)})
        await served.close()
        return found

    quiet = run(sample(engine(), backwards=False))
    assert len(quiet) == 8 * 5
    busy = run(sample(engine(max_num_seqs=slots, timing=timing), backwards=backwards))
    assert busy == quiet


def test_a_prefix_that_fills_the_context_is_refused() -> None:
    async def scenario() -> None:
        served = engine(max_context=200)
        await served.start()
        with pytest.raises(ContextTooLong):
            served.submit(served.encode("x" * 200), SAMPLING, 0, 1)
        (future,) = served.submit(served.encode("x" * 199), SAMPLING, 0, 1)
        done = await future
        assert (len(done.token_ids), done.finish) == (1, "length")

    run(scenario())


# The books


def test_the_books_balance_with_aborts_cancellations_and_steps() -> None:
    async def scenario() -> None:
        served = engine(max_num_seqs=6)
        await served.start()
        received: list[tuple[int, Completion]] = []
        futures = [(len(p), f) for p in prompts(served) for f in served.submit(p, SAMPLING, 0, 4)]
        await futures[0][1]
        served.abort([future for _, future in futures[10:20]])
        lost = [future for _, future in futures[20:25] if not future.done()]
        for future in lost:
            assert future.cancel()
            assert not future.cancel()
        for n_prompt, future in futures:
            if future not in lost:
                received.append((n_prompt, await future))
        totals = served.totals()
        assert totals == Totals(
            len(received),
            sum(n_prompt for n_prompt, _ in received),
            sum(done.n_cached_tokens for _, done in received),
            sum(len(done.token_ids) for _, done in received),
            len(lost),
            totals.n_lost_tokens,
        )
        assert len(lost) == 5
        assert served.load() == Load(0, 0)

    run(scenario())


def test_cancelling_the_awaiting_task_frees_the_slot_and_counts_the_loss() -> None:
    async def scenario() -> None:
        served = engine(max_num_seqs=2, world=WorldConfig(steps=Fixed(value=50)))
        await served.start()
        prefix = prompts(served, 1)[0]
        short = Sampling(max_tokens=40)

        async def wait_for_ever() -> None:
            await served.submit(prefix, SAMPLING, 0, 1)[0]

        task = asyncio.create_task(wait_for_ever())
        await asyncio.sleep(0)
        (second,) = served.submit(prefix, short, 0, 1)
        await second
        assert served.load() == Load(1, 0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert served.load() == Load(0, 0)
        assert served.totals().n_lost_streams == 1
        assert served.totals().n_lost_tokens == 40
        queued = served.submit(prefix, short, 1, 4)
        queued[2].cancel()
        await asyncio.gather(queued[0], queued[1], queued[3])
        assert served.totals().n_lost_tokens == 40
        assert served.load() == Load(0, 0)

    run(scenario())


def test_aborted_streams_keep_the_tokens_they_have() -> None:
    async def scenario() -> None:
        served = engine(max_num_seqs=4, world=WorldConfig(steps=Fixed(value=8)))
        await served.start()
        prefix = prompts(served, 1)[0]
        full = [await future for future in served.submit(prefix, SAMPLING, 0, 6)]
        (first,) = served.submit(prefix, Sampling(max_tokens=77), 9, 1)
        streams = served.submit(prefix, SAMPLING, 0, 6)
        await first
        served.abort(streams)
        assert all(future.done() for future in streams)
        cut = [await future for future in streams]
        assert [len(done.token_ids) for done in cut] == [77, 77, 77, 0, 0, 0]
        for done, reference in zip(cut, full, strict=True):
            n = len(done.token_ids)
            assert done.finish == "abort"
            assert done.token_ids == reference.token_ids[:n]
            assert done.text == reference.text[:n]
            assert done.logprobs == reference.logprobs[:n]
        served.abort(streams)  # a second time: nothing
        assert served.load() == Load(0, 0)

    run(scenario())


def test_a_stop_string_cut_in_the_middle_is_text() -> None:
    async def scenario() -> None:
        served = engine()
        await served.start()
        prefix = prompts(served, 1)[0]
        (stopped,) = served.submit(prefix, Sampling(stop=(" = ",)), 0, 1)
        whole = await stopped
        n = len(whole.text) + 2  # one token short of the stop string's end
        (other,) = served.submit(prefix, Sampling(max_tokens=n), 1, 1)
        (stopped,) = served.submit(prefix, Sampling(stop=(" = ",)), 0, 1)
        await other
        served.abort([stopped])
        assert (await stopped).text == whole.text + " ="
        assert (await stopped).token_ids == whole.token_ids[:n]

    run(scenario())


# Ends


def test_close_ends_everything_and_can_be_repeated() -> None:
    async def scenario() -> None:
        served = engine(max_num_seqs=2)
        await served.start()
        streams = served.submit(prompts(served, 1)[0], SAMPLING, 0, 5)
        await streams[0]
        await served.close()
        await served.close()
        assert [future.cancelled() for future in streams].count(True) >= 3
        assert all(future.done() for future in streams)
        assert served.load() == Load(0, 0)
        (late,) = served.submit(prompts(served, 1)[0], SAMPLING, 0, 1)
        with pytest.raises(EngineDied):
            await late

    run(scenario())


def test_a_dead_engine_fails_its_streams() -> None:
    async def scenario() -> None:
        served = engine()
        await served.start()
        (running,) = served.submit(prompts(served, 1)[0], SAMPLING, 0, 1)
        await asyncio.sleep(0)
        served.die()
        (late,) = served.submit(prompts(served, 1)[0], SAMPLING, 0, 1)
        for future in (running, late):
            with pytest.raises(EngineDied):
                await future

    run(scenario())


# The clock


def test_seconds_are_prefill_waiting_and_rounds() -> None:
    async def scenario() -> None:
        timing = TimingConfig(round_seconds=0.5, stream_seconds=0.125, prefill_seconds=0.25)
        served = engine(max_num_seqs=1, timing=timing, cache_tokens=0)
        await served.start()
        prefix = served.encode("x" * 100)
        two = served.submit(prefix, Sampling(max_tokens=8), 0, 2)
        first, second = await asyncio.gather(*two)
        alone = 100 * 0.25 + 8 * 0.625
        assert (first.started, first.seconds) == (0.0, alone)
        assert (second.started, second.seconds) == (0.0, 2 * alone)
        (third,) = served.submit(prefix, Sampling(max_tokens=8), 0, 1)
        assert (await third).started == 2 * alone

    run(scenario())


def test_virtual_throughput_saturates_without_barriers() -> None:
    """Problems whose calls come one after another fill the slots only if many are in flight."""

    async def tokens_per_second(in_flight: int) -> float:
        timing = TimingConfig(round_seconds=0.01, stream_seconds=0.0, prefill_seconds=0.0)
        served = engine(max_num_seqs=32, timing=timing)
        await served.start()
        gate = asyncio.Semaphore(in_flight)

        async def solve(prefix: array[int]) -> None:
            async with gate:
                for seed in range(3):
                    await asyncio.gather(asyncio.create_task(whole(served, prefix, seed)))

        await asyncio.gather(*map(solve, prompts(served, 96)))
        return served.totals().n_generated_tokens / served.slots.now

    one, few, many, more = (run(tokens_per_second(n)) for n in (1, 8, 32, 64))
    assert one == pytest.approx(100, rel=1e-9)  # a slot's speed: callers cost no virtual time
    assert 700 < few < 800.001
    assert 2400 < many < more < 3200.001  # no higher than the slots allow: 32 / 0.01 s


def test_slots_are_never_exceeded_and_waiting_is_in_order() -> None:
    async def scenario() -> None:
        served = engine(max_num_seqs=3)
        await served.start()
        streams = [served.submit(p, SAMPLING, 0, 2) for p in prompts(served)]
        assert served.load() == Load(0, 16)
        futures = [future for pair in streams for future in pair]
        seen = set()
        entered: list[int] = []
        while not all(future.done() for future in futures):
            await asyncio.sleep(0)
            load = served.load()
            assert load.running <= 3
            assert load.running + load.waiting == sum(not f.done() for f in futures)
            seen.add(load.running)
            running = [i for i, f in enumerate(futures) if getattr(f, "end_round", -1) >= 0]
            entered += [i for i in running if i not in entered]
        assert 3 in seen
        assert entered == sorted(entered)

    run(scenario())


def test_real_time_waits_and_aborts_at_the_clock() -> None:
    async def scenario() -> None:
        timing = TimingConfig(
            round_seconds=1.0, stream_seconds=0.0, prefill_seconds=0.0, time_scale=0.001
        )
        served = engine(timing=timing, world=WorldConfig(steps=Fixed(value=100)))
        await served.start()
        prefix = prompts(served, 1)[0]
        loop = asyncio.get_running_loop()
        started = loop.time()
        (short,) = served.submit(prefix, Sampling(max_tokens=50), 0, 1)
        (long,) = served.submit(prefix, SAMPLING, 0, 1)
        done = await short
        assert loop.time() - started >= 0.049
        assert done.seconds == pytest.approx(50, abs=1e-6)
        served.abort([long])
        cut = await long
        assert 50 <= len(cut.token_ids) <= cut.seconds + 1e-6
        assert cut.text.startswith(done.text)
        assert served.load() == Load(0, 0)
        await served.close()

    run(scenario())


# The prefix cache


def test_a_prompt_s_siblings_and_continuations_find_it_in_the_cache() -> None:
    async def scenario() -> None:
        served = engine()
        await served.start()
        prefix = prompts(served, 1)[0]
        first, second = await asyncio.gather(*served.submit(prefix, STEPWISE, 0, 2))
        assert first.n_cached_tokens == 0
        assert second.n_cached_tokens == (len(prefix) - 1) // BLOCK * BLOCK
        longer = prefix + first.token_ids
        (third,) = await asyncio.gather(*served.submit(longer, STEPWISE, 0, 1))
        assert third.n_cached_tokens == (len(longer) - 1) // BLOCK * BLOCK
        full = served.encode("x" * (4 * BLOCK))  # its last token must be computed all the same
        _, twin = await asyncio.gather(*served.submit(full, STEPWISE, 0, 2))
        assert twin.n_cached_tokens == 3 * BLOCK
        none = engine(cache_tokens=0)
        await none.start()
        fourth, fifth = await asyncio.gather(*none.submit(prefix, STEPWISE, 0, 2))
        assert fourth.n_cached_tokens == fifth.n_cached_tokens == 0

    run(scenario())
