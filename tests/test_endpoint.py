"""An endpoint as an engine: exact ids, routing, retries, and what it refuses."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.endpoint_server import (
    Server,
    ids_of,
    reply,
    serving,
    text_of,
    thirty_percent,
    write_model,
)
from ttscale.engine.openai.config import OpenAIConfig
from ttscale.engine.openai.engine import OpenAIEngine
from ttscale.engine.openai.server import options
from ttscale.engine.protocol import Completion, ContextTooLong, Engine, EngineDied, Sampling
from ttscale.engine.vllm_process import fingerprint, weights_digest
from ttscale.errors import InputError

T = TypeVar("T")

PROMPT = "<user>1+2<reply>"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("tiny")))


def config(model: str, *servers: Server, **changes: Any) -> OpenAIConfig:
    requests = {"patience_seconds": 60, **changes.pop("requests", {})}
    fields = {"model": model, "served_name": "tiny", **changes}
    return OpenAIConfig(endpoint=tuple(s.url for s in servers), requests=requests, **fields)


def talk(settings: OpenAIConfig, what: Callable[[OpenAIEngine], Awaitable[T]]) -> T:
    """Something done with a started engine, which is closed thereafter."""

    async def main() -> T:
        engine = OpenAIEngine(settings)
        try:
            await engine.start()
            return await what(engine)
        finally:
            await engine.close()

    return asyncio.run(main())


async def streams(
    engine: OpenAIEngine, text: str = PROMPT, n: int = 1, **changes: Any
) -> list[Completion]:
    sampling = Sampling(**{"max_tokens": 300, **changes})
    return list(await asyncio.gather(*engine.submit(array("i", ids_of(text)), sampling, 7, n)))


def sample(settings: OpenAIConfig, n: int = 1, **changes: Any) -> list[Completion]:
    return talk(settings, lambda engine: streams(engine, n=n, **changes))


def test_what_comes_back_is_what_the_server_wrote(model: str) -> None:
    async def what(engine: OpenAIEngine) -> list[Completion]:
        assert isinstance(engine, Engine)
        assert engine.max_context == 2000 and engine.exact_tokens
        return await streams(engine, n=2)

    with serving(server := Server()):
        found = talk(config(model, server), what)
    for completion, seed in zip(found, (7, 8), strict=True):
        assert completion.text == reply(PROMPT, seed)
        assert text_of(list(completion.token_ids)) == completion.text + "</s>"
        assert completion.finish == "stop" and completion.n_cached_tokens == 3
        assert completion.logprobs[0] == pytest.approx(-0.1 * (1 + completion.token_ids[0] % 7))
        assert len(completion.logprobs) == len(completion.token_ids)
        assert (completion.n_attempts, completion.n_lost_tokens) == (1, 0)


def test_stops_steps_and_patterns_end_where_they_should(model: str) -> None:
    with serving(server := Server()):
        settings = config(model, server)
        (step,) = sample(settings, step=("\n\n",))
        (stop,) = sample(settings, stop=("\n\n",))
        (both,) = sample(settings, step=("\n\n",), stop=("=",))
        (limit,) = sample(settings, step_tokens=3)
        (pattern,) = sample(settings, step_pattern=r"\n\n")
        (long,) = sample(settings, max_tokens=4)
    whole = reply(PROMPT, 7)
    first = whole.partition("\n\n")[0]
    assert (step.finish, step.text) == ("step", first + "\n\n")
    assert (stop.finish, stop.text) == ("stop", first)
    assert (both.finish, both.text) == ("step", first + "\n\n")
    assert (limit.finish, limit.text) == ("step", whole[:3])
    assert (long.finish, long.text) == ("length", whole[:4])
    assert (pattern.finish, pattern.text) == ("step", first + "\n\n")
    assert list(pattern.token_ids) == list(step.token_ids)
    assert len(pattern.logprobs) == len(pattern.token_ids)


def test_watched_tokens_and_confidences(model: str) -> None:
    with serving(server := Server()):
        (watched,) = sample(config(model, server), max_tokens=1, watch=(5, 9))
        (sure,) = sample(config(model, server), top_logprobs=2)
    assert list(watched.watched) == [-5, -9]
    assert sure.confidences[0] == pytest.approx(0.5 - sure.logprobs[0])
    assert len(sure.confidences) == len(sure.token_ids)


def test_a_cut_stream_keeps_what_was_heard_and_the_server_stops(model: str) -> None:
    async def what(engine: OpenAIEngine) -> list[Completion]:
        sampling = Sampling(max_tokens=300)
        futures = engine.submit(array("i", ids_of(PROMPT)), sampling, 7, 2)
        none = engine.submit(array("i", ids_of(PROMPT)), sampling, 9, 1)
        engine.abort(none)
        while not all(
            stream.heard and stream.heard.n_tokens
            for stream in engine._streams.values()
            if stream.seed < 9
        ):
            await asyncio.sleep(0.01)
        engine.abort(futures)
        return list(await asyncio.gather(*futures, *none))

    with serving(server := Server(token_seconds=0.2)):
        settings = config(model, server, requests={"stream_interval": 4})
        *cut, never = talk(settings, what)
        deadline = time.monotonic() + 60
        while server.running and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.running == 0 and not server.whole
    for completion, seed in zip(cut, (7, 8), strict=True):
        assert completion.finish == "abort"
        assert reply(PROMPT, seed).startswith(completion.text) and completion.text
        assert len(completion.token_ids) == len(completion.text)
    assert (never.finish, len(never.token_ids)) == ("abort", 0)


@pytest.mark.slow
def test_faults_are_survived_and_counted(model: str) -> None:
    with serving(server := Server(fate=thirty_percent)):
        found = sample(config(model, server, requests={"silence_seconds": 4}), n=120)
    assert [one.text for one in found] == [reply(PROMPT, seed) for seed in range(7, 127)]
    assert sum(one.n_attempts for one in found) == sum(server.asked.values()) > 120
    assert set(server.whole.values()) == {1}, "what was answered whole is not asked for again"
    assert server.whole_tokens == sum(len(one.token_ids) for one in found)
    assert 0 < sum(one.n_lost_tokens for one in found) <= server.broken_tokens


def test_a_server_that_only_fails_ends_the_run_with_a_message(model: str) -> None:
    with serving(server := Server(fate=lambda *_: "500")):
        settings = config(model, server, requests={"attempts": 3})
        with pytest.raises(EngineDied, match=r"failed a request 3 times.*500.*out of luck"):
            sample(settings)


def test_a_server_killed_and_restarted_is_waited_for(model: str) -> None:
    server = Server(token_seconds=0.2)

    async def what(engine: OpenAIEngine) -> list[Completion]:
        task = asyncio.create_task(streams(engine, n=20))
        while not server.running:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(0.5)
        server.token_seconds = 0.0
        await asyncio.to_thread(server.start)
        return await task

    with serving(server):
        found = talk(config(model, server), what)
    assert [one.text for one in found] == [reply(PROMPT, seed) for seed in range(7, 27)]
    assert max(one.n_attempts for one in found) > 1
    assert server.whole_tokens == sum(len(one.token_ids) for one in found)


@pytest.mark.parametrize(
    ("change", "match"),
    [({"name": "other"}, "another model"), ({"seed_shift": 1}, "another tokenizer")],
)
def test_a_server_that_comes_back_as_another_is_not_asked(
    model: str, change: dict[str, Any], match: str
) -> None:
    server = Server(token_seconds=0.2)

    async def what(engine: OpenAIEngine) -> list[Completion]:
        task = asyncio.create_task(streams(engine, n=4))
        while not server.running:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(server.kill)
        for name, value in change.items():
            setattr(server, name, value)
        await asyncio.to_thread(server.start)
        return await task

    with serving(server), pytest.raises(InputError, match=match):
        talk(config(model, server), what)


def test_a_server_that_stays_away_ends_the_run_with_a_message(model: str) -> None:
    server = Server(token_seconds=0.2)

    async def what(engine: OpenAIEngine) -> list[Completion]:
        task = asyncio.create_task(streams(engine))
        while not server.running:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(server.kill)
        return await task

    server.start()
    with pytest.raises(EngineDied, match=r"no server of the endpoint has answered for 0\.5 s"):
        talk(config(model, server, requests={"patience_seconds": 0.5}), what)


def test_a_tree_stays_on_one_replica_and_moves_when_that_is_gone(model: str) -> None:
    first, second = servers = [Server(), Server()]
    prompts = [f"<user>{i}+{i}<reply>" for i in range(12)]

    async def what(engine: OpenAIEngine) -> None:
        for text in prompts:
            engine.encode_chat([{"role": "user", "content": text[6:-7]}])
        for depth in ("", "abc\n\n", "abc\n\nde\n\n"):
            await asyncio.gather(*(streams(engine, text + depth, 2) for text in prompts))
        homes = [{text.partition("<reply>")[0] for text, _ in s.asked} for s in servers]
        assert not homes[0] & homes[1], "all of a problem's tree is on one server"
        assert min(map(len, homes)) >= 4, "and both have work"
        before = second.asked.total()
        await asyncio.to_thread(first.kill)
        await asyncio.gather(*(streams(engine, text + "x", 1) for text in prompts))
        assert second.asked.total() == before + len(prompts)
        await asyncio.to_thread(first.start)

    with serving(*servers):
        talk(config(model, *servers), what)


def test_one_replica_is_enough_to_begin_with(model: str) -> None:
    away = Server()
    away.start()
    away.kill()
    with serving(server := Server()):
        (found,) = sample(config(model, away, server))
    assert found.text == reply(PROMPT, 7)


def test_replicas_of_different_models_are_refused(model: str) -> None:
    with (
        serving(one := Server(), other := Server(max_context=1000)),
        pytest.raises(InputError, match="context is shorter"),
    ):
        sample(config(model, one, other))


def test_requests_in_flight_follow_the_servers_queue(model: str) -> None:
    async def what(engine: OpenAIEngine) -> list[Completion]:
        task = asyncio.create_task(streams(engine, n=250))
        while server.asked.total() < 64:
            await asyncio.sleep(0.01)
        server.token_seconds = 0.004
        return await task

    # Slow until as many as are in flight to begin with have come, however long that takes.
    with serving(server := Server(slots=8, token_seconds=0.1)):
        found = talk(config(model, server), what)
    assert len({one.text for one in found}) > 230
    assert max(server.queue) >= 40, "64 requests are in flight to begin with"
    assert max(server.queue[150:190]) <= 16, "then a few above what the server runs"


@pytest.mark.parametrize(
    ("server", "changes", "match"),
    [
        ({"name": "other"}, {}, "serves another model.*\n.*\n.*other.*wanted tiny"),
        ({"seed_shift": 1}, {}, "another tokenizer"),
        ({"max_context": 100}, {"max_context": 200}, "context is shorter than asked"),
        ({"key": "secret"}, {}, "wants credentials"),
        ({"text_only": True}, {"tokens": "exact"}, "refused a request"),
        ({"shown_tokens": 3}, {}, "does not continue the prompt it is given"),
        ({"longest": 3}, {}, "ends responses sooner"),
        ({"logprobs": False}, {"top_logprobs": 2}, "does not give the log-probabilities"),
    ],
)
def test_what_a_server_should_be_and_is_not(
    model: str, server: dict[str, Any], changes: dict[str, Any], match: str
) -> None:
    with serving(running := Server(**server)), pytest.raises(InputError, match=match):
        asked = {key: changes.pop(key) for key in list(changes) if key == "top_logprobs"}
        sample(config(model, running, **changes), **asked)


def test_a_key_is_sent_and_never_shown(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(server := Server(key="secret")):
        settings = config(model, server, api_key_env="TINY_KEY")
        with pytest.raises(InputError, match="TINY_KEY"):
            sample(settings)
        monkeypatch.setenv("TINY_KEY", "wrong-one")
        with pytest.raises(InputError, match=r"does not accept(.|\n)*TINY_KEY") as caught:
            sample(settings)
        assert "wrong-one" not in str(caught.value)
        monkeypatch.setenv("TINY_KEY", "secret")
        (found,) = sample(settings)
    assert found.text == reply(PROMPT, 7)


@pytest.mark.parametrize(
    ("address", "match"),
    [
        ("localhost:8000", "a base address"),
        ("http://me:mine@host:8000", "holds no credentials"),
        (["http://host:1/v1", "http://host:1/"], "stands twice"),
    ],
)
def test_addresses_that_are_none(address: Any, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        OpenAIConfig(endpoint=address, model="tiny")
    assert "mine" not in str(caught.value)


def test_nobody_there_and_somebody_else(model: str) -> None:
    away = Server()
    away.start()
    away.kill()
    with pytest.raises(InputError, match="no server answers"):
        sample(config(model, away))
    with serving(server := Server()):
        settings = config(model, server)
        wrong = settings.model_copy(update={"endpoint": (f"{server.url}/elsewhere",)})
        with pytest.raises(InputError, match="no OpenAI-compatible server"):
            sample(wrong)


def test_what_does_not_fit_is_refused(model: str) -> None:
    async def what(engine: OpenAIEngine) -> None:
        with pytest.raises(ContextTooLong):
            engine.submit(array("i", [5] * 2000), Sampling(), 0, 1)
        with pytest.raises(InputError, match="attention"):
            engine.submit(array("i", [5]), Sampling(attention="block_topk:64"), 0, 1)

    with serving(server := Server()):
        talk(config(model, server), what)


def test_a_server_with_text_alone_is_made_the_best_of(model: str) -> None:
    async def what(engine: OpenAIEngine) -> list[Completion]:
        assert not engine.exact_tokens and engine.provenance()["tokens"] == "text"
        whole, step = await streams(engine), await streams(engine, step=("\n\n",))
        return [*whole, *step]

    with serving(server := Server(text_only=True)):
        whole, step = talk(config(model, server), what)
    assert whole.text == reply(PROMPT, 7) == text_of(list(whole.token_ids))
    assert len(whole.logprobs) == len(whole.token_ids)
    assert (step.finish, step.text) == ("step", whole.text.partition("\n\n")[0] + "\n\n")


def test_a_server_on_a_cpu_is_set_up_as_the_engine_is(model: str) -> None:
    found = options(["--port=1", "--model", model, "--dtype", "bfloat16"], on_gpu=False)
    told = dict(pairwise(found))
    assert (told["--model"], told["--served-model-name"]) == (model, model)
    assert (told["--dtype"], told["--block-size"]) == ("bfloat16", "32")
    assert {"--port=1", "--enforce-eager", "--enable-prompt-tokens-details"} <= set(found)
    assert found.count("--model") == found.count("--dtype") == 1
    on_gpu = options(["--model", model], on_gpu=True)
    assert "--enforce-eager" not in on_gpu and "--block-size" not in on_gpu


def test_keys_are_those_of_vllm_where_the_dtype_says_so(model: str) -> None:
    async def what(engine: OpenAIEngine) -> str:
        return engine.fingerprint

    with serving(server := Server(), text := Server(text_only=True)):
        stated = talk(config(model, server, dtype="float32"), what)
        assert stated == fingerprint(weights_digest(Path(model)), "float32", {})
        others = {
            talk(config(model, server), what),
            talk(config(model, server, dtype="bfloat16"), what),
            talk(config(model, text, dtype="float32"), what),
        }
    assert len(others | {stated}) == 4
