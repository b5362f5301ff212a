"""A server with a tiny model of its own, and with the faults a test wants of it.

The model writes one token a character: up to two steps of noise and an answer that is right about
half the time, all of it a function of the prompt and the seed. It answers as vLLM does, in a thread
of its own, and keeps books of what it sent.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from aiohttp import web

from ttscale.engine.openai.identity import PROBE

CHARACTERS = ["</s>", "<user>", "<reply>", *map(chr, range(32, 127)), "\n", "\t", "²"]
IDS = {character: i for i, character in enumerate(CHARACTERS)}
END = IDS["</s>"]
TEMPLATE = "{% for m in messages %}<user>{{ m['content'] }}{% endfor %}<reply>"

Fate = Callable[[str, int, int], str]
"""What becomes of a request, by prompt, seed and how often it was asked: `ok` or a fault."""


def write_model(folder: Path) -> Path:
    """A model folder with the tokenizer; the weights are a name."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    own = Tokenizer(models.BPE(vocab=IDS, merges=[]))
    own.decoder = decoders.Fuse()
    own.add_special_tokens(CHARACTERS[:3])
    fast = PreTrainedTokenizerFast(tokenizer_object=own, eos_token="</s>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(b"tiny")
    return folder


def text_of(ids: list[int]) -> str:
    return "".join(CHARACTERS[i] for i in ids)


def ids_of(text: str) -> list[int]:
    return [IDS[part] for part in re.findall(r"</s>|<user>|<reply>|.", text, re.DOTALL)]


def reply(prompt: str, seed: int) -> str:
    """What the model goes on with; it ends by itself."""
    chance = random.Random(blake2b(f"{prompt}\0{seed}".encode()).digest())
    response = prompt.rpartition("<reply>")[2]
    sums = re.findall(r"(\d+)\+(\d+)", prompt.rpartition("<reply>")[0])
    right = sum(map(int, sums[-1])) if sums else 0
    steps = [
        "".join(chance.choices("abcdefgh ", k=chance.randrange(4, 30))) + "\n\n"
        for _ in range(max(0, 2 - response.count("\n\n")))
    ]
    return "".join(steps) + f"= {right + chance.randrange(2)}"


def score(ids: list[int]) -> float:
    """What the reward model says of a prefix."""
    return sum(ids) % 101 / 100


def always_ok(prompt: str, seed: int, attempt: int) -> str:
    return "ok"


def thirty_percent(prompt: str, seed: int, attempt: int) -> str:
    """Three of ten requests fail, each in its way."""
    chance = random.Random(blake2b(f"{prompt}\0{seed}\0{attempt}".encode()).digest())
    kinds = ["500", "429", "cut", "never"]
    return chance.choice(kinds) if chance.random() < 0.3 else "ok"


@dataclass
class Server:
    """One server. Fields may be changed while it runs.

    Its port is bound from the beginning by a socket that never listens, so that nobody else can
    have it while the server is away.
    """

    fate: Fate = always_ok
    name: str = "tiny"
    root: str | None = None
    max_context: int = 2000
    key: str | None = None
    text_only: bool = False
    pools: bool = False
    logprobs: bool = True
    shown_tokens: int = 10_000
    longest: int = 10_000
    slots: int | None = None
    token_seconds: float = 0.0
    version: str = "0.0-test"
    seed_shift: int = 0
    asked: Counter[tuple[str, int]] = field(default_factory=Counter)
    whole: Counter[tuple[str, int]] = field(default_factory=Counter)
    whole_tokens: int = 0
    broken_tokens: int = 0
    running: int = 0
    queue: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind(("127.0.0.1", 0))
        self.port = self._place.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen."""
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(60), "the server listens"

    def _serve(self, ready: threading.Event) -> None:
        asyncio.run(self._main(ready))

    async def _main(self, ready: threading.Event) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self._room = asyncio.Semaphore(self.slots or 100_000)
        self._waiting = 0
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/version", self._version)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_post("/v1/completions", self._complete)
        app.router.add_post("/pooling", self._pool)
        runner = web.AppRunner(app, shutdown_timeout=0.0, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        ready.set()
        await self._end.wait()
        for connection in list(runner.server.connections if runner.server else ()):
            if connection.transport is not None:
                connection.transport.abort()
        await runner.cleanup()

    def kill(self) -> None:
        """Break all connections and stop listening."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _allowed(self, request: web.Request) -> None:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            raise web.HTTPUnauthorized(text=f"no, {request.headers.get('Authorization')}")

    async def _models(self, request: web.Request) -> web.Response:
        self._allowed(request)
        card = {"id": self.name, "root": self.root, "max_model_len": self.max_context}
        return web.json_response({"data": [card]})

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": self.version})

    async def _metrics(self, request: web.Request) -> web.Response:
        if self.slots is None:
            raise web.HTTPNotFound
        return web.Response(
            text=f'vllm:num_requests_running{{engine="0"}} {self.running}.0\n'
            f'vllm:num_requests_waiting{{engine="0"}} {self._waiting}.0\n'
        )

    async def _tokenize(self, request: web.Request) -> web.Response:
        fields = await request.json()
        shift = self.seed_shift
        return web.json_response({"tokens": [i + shift for i in ids_of(fields["prompt"])]})

    async def _pool(self, request: web.Request) -> web.Response:
        self._allowed(request)
        fields = await request.json()
        ids = fields["input"]
        if not self.pools:
            raise web.HTTPNotFound
        if len(ids) > len(PROBE):
            text = text_of(ids)
            self.asked[text, 0] += 1
            if self.fate(text, 0, self.asked[text, 0]) != "ok":
                raise web.HTTPInternalServerError(text="out of luck")
            self.whole[text, 0] += 1
        rows = [[0.0, score(ids[: i + 1])] for i in range(len(ids))][: self.shown_tokens]
        return web.json_response({"data": [{"index": 0, "data": rows}]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self._allowed(request)
        fields = await request.json()
        ids = fields["prompt"]
        if isinstance(ids, str):
            ids = ids_of(ids)
        elif self.text_only:
            raise web.HTTPBadRequest(text="prompt must be a string")
        if not fields.get("stream"):
            chunk = self._chunk(fields, ids, reply("", 0)[:1], [IDS["a"]], "length", None)
            return web.json_response(chunk)
        prompt, seed = text_of(ids), fields["seed"]
        self.asked[prompt, seed] += 1
        fate = self.fate(prompt, seed, self.asked[prompt, seed])
        if fate == "500":
            raise web.HTTPInternalServerError(text="out of luck")
        if fate == "429":
            raise web.HTTPTooManyRequests(text="too fast", headers={"Retry-After": "0.05"})
        if fate == "never":
            await asyncio.sleep(60)
        self._waiting += 1
        async with self._room:
            self._waiting -= 1
            self.running += 1
            self.queue.append(self._waiting)
            try:
                return await self._stream(request, fields, ids, seed, fate)
            finally:
                self.running -= 1

    async def _stream(
        self, request: web.Request, fields: dict[str, Any], ids: list[int], seed: int, fate: str
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        chunks = list(self._chunks(fields, ids, seed))
        n_sent = 0
        try:
            for place, (chunk, n_tokens) in enumerate(chunks):
                if fate == "cut" and place == len(chunks) // 2:
                    await asyncio.sleep(0.01)
                    assert request.transport is not None
                    request.transport.close()
                    self.broken_tokens += n_sent
                    return response
                await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
                n_sent += n_tokens
                if self.token_seconds:
                    await asyncio.sleep(n_tokens * self.token_seconds)
            await response.write(b"data: [DONE]\n\n")
        except (ConnectionError, asyncio.CancelledError):
            self.broken_tokens += n_sent
            raise
        self.whole[text_of(ids), seed] += 1
        self.whole_tokens += n_sent
        return response

    def _chunks(
        self, fields: dict[str, Any], prompt: list[int], seed: int
    ) -> Iterator[tuple[dict[str, Any], int]]:
        """Events, and how many tokens each brings."""
        text = reply(text_of(prompt), seed + self.seed_shift)
        finish, stop_reason, end = "stop", None, [END]
        for mark in fields.get("stop", ()):
            if mark in text:
                text = text[: text.index(mark) + len(mark)]
                stop_reason, end = mark, []
        tokens = ids_of(text) + end
        limit = min(fields["max_tokens"], self.longest)
        if len(tokens) > limit:
            tokens, finish, stop_reason = tokens[:limit], "length", None
        if stop_reason and not fields.get("include_stop_str_in_output"):
            text = text.removesuffix(stop_reason)
        text = text[: len(tokens)]
        interval = fields.get("stream_interval", 1)
        for start in range(0, len(tokens), interval):
            part = tokens[start : start + interval]
            last = start + interval >= len(tokens)
            piece = text[start : start + interval]
            yield (
                self._chunk(
                    fields,
                    prompt if start == 0 else None,
                    piece,
                    part,
                    finish if last else None,
                    stop_reason if last else None,
                ),
                len(part),
            )
        usage = {"prompt_tokens": len(prompt), "completion_tokens": len(tokens)}
        yield {"choices": [], "usage": {**usage, "prompt_tokens_details": {"cached_tokens": 3}}}, 0

    def _chunk(
        self,
        fields: dict[str, Any],
        prompt: list[int] | None,
        text: str,
        ids: list[int],
        finish: str | None,
        stop_reason: str | None,
    ) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "text": text, "finish_reason": finish}
        choice["stop_reason"] = stop_reason
        if fields.get("return_token_ids") and not self.text_only:
            choice["token_ids"] = ids
            choice["prompt_token_ids"] = prompt[-self.shown_tokens :] if prompt else None
        if fields.get("logprobs") is not None and self.logprobs:
            own = [-0.1 * (1 + i % 7) for i in ids]
            top = [
                {f"token_id:{i}": lp, "token_id:1": lp - 1} for i, lp in zip(ids, own, strict=True)
            ]
            for token in fields.get("logprob_token_ids", ()):
                top[0][f"token_id:{token}"] = -float(token)
            choice["logprobs"] = {"token_logprobs": own, "top_logprobs": top}
        return {"choices": [choice]}


@contextmanager
def serving(*servers: Server) -> Iterator[None]:
    """Servers that run while the block does."""
    for server in servers:
        server.start()
    try:
        yield
    finally:
        for server in servers:
            server.kill()
