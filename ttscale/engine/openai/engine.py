"""Sampling at an OpenAI-compatible endpoint: one server, or replicas behind one name.

Every stream is one streamed request. What fails for a passing reason is asked again with the same
seed, and what the failure cost stands in the completion; what has been heard of a cut stream is
kept.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path as FilePath

from ttscale.engine.openai import wire
from ttscale.engine.openai.config import OpenAIConfig
from ttscale.engine.openai.connection import Connection
from ttscale.engine.openai.faults import Fault
from ttscale.engine.openai.fleet import Fleet
from ttscale.engine.openai.identity import Trial, make_fingerprint
from ttscale.engine.openai.replica import Replica
from ttscale.engine.openai.trying import probe
from ttscale.engine.protocol import Completion, ContextTooLong, Load, Sampling
from ttscale.errors import InputError


@dataclass(slots=True)
class _Stream:
    """A stream under way: what was asked for, what was heard, what was lost."""

    prompt: list[int] | str
    sampling: Sampling
    seed: int
    order: list[int]
    served_name: str
    trial: Trial
    interval: int
    heard: wire.Heard | None = None
    is_cut: bool = False
    n_attempts: int = 0
    n_lost_tokens: int = 0
    started: float = field(default_factory=time.time)
    clock: float = field(default_factory=time.perf_counter)

    async def send(self, http: Connection, replica: Replica) -> None:
        """One request; what was heard is kept unless it failed."""
        pattern = wire.step_pattern(self.sampling, self.trial.dialect)
        self.heard = heard = wire.Heard(self.sampling, pattern)
        fields = wire.body(
            self.served_name,
            self.prompt,
            self.sampling,
            self.seed,
            logprobs=self.trial.logprobs,
            stream_interval=self.interval,
        )
        try:
            async with aclosing(http.stream(f"{replica.url}/v1/completions", fields)) as chunks:
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
            self.heard = None
            raise
        heard.check(self.prompt, replica.url)


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
        self._fleet = Fleet(config, partial(probe, config), log)
        self._streams: dict[asyncio.Future[Completion], _Stream] = {}

    async def start(self) -> None:
        """Load the tokenizer, and see whether the servers are what they should be."""
        await self._fleet.start()
        self._tokenizer, self._stated = self._fleet.local.tokenizer, self._fleet.statement
        self._fingerprint = make_fingerprint(self._stated, self.config, self._fleet.local)

    async def close(self) -> None:
        """End all requests; may be called twice."""
        streams = list(self._streams)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        await self._fleet.close()

    @property
    def fingerprint(self) -> str:
        """That of engine `vllm` with the same weights and dtype, where `dtype` says so."""
        return self._fingerprint

    @property
    def max_context(self) -> int:
        """Largest prompt plus generation, in tokens."""
        return self._stated.max_context

    @property
    def vocabulary(self) -> str:
        """Hash of the tokenizer's vocabulary."""
        return self._tokenizer.vocabulary

    @property
    def exact_tokens(self) -> bool:
        """Whether token ids are those the model wrote and reads."""
        return self._stated.trial.dialect == "exact"

    def provenance(self) -> dict[str, object]:
        """What the servers said of themselves, and how they were asked."""
        return {
            "engine": "openai",
            "endpoint": list(self.config.endpoint),
            "model": self.config.model,
            "served_name": self._stated.served_name,
            "root": self._stated.root,
            "server_version": self._stated.version,
            "fingerprint": self.fingerprint,
            "dtype": self.config.dtype,
            "max_context": self.max_context,
            "tokens": self._stated.trial.dialect,
            "logprobs": self._stated.trial.logprobs,
        }

    def encode(self, text: str) -> array[int]:
        """Token ids of plain text."""
        return self._noted(self._tokenizer.encode(text))

    def encode_more(self, text: str) -> array[int]:
        """Token ids of text that goes on from other tokens."""
        return self._tokenizer.encode(text, special=False)

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> array[int]:
        """Token ids of a conversation by the model's chat template."""
        return self._noted(self._tokenizer.encode_chat(messages))

    def _noted(self, prompt: array[int]) -> array[int]:
        self._fleet.note_prompt(prompt)
        return prompt

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids."""
        return self._tokenizer.decode(token_ids)

    def submit(
        self, prefix: array[int], sampling: Sampling, seed: int, n: int
    ) -> list[asyncio.Future[Completion]]:
        """Begin n streams, one request each."""
        if len(prefix) >= self.max_context:
            raise ContextTooLong(len(prefix), self.max_context)
        self._refuse(sampling)
        loop = asyncio.get_running_loop()
        order = self._fleet.order(prefix, n)
        prompt: list[int] | str = (
            prefix.tolist() if self.exact_tokens else self._tokenizer.decode(prefix, special=True)
        )
        name, trial = self._stated.served_name, self._stated.trial
        interval = self.config.requests.stream_interval
        futures: list[asyncio.Future[Completion]] = []
        for stream_seed in range(seed, seed + n):
            stream = _Stream(prompt, sampling, stream_seed, order, name, trial, interval)
            future = loop.create_task(self._run(stream))
            self._streams[future] = stream
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
            if value and not (self._stated.trial.logprobs and self.exact_tokens):
                raise InputError(
                    f"the endpoint does not give the log-probabilities that `{name}` asks for",
                    where=f"model {self.model}",
                    hint="serve the model with vLLM, or do without what asks for them",
                )

    def _forget(self, future: asyncio.Future[Completion]) -> None:
        self._fleet.release(self._streams.pop(future).order)

    async def _run(self, stream: _Stream) -> Completion:
        """Follow one stream to its end; a cut one to where it was cut."""
        try:
            await self._fleet.run(stream)
        except asyncio.CancelledError:
            if not stream.is_cut:
                raise
        seconds = time.perf_counter() - stream.clock
        heard = stream.heard or wire.Heard(stream.sampling, None)
        completion = heard.completion(self._tokenizer, stream.started, seconds)
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
        running = self._fleet.n_running
        return Load(running, max(0, len(self._streams) - running))
