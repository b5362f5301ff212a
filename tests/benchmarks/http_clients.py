"""Processor time of a streamed request by the HTTP client: aiohttp, httpx, and the whole engine.

    python -m tests.benchmarks.http_clients

A scripted server in another process answers up to 200 tokens, 16 at a time. Processor time of
this process alone, so that what else the machine does matters little; medians of five turns.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import msgspec

from tests.endpoint_server import ids_of, write_model
from ttscale.engine.openai import wire
from ttscale.engine.openai.config import OpenAIConfig
from ttscale.engine.openai.engine import OpenAIEngine
from ttscale.engine.protocol import Sampling

N_REQUESTS, CONCURRENCY, N_TURNS = 500, 64, 5
PROMPT = "<user>1+2<reply>" + "x" * 200
SAMPLING = Sampling(max_tokens=200)

SERVE = """
import time
from tests.endpoint_server import Server
server = Server()
server.start()
print(server.port, flush=True)
time.sleep(600)
"""


def body(seed: int) -> bytes:
    fields = wire.body("tiny", ids_of(PROMPT), SAMPLING, seed, logprobs=True, stream_interval=16)
    return msgspec.json.encode(fields)


async def by_aiohttp(url: str) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENCY)) as http:

        async def one(seed: int) -> None:
            async with http.post(f"{url}/v1/completions", data=body(seed)) as response:
                async for data in response.content.iter_any():
                    assert data

        await asyncio.gather(*(one(seed) for seed in range(N_REQUESTS)))


async def by_httpx(url: str) -> None:
    limits = httpx.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY)
    async with httpx.AsyncClient(limits=limits, timeout=60) as http:

        async def one(seed: int) -> None:
            address = f"{url}/v1/completions"
            async with http.stream("POST", address, content=body(seed)) as response:
                async for data in response.aiter_raw():
                    assert data

        await asyncio.gather(*(one(seed) for seed in range(N_REQUESTS)))


async def by_engine(engine: OpenAIEngine) -> None:
    prompt = array("i", ids_of(PROMPT))
    await asyncio.gather(*engine.submit(prompt, SAMPLING, 0, N_REQUESTS))


async def measure(url: str, model: str) -> dict[str, Any]:
    requests = {"in_flight": CONCURRENCY}
    config = OpenAIConfig(endpoint=(url,), model=model, served_name="tiny", requests=requests)
    engine = OpenAIEngine(config)
    await engine.start()
    clients = {
        "aiohttp": lambda: by_aiohttp(url),
        "httpx": lambda: by_httpx(url),
        "engine": lambda: by_engine(engine),
    }
    found: dict[str, list[float]] = {name: [] for name in clients}
    for _ in range(N_TURNS):
        for name, client in clients.items():
            started = time.process_time()
            await client()
            found[name].append(1000 * (time.process_time() - started) / N_REQUESTS)
    await engine.close()
    return {
        "cpu_ms_per_request": {name: round(statistics.median(x), 3) for name, x in found.items()},
        "runs": {name: [round(one, 3) for one in x] for name, x in found.items()},
    }


def main() -> None:
    """Measure and print one JSON object."""
    with tempfile.TemporaryDirectory() as folder:
        model = str(write_model(Path(folder)))
        server = subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None, "its port is read from there"
        try:
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            print(json.dumps(asyncio.run(measure(url, model))))
        finally:
            server.kill()


if __name__ == "__main__":
    main()
