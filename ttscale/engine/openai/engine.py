"""Sampling at an OpenAI-compatible endpoint: one server, or replicas behind one name.

Every stream is one streamed request. What fails for a passing reason is asked again with the same
seed, and what the failure cost stands in the completion; what has been heard of a cut stream is
kept.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from array import array
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath

from ttscale.engine.openai import wire
from ttscale.engine.openai.config import OpenAIConfig
from ttscale.engine.openai.connection import Connection
from ttscale.engine.openai.faults import Fault, pause_seconds
from ttscale.engine.openai.identity import (
    Local,
    Statement,
    check_same,
    load_local,
    make_fingerprint,
)
from ttscale.engine.openai.replica import Replica
from ttscale.engine.openai.routing import Routes
from ttscale.engine.protocol import Completion, ContextTooLong, EngineDied, Load, Sampling
from ttscale.errors import InputError


@dataclass(slots=True)
class _Stream:
    """A stream under way: what was asked for, what was heard, what was lost."""

    prompt: list[int] | str
    sampling: Sampling
    seed: int
    order: list[int]
    heard: wire.Heard | None = None
    is_cut: bool = False
    n_attempts: int = 0
    n_lost_tokens: int = 0
    started: float = field(default_factory=time.time)
    clock: float = field(default_factory=time.perf_counter)


class OpenAIEngine:
    """Implements `ttscale.engine.protocol.Engine` at an endpoint.

    Parameters
    ----------
    config : where it is, and what it serves.
    log : file that takes what went wrong with requests; nowhere if left out.
    """

    simulated = False

    def __init__(self, config: OpenAIConfig, log: FilePath | None = None) -> None:
        self.config, self.model = config, config.model
        self._log = logging.Logger("endpoint")
        self._log.addHandler(logging.FileHandler(log, delay=True) if log else logging.NullHandler())
        self._log.handlers[0].setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        self._http: Connection | None = None
        self._replicas: list[Replica] = []
        self._streams: dict[asyncio.Future[Completion], _Stream] = {}
        self._rng = random.Random()  # of pauses: no result depends on it

    async def start(self) -> None:
        """Load the tokenizer, and see whether the servers are what they should be."""
        self._http = Connection(self.config)
        self._local: Local = await asyncio.to_thread(load_local, self.config)
        self._replicas = [
            Replica(url, self.config, self._http, self._log) for url in self.config.endpoint
        ]
        ends = await asyncio.gather(
            *(replica.start(self._local) for replica in self._replicas), return_exceptions=True
        )
        faults = []
        for replica, end in zip(self._replicas, ends, strict=True):
            if isinstance(end, Fault):
                faults.append(f"{replica.url}: {end}")
                replica.lose()
            elif end is not None:
                raise end
        stated = [replica for replica in self._replicas if replica.statement is not None]
        if not stated:
            raise InputError(
                "no server answers at the endpoint",
                where="endpoint",
                got="; ".join(faults),
                hint="start it first: `vllm serve MODEL --port 8000`, and wait until it is ready",
            )
        statements = [replica.statement for replica in stated if replica.statement]
        first = max(statements, key=lambda statement: statement.max_context)
        self._statement: Statement = first
        for replica in self._replicas:
            replica.expected = first
            if replica.statement is not None:
                check_same(first, replica.statement, replica.url, "another replica")
        self._fingerprint = make_fingerprint(self._statement, self.config, self._local)
        self._routes = Routes(self.config.endpoint)

    async def close(self) -> None:
        """End all requests; may be called twice."""
        streams = list(self._streams)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        replicas, self._replicas = self._replicas, []
        for replica in replicas:
            await replica.close()
        if self._http is not None:
            await self._http.close()
        self._log.handlers[0].close()

    @property
    def fingerprint(self) -> str:
        """That of engine `vllm` with the same weights and dtype, where `dtype` says so."""
        return self._fingerprint

    @property
    def max_context(self) -> int:
        """Largest prompt plus generation, in tokens."""
        return self._statement.max_context

    @property
    def vocabulary(self) -> str:
        """Hash of the tokenizer's vocabulary."""
        return self._local.tokenizer.vocabulary

    @property
    def exact_tokens(self) -> bool:
        """Whether token ids are those the model wrote and reads."""
        return self._statement.dialect == "exact"

    def provenance(self) -> dict[str, object]:
        """What the servers said of themselves, and how they were asked."""
        stated = self._statement
        return {
            "engine": "openai",
            "endpoint": list(self.config.endpoint),
            "model": self.config.model,
            "served_name": stated.served_name,
            "root": stated.root,
            "server_version": stated.version,
            "fingerprint": self.fingerprint,
            "dtype": self.config.dtype,
            "max_context": self.max_context,
            "tokens": stated.dialect,
            "logprobs": stated.logprobs,
        }

    def encode(self, text: str) -> array[int]:
        """Token ids of plain text."""
        return self._noted(self._local.tokenizer.encode(text))

    def encode_more(self, text: str) -> array[int]:
        """Token ids of text that goes on from other tokens."""
        return self._local.tokenizer.encode(text, special=False)

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> array[int]:
        """Token ids of a conversation by the model's chat template."""
        return self._noted(self._local.tokenizer.encode_chat(messages))

    def _noted(self, prompt: array[int]) -> array[int]:
        self._routes.note_prompt(prompt)
        return prompt

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids."""
        return self._local.tokenizer.decode(token_ids)

    def submit(
        self, prefix: array[int], sampling: Sampling, seed: int, n: int
    ) -> list[asyncio.Future[Completion]]:
        """Begin n streams, one request each."""
        if len(prefix) >= self.max_context:
            raise ContextTooLong(len(prefix), self.max_context)
        self._refuse(sampling)
        loop = asyncio.get_running_loop()
        order = self._routes.order(prefix, [replica.n_assigned for replica in self._replicas])
        prompt: list[int] | str = (
            prefix.tolist()
            if self.exact_tokens
            else self._local.tokenizer.decode(prefix, special=True)
        )
        home = self._replicas[order[0]]
        futures: list[asyncio.Future[Completion]] = []
        for stream_seed in range(seed, seed + n):
            stream = _Stream(prompt, sampling, stream_seed, order)
            future = loop.create_task(self._run(stream))
            self._streams[future] = stream
            home.n_assigned += 1
            future.add_done_callback(self._forget)
            futures.append(future)
        return futures

    def _refuse(self, sampling: Sampling) -> None:
        """Raise InputError for what this endpoint cannot do."""
        if sampling.attention != "dense":
            raise InputError(
                "this engine has no such attention policy", got=sampling.attention, hint="dense"
            )
        asked = {"top_logprobs": sampling.top_logprobs, "watch": sampling.watch}
        for name, value in asked.items():
            if value and not (self._statement.logprobs and self.exact_tokens):
                raise InputError(
                    f"the endpoint does not give the log-probabilities that `{name}` asks for",
                    where=f"model {self.model}",
                    hint="serve the model with vLLM, or do without what asks for them",
                )

    def _forget(self, future: asyncio.Future[Completion]) -> None:
        stream = self._streams.pop(future)
        if self._replicas:
            self._replicas[stream.order[0]].n_assigned -= 1

    async def _run(self, stream: _Stream) -> Completion:
        """Follow one stream to its end, over as many requests as it takes."""
        try:
            while True:
                replica = await self._reachable(stream)
                fault = await self._try(stream, replica)
                if fault is None:
                    break
                if stream.n_attempts >= self.config.requests.attempts:
                    raise EngineDied(
                        f"{replica.url} failed a request {stream.n_attempts} times, "
                        f"the last time with: {fault}"
                    )
                await asyncio.sleep(pause_seconds(stream.n_attempts, self._rng))
        except asyncio.CancelledError:
            if not stream.is_cut:
                raise
        return self._completion(stream)

    async def _reachable(self, stream: _Stream) -> Replica:
        """The replica to try next: the prompt's own, the others in turn after two failures.

        Raises EngineDied when none answers for too long.
        """
        deadline = time.monotonic() + self.config.requests.patience_seconds
        while True:
            for replica in self._replicas:
                if replica.refusal is not None:
                    raise replica.refusal
            up = [self._replicas[place] for place in stream.order if self._replicas[place].up]
            if up:
                replica = up[max(0, stream.n_attempts - 1) % len(up)]
                await replica.quiet()
                return replica
            if time.monotonic() > deadline:
                seconds = self.config.requests.patience_seconds
                raise EngineDied(
                    f"no server of the endpoint has answered for {seconds:g} s: "
                    + ", ".join(replica.url for replica in self._replicas)
                )
            await asyncio.sleep(0.05)

    async def _try(self, stream: _Stream, replica: Replica) -> Fault | None:
        """One request; what was heard is left in the stream."""
        statement, requests = replica.statement, self.config.requests
        assert self._http is not None and statement is not None, "the engine has been started"
        pattern = wire.step_pattern(stream.sampling, statement.dialect)
        url = f"{replica.url}/v1/completions"
        async with replica.limit.slot() as number:
            if not replica.up:
                return Fault("it went down before the request was sent")
            stream.n_attempts += 1
            stream.heard = heard = wire.Heard(stream.sampling, pattern)
            fields = wire.body(
                statement.served_name,
                stream.prompt,
                stream.sampling,
                stream.seed,
                logprobs=statement.logprobs,
                stream_interval=requests.stream_interval,
            )
            try:
                async with aclosing(self._http.stream(url, fields)) as chunks:
                    async for chunk in chunks:
                        if chunk.error is not None:
                            raise Fault(f"the stream ended with: {chunk.error.message}")
                        heard.add(chunk)
                        if heard.step is not None:
                            break
                if not heard.complete and heard.step is None:
                    raise Fault("the answer broke off", lost=True)
            except Fault as fault:
                fault.n_tokens = heard.n_tokens
                stream.n_lost_tokens += heard.n_tokens
                stream.heard = None
                replica.note_fault(fault, number)
                return fault
        replica.note_answer()
        heard.check(stream.prompt, replica.url)
        return None

    def _completion(self, stream: _Stream) -> Completion:
        seconds = time.perf_counter() - stream.clock
        heard = stream.heard or wire.Heard(stream.sampling, None)
        completion = heard.completion(self._local.tokenizer, stream.started, seconds)
        overshoot = max(0, heard.n_tokens - len(completion.token_ids)) if heard.step else 0
        return replace(
            completion,
            n_attempts=max(1, stream.n_attempts),
            n_lost_tokens=stream.n_lost_tokens + overshoot,
        )

    def abort(self, streams: Sequence[asyncio.Future[Completion]]) -> None:
        """End streams early; what was heard is kept."""
        loop = asyncio.get_running_loop()
        for future in streams:
            if (stream := self._streams.get(future)) is not None:
                stream.is_cut = True
                loop.call_soon(future.cancel)  # not before it has begun

    def load(self) -> Load:
        """Requests in flight, and those held back here."""
        running = sum(replica.limit.n_running for replica in self._replicas)
        return Load(running, max(0, len(self._streams) - running))
