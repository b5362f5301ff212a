"""A server under many streaming clients for a long time: errors, leaks, requests that stay behind.

    python -m tests.benchmarks.serve_soak --minutes 10

The server is a process of its own on the simulated engine with latency, so that what is measured is
the server and not the model; its numbers are simulated ones. Clients are the real `openai` client.
Every fifth request is left in the middle, which must cancel what the engine was asked for. Memory
is the server's, read from /proc; a line is fitted to it after a warm-up of a fifth of the time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path as FilePath
from typing import Any

import httpx
import numpy as np
import yaml
from openai import AsyncOpenAI

CONFIG: dict[str, Any] = {
    "name": "soak",
    "model": {
        "engine": "simulated",
        "max_num_seqs": 1024,
        "cache_tokens": 1 << 16,
        "timing": {"time_scale": 1.0, "stream_seconds": 0.0},
    },
    "models": {"prm": {"engine": "simulated_reward"}},
    "benchmark": {"simulated": {}, "size": 1},
    "sampling": {"max_tokens": 400},
    "strategies": [
        {"name": "majority_vote", "label": "vote", "n": 8},
        {"name": "best_of_n", "label": "best", "n": 4, "verifier": "prm"},
        {"name": "beam_search", "label": "beam", "n": 4, "width": 2, "verifier": "prm"},
        {"name": "single", "label": "single"},
    ],
}
MODELS = [entry["label"] for entry in CONFIG["strategies"]]
N_PROBLEMS = 50
LEAVES_EVERY = 5


@dataclass
class Tally:
    """What the clients saw, and the server's memory over time."""

    ended: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    completion_tokens: int = 0
    memory: list[tuple[float, int]] = field(default_factory=list)


async def client(url: str, number: int, stop: float, tally: Tally) -> None:
    """Ask, one request after another and at least twice, and leave some of them in the middle."""
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as openai:
        for turn in count():
            if turn >= 2 and time.monotonic() >= stop:
                return
            place = number * 7 + turn
            leaves = place % LEAVES_EVERY == 0
            try:
                stream = await openai.chat.completions.create(
                    model=MODELS[place % len(MODELS)],
                    messages=[{"role": "user", "content": _question(place % N_PROBLEMS)}],
                    stream=True,
                    stream_options={"include_usage": True},
                )
                await _follow(stream, tally, leaves=leaves)
            except Exception as error:  # counted and shown: the soak is to have none
                tally.errors.append(f"{type(error).__name__}: {error}"[:300])
                await asyncio.sleep(1)


async def _follow(stream: Any, tally: Tally, *, leaves: bool) -> None:
    text, usage = "", None
    async with stream:
        async for chunk in stream:
            if leaves:
                await asyncio.sleep(0.3)
                tally.ended["left"] += 1
                return
            usage = chunk.usage or usage
            for choice in chunk.choices:
                text += choice.delta.content or ""
    assert "Step 1" in text and usage is not None, "a stream brings an answer and its usage"
    tally.ended["answered"] += 1
    tally.completion_tokens += usage.completion_tokens


def _question(problem: int) -> str:
    return f"[simulated problem {problem}: p=0.{problem + 10} answer=42] What is the answer?"


async def watch(pid: int, stop: float, tally: Tally, interval: float) -> None:
    """The server's resident memory, in bytes, now and then."""
    began = time.monotonic()
    while time.monotonic() < stop:
        pages = int(FilePath(f"/proc/{pid}/statm").read_text().split()[1])
        tally.memory.append((time.monotonic() - began, pages * os.sysconf("SC_PAGE_SIZE")))
        await asyncio.sleep(interval)


async def metrics(url: str) -> dict[str, float]:
    """The server's metrics by name and labels."""
    async with httpx.AsyncClient(timeout=60) as http:
        text = (await http.get(f"{url}/metrics")).text
    rows = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in rows}


def total(found: dict[str, float], name: str, mark: str = "") -> float:
    """The sum of a metric over the labels that hold a mark."""
    return sum(
        value
        for key, value in found.items()
        if key.partition("{")[0] == name and mark in key.partition("{")[2]
    )


def growth(memory: list[tuple[float, int]], warm_up: float) -> tuple[float, float] | None:
    """KiB a minute by a line through what follows the warm-up, and the span between extremes.

    None where fewer than three readings follow it.
    """
    rows = np.array([row for row in memory if row[0] >= warm_up])
    if len(rows) < 3:
        return None
    slope = np.polyfit(rows[:, 0] / 60, rows[:, 1] / 1024, 1)[0]
    return float(slope), float(np.ptp(rows[:, 1]) / 1024)


async def soak(url: str, pid: int, minutes: float, n_clients: int) -> dict[str, Any]:
    """Run the clients, and say what came of it."""
    tally = Tally()
    seconds = 60 * minutes
    began = time.monotonic()
    stop = began + seconds
    await asyncio.gather(
        watch(pid, stop, tally, max(seconds / 120, 0.25)),
        *(client(url, number, stop, tally) for number in range(n_clients)),
    )
    for _ in range(60):  # a busy server hears late that a client has left
        await asyncio.sleep(1)
        if not (await metrics(url))["ttscale_requests_running"]:
            break
    after = await metrics(url)
    grown = growth(tally.memory, seconds / 5)
    counted = total(after, "ttscale_requests_total", 'outcome="answered"')
    counted += total(after, "ttscale_requests_total", 'outcome="no answer"')
    return {
        "simulated": True,
        "minutes": minutes,
        "clients": n_clients,
        **tally.ended,
        "errors": len(tally.errors),
        "first_errors": tally.errors[:3],
        "answered_by_the_servers_count": int(counted),
        "cancelled_by_the_servers_count": int(
            total(after, "ttscale_requests_total", 'outcome="cancelled"')
        ),
        "completion_tokens_by_the_clients": tally.completion_tokens,
        "generated_tokens_by_the_servers_count": int(
            total(after, "ttscale_tokens_total", 'kind="generated"')
        ),
        "requests_left_behind": int(after["ttscale_requests_running"]),
        "streams_left_behind": int(after["ttscale_engine_streams_running"]),
        "open_files_after": int(after["process_open_fds"]),
        "seconds": round(time.monotonic() - began),
        "server_cpu_seconds": round(after["process_cpu_seconds_total"], 1),
        "memory_mib_first_last": [
            round(tally.memory[0][1] / 2**20, 1),
            round(tally.memory[-1][1] / 2**20, 1),
        ],
        "memory_mib_by_time": [round(size / 2**20, 1) for _, size in tally.memory[::6]],
        "memory_growth_kib_per_minute_after_warm_up": grown and round(grown[0], 1),
        "memory_span_kib_after_warm_up": grown and round(grown[1]),
    }


def measure(minutes: float, n_clients: int, round_seconds: float) -> dict[str, Any]:
    """Start a server, soak it, and end it while nobody asks anything."""
    with tempfile.TemporaryDirectory() as name:
        config = FilePath(name) / "soak.yaml"
        config.write_text(yaml.safe_dump(CONFIG))
        pace = f"model.timing.round_seconds={round_seconds}"
        log = FilePath(name) / "server.log"
        with log.open("w") as said:
            server = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "ttscale.cli",
                    "serve",
                    str(config),
                    "--port",
                    "0",
                    "--set",
                    pace,
                ],
                stderr=said,
            )
        try:
            while not (found := re.search(r"http://[\w.:]+", log.read_text())):
                assert server.poll() is None, log.read_text()
                time.sleep(0.1)
            n_lines = len(log.read_text().splitlines())
            result = asyncio.run(soak(found[0], server.pid, minutes, n_clients))
            server.send_signal(signal.SIGTERM)
            result["exit_status"] = server.wait(timeout=60)
            result["server_said"] = log.read_text().splitlines()[n_lines:]
        finally:
            server.kill()
            server.wait()
    return result


def main() -> None:
    """Measure and print one JSON object; fail if anything but flat silence was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--round-seconds", type=float, default=0.03, help="for each token")
    arguments = parser.parse_args()
    result = measure(arguments.minutes, arguments.clients, arguments.round_seconds)
    print(json.dumps(result, indent=2))
    if result["errors"] or result["requests_left_behind"] or result["streams_left_behind"]:
        sys.exit("the server did not come through")


if __name__ == "__main__":
    main()
