"""Laws that every engine obeys, wherever its tokens come from."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol, TypeVar

import pytest

from tests.endpoint_server import Server, serving, write_model
from ttscale.engine.openai.config import OpenAIConfig
from ttscale.engine.openai.engine import OpenAIEngine
from ttscale.engine.protocol import Completion, ContextTooLong, Engine, Sampling
from ttscale.engine.simulated import SimulatedConfig, SimulatedEngine, simulated_items

T = TypeVar("T")

What = Callable[[Engine, "array[int]"], Awaitable[T]]


class Play(Protocol):
    """Does something with a started engine and a prompt, and closes the engine, twice."""

    def __call__(self, what: What[T]) -> T: ...


@pytest.fixture(scope="module", params=["simulated", "endpoint", "two replicas", "text"])
def play(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Play]:
    servers = [Server(token_seconds=0.001, text_only=request.param == "text")]
    if request.param == "two replicas":
        servers.append(Server(token_seconds=0.001))
    model = str(write_model(tmp_path_factory.mktemp("tiny")))

    def make() -> tuple[Engine, str]:
        if request.param == "simulated":
            engine = SimulatedEngine(SimulatedConfig())
            return engine, simulated_items(1)[0].question
        urls = tuple(server.url for server in servers)
        return OpenAIEngine(OpenAIConfig(endpoint=urls, model=model, served_name="tiny")), "1+2="

    def play(what: What[T]) -> T:
        async def main() -> T:
            engine, question = make()
            await engine.start()
            try:
                return await what(engine, engine.encode(question))
            finally:
                await engine.close()
                await engine.close()

        return asyncio.run(main())

    with serving(*servers):
        yield play


def sample(
    play: Play, sampling: Sampling, seed: int = 3, n: int = 1, *, apart: bool = False
) -> list[Completion]:
    async def what(engine: Engine, prompt: array[int]) -> list[Completion]:
        groups = [(seed + i, 1) for i in range(n)] if apart else [(seed, n)]
        futures = [f for first, k in groups for f in engine.submit(prompt, sampling, first, k)]
        found = list(await asyncio.gather(*futures))
        assert engine.load().running == engine.load().waiting == 0
        return found

    return play(what)


def ids(completions: list[Completion]) -> list[list[int]]:
    return [list(completion.token_ids) for completion in completions]


def test_streams_are_the_same_however_they_are_asked_for(play: Play) -> None:
    sampling = Sampling(max_tokens=400)
    together = sample(play, sampling, n=4)
    assert ids(together) == ids(sample(play, sampling, n=4, apart=True))
    assert ids(together)[2:] == ids(sample(play, sampling, seed=5, n=2))
    assert len({tuple(one) for one in ids(together)}) > 1, "seeds matter"


def test_what_is_written_is_the_text_of_its_tokens(play: Play) -> None:
    async def what(engine: Engine, prompt: array[int]) -> None:
        (whole,) = await asyncio.gather(*engine.submit(prompt, Sampling(max_tokens=400), 3, 1))
        assert engine.decode(whole.token_ids) == whole.text
        assert whole.finish == "stop" and whole.seconds >= 0 and whole.started >= 0
        assert len(whole.logprobs) == len(whole.token_ids)
        assert (whole.n_attempts, whole.n_lost_tokens) == (1, 0)

    play(what)


def test_limits_hold(play: Play) -> None:
    (whole,) = sample(play, Sampling(max_tokens=400))
    (short,) = sample(play, Sampling(max_tokens=5))
    assert (short.finish, ids([short])) == ("length", [ids([whole])[0][:5]])
    (step,) = sample(play, Sampling(max_tokens=400, step_tokens=5))
    assert (step.finish, ids([step])) == ("step", ids([short]))


def test_a_step_ends_with_its_delimiter_and_a_stop_without(play: Play) -> None:
    (whole,) = sample(play, Sampling(max_tokens=400))
    first = whole.text.partition("\n\n")[0]
    (step,) = sample(play, Sampling(max_tokens=400, step=("\n\n",)))
    assert (step.finish, step.text) == ("step", first + "\n\n")
    assert ids([step])[0] == ids([whole])[0][: len(step.token_ids)]


def test_what_goes_on_from_a_step_is_a_sample_of_its_own(play: Play) -> None:
    async def what(engine: Engine, prompt: array[int]) -> list[Completion]:
        sampling = Sampling(max_tokens=400, step=("\n\n",))
        (step,) = await asyncio.gather(*engine.submit(prompt, sampling, 3, 1))
        going_on = engine.submit(prompt + step.token_ids, Sampling(max_tokens=400), 4, 2)
        return list(await asyncio.gather(*going_on))

    found = play(what)
    assert {completion.finish for completion in found} == {"stop"}
    assert ids(found) == ids(play(what))


def test_a_cut_stream_keeps_a_beginning_of_what_it_would_have_been(play: Play) -> None:
    async def what(engine: Engine, prompt: array[int]) -> list[Completion]:
        sampling = Sampling(max_tokens=400)
        futures = engine.submit(prompt, sampling, 3, 3)
        engine.abort(futures)
        engine.abort(futures)
        return list(await asyncio.gather(*futures))

    whole = ids(sample(play, Sampling(max_tokens=400), n=3))
    for cut, full in zip(play(what), whole, strict=True):
        assert cut.finish == "abort" and ids([cut])[0] == full[: len(cut.token_ids)]


def test_what_does_not_fit_is_refused_at_once(play: Play) -> None:
    async def what(engine: Engine, prompt: array[int]) -> None:
        with pytest.raises(ContextTooLong):
            engine.submit(array("i", [5] * engine.max_context), Sampling(), 0, 1)

    play(what)


def test_it_says_what_it_is(play: Play) -> None:
    async def what(engine: Engine, prompt: array[int]) -> tuple[str, str]:
        assert isinstance(engine, Engine)
        assert engine.provenance()["engine"] in {"simulated", "openai"}
        return engine.fingerprint, engine.model

    assert play(what) == play(what), "the same for the same model"
