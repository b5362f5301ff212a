"""The limit on requests in flight, the routes, and the pauses: by themselves."""

from __future__ import annotations

import asyncio
import email.utils
import random
import time
from array import array
from collections import Counter

import pytest

from ttscale.engine.openai.config import OpenAIConfig
from ttscale.engine.openai.faults import LONGEST_PAUSE, Fault, judge, pause_seconds, retry_after
from ttscale.engine.openai.limit import FEWEST, FIRST, Limit
from ttscale.engine.openai.routing import REMEMBERED, Routes
from ttscale.errors import InputError


def test_slots_are_held_given_back_and_waited_for_in_order() -> None:
    async def main() -> None:
        limit, order = Limit(2), []
        gates = [asyncio.Event() for _ in range(5)]

        async def work(i: int) -> None:
            async with limit.slot():
                order.append(i)
                await gates[i].wait()

        tasks = [asyncio.create_task(work(i)) for i in range(5)]
        await asyncio.sleep(0)
        assert (order, limit.n_running, limit.n_waiting) == ([0, 1], 2, 3)
        tasks[2].cancel()
        gates[1].set()
        await asyncio.sleep(0.01)
        assert (order, limit.n_running, limit.n_waiting) == ([0, 1, 3], 2, 1)
        for gate in gates:
            gate.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (order, limit.n_running, limit.n_waiting) == ([0, 1, 3, 4], 0, 0)

    asyncio.run(main())


def test_a_slot_handed_to_one_that_is_cancelled_is_not_lost() -> None:
    async def main() -> None:
        limit, gate = Limit(1), asyncio.Event()

        async def work(wait: asyncio.Event | None) -> str:
            async with limit.slot():
                if wait:
                    await wait.wait()
                return "done"

        first, second, third = (asyncio.create_task(work(w)) for w in (gate, None, None))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.sleep(0)  # the first gives its slot to the second …
        second.cancel()  # … which is cancelled before it runs
        assert await third == await first == "done"
        assert limit.n_running == 0

    asyncio.run(main())


def test_without_a_queue_to_look_at_the_limit_grows_until_refused() -> None:
    limit = Limit(1000)
    for _ in range(100):
        limit.note_answer()
    assert limit.n == FIRST + 100, "one more for each answer: doubled in each window"
    limit.note_refusal(1)
    assert limit.n == (FIRST + 100) // 2
    limit.note_refusal(0)
    assert limit.n == (FIRST + 100) // 2, "a request that was in flight then says nothing new"
    before = limit.n
    for _ in range(before + 2):
        limit.note_answer()
    assert before < limit.n <= before + 1, "then by one for each window"


def test_with_a_queue_to_look_at_it_is_kept_short_and_never_empty() -> None:
    async def main() -> None:
        limit, gate = Limit(1000), asyncio.Event()

        async def work() -> None:
            async with limit.slot():
                await gate.wait()

        tasks = [asyncio.create_task(work()) for _ in range(500)]
        await asyncio.sleep(0)
        limit.note_queue(64, 0)
        assert limit.n == 96, "the server has room"
        limit.note_queue(90, 6)
        assert limit.n == 96, "a short queue is as it should be"
        limit.note_queue(32, 64)
        assert limit.n == 96 - (64 - 2), "two wait behind 32"
        for _ in range(200):
            limit.note_answer()
        assert limit.n == 34, "answers say nothing where the queue does"
        limit.note_queue(32, 10_000)
        assert limit.n == FEWEST, "others' requests do not drive out this side's"
        gate.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())


def prompt(i: int) -> array[int]:
    return array("i", [1, 2, 3, i])


def test_a_prompts_replica_is_the_same_for_every_process_and_whoever_else_is_there() -> None:
    names = [f"http://host{i}" for i in range(4)]
    routes, again = Routes(names), Routes(names)
    fewer = Routes(names[:3])
    for i in range(400):
        order = routes.order(prompt(i), [0] * 4)
        assert order == again.order(prompt(i), [0] * 4)
        assert [place for place in order if place < 3] == fewer.order(prompt(i), [0] * 3)
        grown = prompt(i) + array("i", [7, 8])
        routes.note_prompt(prompt(i))
        assert routes.order(grown, [0] * 4)[0] == order[0]
    homes = Counter(routes.order(prompt(i), [0] * 4)[0] for i in range(400))
    assert all(70 < homes[place] < 130 for place in range(4))


def test_a_new_prompt_passes_over_a_replica_with_too_much_to_do() -> None:
    routes = Routes(["http://a", "http://b"])
    loads = [0, 0]
    for i in range(64):
        loads[routes.order(prompt(i), loads)[0]] += 8
    assert max(loads) <= 1.25 * (sum(loads) + 1) / 2 + 8
    home = routes.order(prompt(0), loads)[0]
    assert routes.order(prompt(0), [10**6 if place == home else 0 for place in (0, 1)])[0] == home


def test_prompts_are_forgotten_in_the_end() -> None:
    routes = Routes(["http://a", "http://b"])
    for i in range(REMEMBERED + 10):
        routes.note_prompt(array("i", [i, i + 1][: 1 + i % 2]))
    assert len(routes._prompts) == REMEMBERED
    assert sum(routes._lengths.values()) == REMEMBERED


def test_pauses_grow_and_are_spread() -> None:
    rng = random.Random(0)
    means = [sum(pause_seconds(n, rng) for _ in range(2000)) / 2000 for n in range(4)]
    assert means == pytest.approx([0.125, 0.25, 0.5, 1.0], rel=0.1)
    assert max(pause_seconds(50, rng) for _ in range(1000)) <= LONGEST_PAUSE


def test_retry_after_is_a_number_or_a_date() -> None:
    assert retry_after({"Retry-After": "2.5"}) == 2.5
    date = email.utils.formatdate(time.time() + 300, usegmt=True)
    assert 200 < retry_after({"Retry-After": date}) <= 300
    assert retry_after({"Retry-After": "soon"}) == retry_after({}) == 0


def test_answers_are_told_apart() -> None:
    config = OpenAIConfig(endpoint="http://host", model="m")

    def of(status: int, text: str = "") -> Exception:
        return judge(status, text, {"Retry-After": "3"}, "http://host", config, "sk-1")

    for status in (408, 429, 500, 502, 503, 529):
        fault = of(status)
        assert isinstance(fault, Fault) and fault.wait_seconds == 3
        assert fault.refused == (status in {429, 503, 529})
    for status in (400, 401, 403, 404, 422):
        assert isinstance(of(status), InputError)
    assert "sk-1" not in str(of(400, "bad key sk-1 in body")) and "in body" in str(
        of(400, "in body")
    )
