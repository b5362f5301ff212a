"""An endpoint as an engine: exact ids, routing, retries, limits, and what it refuses."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from tests.endpoint_server import (
    Server,
    ids_of,
    reply,
    serving,
    text_of,
    write_model,
)
from ttscale.engine.openai.config import OpenAIConfig
from ttscale.engine.openai.engine import OpenAIEngine
from ttscale.engine.protocol import Completion, Engine, Sampling

T = TypeVar("T")

SAMPLING = Sampling(max_tokens=300)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("tiny")))


def config(model: str, *servers: Server, **changes: Any) -> OpenAIConfig:
    requests = {"silence_seconds": 0.5, "patience_seconds": 5, **changes.pop("requests", {})}
    return OpenAIConfig(
        endpoint=tuple(server.url for server in servers),
        model=model,
        served_name=changes.pop("served_name", "tiny"),
        requests=requests,
        **changes,
    )


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


def sample(
    settings: OpenAIConfig, text: str = "<user>1+2<reply>", n: int = 1, **changes: Any
) -> list[Completion]:
    async def what(engine: OpenAIEngine) -> list[Completion]:
        sampling = Sampling(**{"max_tokens": 300, **changes})
        prefix = array("i", ids_of(text))
        return list(await asyncio.gather(*engine.submit(prefix, sampling, 7, n)))

    return talk(settings, what)


def test_what_comes_back_is_what_the_server_wrote(model: str) -> None:
    with serving(server := Server()):
        one, two = sample(config(model, server), n=2)
        assert isinstance(OpenAIEngine(config(model, server)), Engine)
    for completion, seed in ((one, 7), (two, 8)):
        assert completion.text == reply("<user>1+2<reply>", seed)
        assert text_of(list(completion.token_ids)) == completion.text + "</s>"
        assert completion.finish == "stop" and completion.n_cached_tokens == 3
        assert completion.logprobs[0] == pytest.approx(-0.1 * (1 + completion.token_ids[0] % 7))
        assert len(completion.logprobs) == len(completion.token_ids)
        assert (completion.n_attempts, completion.n_lost_tokens) == (1, 0)
