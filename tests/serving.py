"""A server in the test's own event loop, on a free port of this machine."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path as FilePath
from typing import Any, NamedTuple

import httpx
import yaml
from openai import AsyncOpenAI

from tests.contract.playing import Silent
from ttscale.engine.simulated import SimulatedEngine
from ttscale.run.config import Experiment, load
from ttscale.serve.server import Server, Settings, open_service
from ttscale.serve.service import Service

QUESTION = "[simulated problem 0: p=0.3 answer=526] What is the answer?"
ASK: list[Any] = [{"role": "user", "content": QUESTION}]

CONFIG: dict[str, Any] = {
    "name": "served",
    "model": {"engine": "simulated"},
    "benchmark": {"simulated": {}, "size": 2},
    "sampling": {"max_tokens": 600},
    "strategies": [
        "single",
        {"name": "majority_vote", "label": "vote", "n": 8},
        {"name": "best_of_n", "label": "best", "n": 4, "verifier": "judge"},
    ],
}

SLOW: dict[str, Any] = {
    "engine": "simulated",
    "timing": {"time_scale": 1.0, "round_seconds": 0.05},
}
"""A model that takes some 10 s for a response."""


class Served(NamedTuple):
    """A server that listens, and clients of it."""

    service: Service
    engine: SimulatedEngine
    url: str
    client: AsyncOpenAI
    http: httpx.AsyncClient
    said: list[str]

    async def post(self, **fields: Any) -> httpx.Response:
        """A chat request with fields of any kind."""
        return await self.http.post(f"{self.url}/v1/chat/completions", json=fields)

    async def metric(self, name: str, **labels: str) -> float:
        """The value of a metric; 0 if it has none yet."""
        text = (await self.http.get(f"{self.url}/metrics")).text
        marks = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        wanted = f"{name}{{{marks}}} " if labels else f"{name} "
        found = [line for line in text.splitlines() if line.startswith(wanted)]
        return float(found[0].split()[-1]) if found else 0.0


class Heard(Silent):
    """A display that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        """Remember."""
        self.said.append(text)


def write(folder: FilePath, changes: Mapping[str, Any]) -> FilePath:
    """The configuration with changes, as a file."""
    path = folder / "served.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **changes}))
    return path


@asynccontextmanager
async def serving(
    experiment: Experiment, settings: Settings | None = None
) -> AsyncIterator[Served]:
    """The server, from the port to the drained end."""
    settings = settings or Settings()
    display = Heard()
    async with AsyncExitStack() as stack:
        service = await open_service(stack, experiment, settings, display)
        server = Server(service, settings, display.say)
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        running = asyncio.create_task(server.run(listener))
        while not server.started:
            await asyncio.sleep(0.01)
        key = settings.api_key or "none"
        client = AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        try:
            async with client, httpx.AsyncClient(timeout=120) as http:
                engine = service.policy
                assert isinstance(engine, SimulatedEngine)
                yield Served(service, engine, url, client, http, display.said)
        finally:
            server.should_exit = True
            await running


def serve(
    folder: FilePath,
    test: Callable[[Served], Coroutine[Any, Any, None]],
    settings: Settings | None = None,
    **changes: Any,
) -> None:
    """Run a test against a server of the configuration with changes."""

    async def main() -> None:
        async with serving(load(write(folder, changes)), settings) as served:
            await test(served)

    asyncio.run(main())


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something that is to come soon."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
