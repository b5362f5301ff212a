"""The real engine, with the real embedded model, on this machine."""

from __future__ import annotations

import asyncio
import math
import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.scripted import make_problem, make_session
from ttscale.context import Context
from ttscale.engine.ends import finish_of
from ttscale.engine.protocol import Completion, ContextTooLong, Engine, Sampling
from ttscale.engine.vllm import VLLMConfig, VLLMEngine
from ttscale.errors import InputError
from ttscale.record.journal import Journal

SAMPLING = Sampling(temperature=0.8, max_tokens=16)


class Real(NamedTuple):
    """A running engine and the loop it lives in."""

    engine: VLLMEngine
    loop: asyncio.Runner

    def sample(self, prefix: array[int], sampling: Sampling, seed: int, n: int) -> list[Completion]:
        async def main() -> list[Completion]:
            return list(await asyncio.gather(*self.engine.submit(prefix, sampling, seed, n)))

        return self.loop.run(main())


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """One engine for all tests; its prefills are cut into chunks of 64 tokens."""
    config = VLLMConfig(
        max_context=512,
        max_num_seqs=64,
        kv_cache_gib=1,
        options={"max_num_batched_tokens": 64},
    )
    log = tmp_path_factory.mktemp("vllm") / "engine.log"
    with asyncio.Runner() as loop:
        engine = VLLMEngine(config, log)
        loop.run(engine.start())
        yield Real(engine, loop)
        loop.run(engine.close())


def chat(real: Real, question: str = "What is 17 + 25?") -> array[int]:
    return real.engine.encode_chat([{"role": "user", "content": question}])


def idle(real: Real) -> bool:
    """Whether the engine holds nothing for any request: vLLM resets its prefix cache only then."""
    return bool(real.loop.run(real.engine._process.llm.reset_prefix_cache()))


@pytest.mark.vllm
@pytest.mark.alone
def test_it_is_an_engine_and_says_what_it_is(real: Real) -> None:
    assert isinstance(real.engine, Engine)
    assert real.engine.max_context == 512
    provenance = real.engine.provenance()
    assert provenance["dtype"] == "float32"
    assert provenance["fingerprint"] == real.engine.fingerprint
    shown = real.engine._process.tokenizer.decode(chat(real), special=True)
    assert "<|im_start|>user\nWhat is 17 + 25?" in shown


@pytest.mark.vllm
@pytest.mark.alone
def test_a_stream_is_the_same_alone_and_among_others(real: Real) -> None:
    together = real.sample(chat(real), SAMPLING, 1000, 8)
    for stream in (0, 3, 7):
        (alone,) = real.sample(chat(real), SAMPLING, 1000 + stream, 1)
        assert alone.token_ids == together[stream].token_ids
    assert len({completion.text for completion in together}) > 1


@pytest.mark.vllm
@pytest.mark.alone
def test_seeded_prompts_longer_than_a_prefill_chunk_are_sampled(real: Real) -> None:
    """Without the plug-in, this is what ends vLLM's engine on a CPU."""
    prompt = real.engine.encode("one two three four " * 60)
    assert len(prompt) > 64 * 2
    first = real.sample(prompt, SAMPLING, 5, 4)
    again = real.sample(prompt, SAMPLING, 5, 4)
    assert [c.token_ids for c in first] == [c.token_ids for c in again]
    assert all(completion.n_cached_tokens > 0 for completion in again)


@pytest.mark.vllm
@pytest.mark.alone
def test_each_token_has_its_raw_log_probability(real: Real) -> None:
    (cool,) = real.sample(chat(real), Sampling(temperature=0.0, max_tokens=8), 0, 1)
    assert len(cool.logprobs) == len(cool.token_ids) > 0
    assert all(-20 < value <= 0 and not math.isnan(value) for value in cool.logprobs)
    (warm,) = real.sample(chat(real), Sampling(temperature=1.9, max_tokens=8), 0, 1)
    assert sum(warm.logprobs) / len(warm.logprobs) < sum(cool.logprobs) / len(cool.logprobs)


@pytest.mark.vllm
@pytest.mark.alone
def test_stops_and_steps_end_where_they_should(real: Real) -> None:
    prompt = real.engine.encode("1, 2, 3, 4, 5,")
    greedy = Sampling(temperature=0.0, max_tokens=24)
    (plain,) = real.sample(prompt, greedy, 0, 1)
    assert plain.finish == "length" and len(plain.token_ids) == 24
    mark = plain.text[6:8]
    (step,) = real.sample(prompt, Sampling(temperature=0.0, max_tokens=24, step=(mark,)), 0, 1)
    assert step.finish == "step" and step.text.endswith(mark)
    assert list(step.token_ids) == list(plain.token_ids)[: len(step.token_ids)]
    (stop,) = real.sample(prompt, Sampling(temperature=0.0, max_tokens=24, stop=(mark,)), 0, 1)
    assert stop.finish == "stop" and mark not in stop.text
    (cut,) = real.sample(prompt, Sampling(temperature=0.0, max_tokens=24, step_tokens=5), 0, 1)
    assert cut.finish == "step" and list(cut.token_ids) == list(plain.token_ids)[:5]


@pytest.mark.vllm
@pytest.mark.alone
def test_an_aborted_stream_keeps_the_tokens_it_has(real: Real) -> None:
    async def main() -> tuple[list[Completion], Completion]:
        long = Sampling(temperature=0.8, max_tokens=300, ignore_eos=True)
        streams = real.engine.submit(chat(real), long, 77, 3)
        (short,) = real.engine.submit(chat(real), Sampling(max_tokens=10, ignore_eos=True), 0, 1)
        await short
        real.engine.abort(streams)
        return list(await asyncio.gather(*streams)), await short

    cut, short = real.loop.run(main())
    assert short.finish == "length"
    assert {completion.finish for completion in cut} == {"abort"}
    assert all(0 < len(completion.token_ids) < 300 for completion in cut)
    (whole,) = real.sample(
        chat(real), Sampling(temperature=0.8, max_tokens=300, ignore_eos=True), 77, 1
    )
    n = len(cut[0].token_ids)
    assert list(whole.token_ids)[:n] == list(cut[0].token_ids)
    assert real.engine.load().running == 0
    assert idle(real)


@pytest.mark.vllm
@pytest.mark.alone
def test_a_stream_may_be_aborted_as_soon_as_it_is_submitted(real: Real) -> None:
    async def main() -> list[Completion]:
        streams = real.engine.submit(chat(real), Sampling(max_tokens=300, ignore_eos=True), 5, 4)
        real.engine.abort(streams)
        return list(await asyncio.gather(*streams))

    for completion in real.loop.run(main()):
        assert completion.finish == "abort" and len(completion.token_ids) < 300
    assert idle(real)


@pytest.mark.vllm
@pytest.mark.alone
def test_a_race_through_the_context_charges_what_was_cut(real: Real, tmp_path: Path) -> None:
    async def main() -> list[Any]:

        from ttscale.trace import Path as Solution
        from ttscale.trace import Problem

        journal = Journal(tmp_path / "j")
        session = make_session(real.engine, journal)
        problem = Problem("p", "q", Solution(chat(real), "q"), make_problem().reference)
        ctx = Context(session, problem, "race", Sampling(temperature=0.8, max_tokens=60))
        paths = await ctx.race(problem.root, n=4, finish=1)
        totals = session.ledger.totals()["generate"]
        assert totals.n_generated_tokens == sum(path.n_generated for path in paths)
        journal.close()
        return paths

    finishes = [path.finish for path in real.loop.run(main())]
    assert {"stop", "length"} & set(finishes)


@pytest.mark.vllm
@pytest.mark.alone
def test_what_does_not_fit_is_refused(real: Real) -> None:
    with pytest.raises(ContextTooLong):
        real.engine.submit(array("i", [5] * 512), SAMPLING, 0, 1)
    with pytest.raises(InputError, match="attention"):
        real.engine.submit(chat(real), Sampling(attention="block_topk:48"), 0, 1)


def test_finish_reasons_are_told_apart() -> None:
    steps = Sampling(max_tokens=10, step=("\n\n",), stop=("END",), step_tokens=4)
    assert finish_of("stop", None, 3, steps) == "stop"
    assert finish_of("stop", "\n\n", 3, steps) == "step"
    assert finish_of("stop", "END", 3, steps) == "stop"
    assert finish_of("length", None, 4, steps) == "step"
    assert finish_of("length", None, 10, Sampling(max_tokens=10, step_tokens=10)) == "length"
    assert finish_of("abort", None, 3, steps) == "abort"


@pytest.mark.vllm
@pytest.mark.alone
def test_what_vllm_refuses_is_told_not_waited_for(real: Real) -> None:
    with pytest.raises(InputError, match="temperature"):
        real.sample(chat(real), Sampling(temperature=3.0, max_tokens=8), 0, 1)
    assert real.engine.load().running == 0


@pytest.mark.vllm
@pytest.mark.alone
def test_a_pattern_ends_a_step_at_the_token_that_completes_it(real: Real) -> None:
    prompt = real.engine.encode("1, 2, 3, 4, 5,")
    (plain,) = real.sample(prompt, Sampling(temperature=0.0, max_tokens=24), 0, 1)
    pattern = r"\d+, \d+,"
    by_pattern = Sampling(temperature=0.0, max_tokens=24, step_pattern=pattern)
    (step,) = real.sample(prompt, by_pattern, 0, 1)
    assert step.finish == "step"
    match = re.search(pattern, step.text)
    assert match is not None
    ids = list(step.token_ids)
    assert ids == list(plain.token_ids)[: len(ids)] and len(step.logprobs) == len(ids)
    assert re.search(pattern, real.engine.decode(ids[:-1])) is None
    never = Sampling(temperature=0.0, max_tokens=24, step_pattern="no such words")
    (whole,) = real.sample(prompt, never, 0, 1)
    assert whole.finish == "length" and whole.token_ids == plain.token_ids


@pytest.mark.vllm
@pytest.mark.alone
def test_confidences_and_watched_tokens_are_of_the_raw_model(real: Real) -> None:
    (plain,) = real.sample(chat(real), Sampling(temperature=0.0, max_tokens=6), 0, 1)
    (sure,) = real.sample(chat(real), Sampling(temperature=0.0, max_tokens=6, top_logprobs=5), 0, 1)
    assert sure.token_ids == plain.token_ids and len(sure.confidences) == len(sure.token_ids)
    # the likeliest token is the sampled one, and the mean over five is below it
    assert all(c > -own for c, own in zip(sure.confidences, sure.logprobs, strict=True))
    (one,) = real.sample(chat(real), Sampling(temperature=0.0, max_tokens=6, top_logprobs=1), 0, 1)
    assert list(one.confidences) == pytest.approx([-own for own in one.logprobs], abs=1e-5)
    watch = Sampling(temperature=0.0, max_tokens=1, watch=(plain.token_ids[0], 0))
    (asked,) = real.sample(chat(real), watch, 0, 1)
    assert asked.watched[0] == pytest.approx(plain.logprobs[0], abs=1e-4)
    assert asked.watched[1] < asked.watched[0]


@pytest.mark.vllm
@pytest.mark.alone
@pytest.mark.parametrize("n_watched", [2, 7])
def test_watched_tokens_leave_the_samples_beside_them_their_confidences(
    real: Real, n_watched: int
) -> None:
    sampling = Sampling(temperature=0.0, max_tokens=16, top_logprobs=5, ignore_eos=True)
    watch = Sampling(temperature=0.0, max_tokens=8, ignore_eos=True, watch=tuple(range(n_watched)))

    async def main() -> list[Completion]:
        sampled = real.engine.submit(chat(real), sampling, 0, 1)
        watched = real.engine.submit(chat(real), watch, 0, 2)
        return list(await asyncio.gather(*sampled, *watched))

    (alone,) = real.sample(chat(real), sampling, 0, 1)
    (asked,) = real.sample(chat(real), watch, 0, 1)
    beside, *both = real.loop.run(main())
    assert list(beside.confidences) == pytest.approx(list(alone.confidences), abs=1e-3)
    assert list(beside.logprobs) == pytest.approx(list(alone.logprobs), abs=1e-3)
    for one in both:
        assert list(one.watched) == pytest.approx(list(asked.watched), abs=1e-3)
        assert len(one.watched) == n_watched
