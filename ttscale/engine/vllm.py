"""Sampling on vLLM: the real engine, on GPU and on CPU.

Every stream is one request: at equal speed (the prompt's blocks are shared from the first step on),
a finished stream is journaled at once, and one can be cancelled without its siblings.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, Literal, NamedTuple

from ttscale.engine import ends
from ttscale.engine.protocol import (
    Completion,
    ContextTooLong,
    EngineDied,
    Load,
    Sampling,
)
from ttscale.engine.sparse.requests import ARGUMENT
from ttscale.engine.sparse.support import check
from ttscale.engine.vllm_process import VLLMModel, VLLMProcess, first_cause
from ttscale.errors import InputError
from ttscale.trace import TOKEN


class VLLMConfig(VLLMModel):
    """A model that generates, on vLLM in this process's care."""

    engine: Literal["vllm"] = "vllm"


class VLLMEngine:
    """Implements `ttscale.engine.protocol.Engine` on vLLM.

    Parameters
    ----------
    config : the model and how to load it.
    log : file that takes what vLLM prints; the terminal if left out.
    """

    simulated = False

    def __init__(self, config: VLLMConfig, log: FilePath | None = None) -> None:
        self.config = config
        self.model = config.model
        self._process = VLLMProcess(config, log)
        self._request_ids: dict[asyncio.Future[Completion], str] = {}
        self._n_requests = 0
        self._policies = {"dense"}

    @property
    def fingerprint(self) -> str:
        """Hash of the weights' identity, the tokenizer, the dtype and the engine's options."""
        assert self._process.fingerprint, "the engine has been started"
        return self._process.fingerprint

    @property
    def max_context(self) -> int:
        """Largest prompt plus generation, in tokens."""
        return self._process.max_context

    @property
    def vocabulary(self) -> str:
        """Hash of the tokenizer's vocabulary."""
        return self._process.tokenizer.vocabulary

    async def start(self) -> None:
        """Load the model; takes about 15 s on a small CPU."""
        await self._process.start()
        from vllm import SamplingParams
        from vllm.inputs import tokens_input
        from vllm.sampling_params import RequestOutputKind

        # Ready-made input is registered at once, raw prompts only after a turn in vLLM's thread
        # pool, and what is aborted before it is registered would run to its end.
        self._params, self._prompt, self._kinds = SamplingParams, tokens_input, RequestOutputKind
        await self._process.llm.get_supported_tasks()  # asked for once, before the first request

    async def close(self) -> None:
        """End all requests and the engine's process."""
        streams = list(self._request_ids)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        self._process.close()

    def provenance(self) -> dict[str, object]:
        """Versions and settings that affect results."""
        return self._process.provenance()

    def encode(self, text: str) -> array[int]:
        """Token ids of plain text."""
        return self._process.tokenizer.encode(text)

    def encode_more(self, text: str) -> array[int]:
        """Token ids of text that goes on from other tokens."""
        return self._process.tokenizer.encode(text, special=False)

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> array[int]:
        """Token ids of a conversation by the model's chat template."""
        return self._process.tokenizer.encode_chat(messages)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids."""
        return self._process.tokenizer.decode(token_ids)

    def check_attention(self, policy: str, where: str = "attention") -> None:
        """Raise InputError unless the loaded model can attend by a policy."""
        if policy not in self._policies:
            check(policy, self._process.llm.vllm_config, where)
            self._policies.add(policy)

    def submit(
        self, prefix: array[int], sampling: Sampling, seed: int, n: int
    ) -> list[asyncio.Future[Completion]]:
        """Begin n streams, one request each."""
        if len(prefix) >= self.max_context:
            raise ContextTooLong(len(prefix), self.max_context)
        self.check_attention(sampling.attention)
        loop = asyncio.get_running_loop()
        ids = prefix.tolist()
        streams: list[asyncio.Future[Completion]] = []
        for stream_seed in range(seed, seed + n):
            self._n_requests += 1
            request_id = f"s{self._n_requests}"
            stream = loop.create_task(self._stream(ids, sampling, stream_seed, request_id))
            self._request_ids[stream] = request_id
            stream.add_done_callback(self._forget)
            streams.append(stream)
        return streams

    def _forget(self, stream: asyncio.Future[Completion]) -> None:
        del self._request_ids[stream]

    def _vllm_params(self, sampling: Sampling, seed: int) -> Any:
        limit = min(sampling.max_tokens, sampling.step_tokens or sampling.max_tokens)
        stop = [*sampling.stop, *sampling.step]
        return self._params(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            presence_penalty=sampling.presence_penalty,
            frequency_penalty=sampling.frequency_penalty,
            max_tokens=limit,
            min_tokens=sampling.min_tokens,
            stop=stop,
            include_stop_str_in_output=bool(sampling.step),
            ignore_eos=sampling.ignore_eos,
            seed=seed,
            logprobs=None if sampling.watch else sampling.top_logprobs,
            flat_logprobs=not sampling.watch,
            logprob_token_ids=list(sampling.watch) or None,
            extra_args=None if sampling.attention == "dense" else {ARGUMENT: sampling.attention},
            output_kind=self._kinds.CUMULATIVE if sampling.step_pattern else self._kinds.FINAL_ONLY,
        )

    async def _stream(
        self, ids: list[int], sampling: Sampling, seed: int, request_id: str
    ) -> Completion:
        """Follow one request to its end."""
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        started, clock = time.time(), time.perf_counter()
        pattern = re.compile(sampling.step_pattern) if sampling.step_pattern else None
        output, step = None, None
        try:
            prompt = self._prompt(prompt_token_ids=ids)
            params = self._vllm_params(sampling, seed)
            requests = self._process.llm.generate(prompt, params, request_id=request_id)
            async for output in requests:
                if pattern and step is None:
                    text, finished = output.outputs[0].text, output.finished
                    step = ends.first_step(pattern, text, finished=finished)
                    if step is not None:
                        await self._process.llm.abort(request_id)
        except (EngineDeadError, EngineGenerateError) as error:
            raise EngineDied(first_cause(error)) from error
        except (VLLMClientError, ValueError) as error:
            raise InputError("vLLM refused a request", got=str(error)) from error
        assert output is not None, "a request ends with one output"
        completion = _completion(output, sampling, started, time.perf_counter() - clock)
        if step is not None:
            return ends.cut(completion, step, self.decode)
        return ends.settle(completion, output.outputs[0].stop_reason, sampling, self.decode)

    def abort(self, streams: Sequence[asyncio.Future[Completion]]) -> None:
        """End streams early; what they have is kept."""
        ids = [self._request_ids[stream] for stream in streams if stream in self._request_ids]
        if ids:
            task = asyncio.get_running_loop().create_task(self._process.llm.abort(ids))
            self._aborting = task  # a task nobody holds may be collected before it runs

    def load(self) -> Load:
        """Running and waiting, by the number of slots."""
        n = len(self._request_ids)
        return Load(min(n, self.config.max_num_seqs), max(0, n - self.config.max_num_seqs))


def _completion(output: Any, sampling: Sampling, started: float, seconds: float) -> Completion:
    """What vLLM gave, as a completion."""
    sample = output.outputs[0]
    token_ids: array[int] = array(TOKEN, sample.token_ids)
    logprobs, confidences, watched = _logprobs(sample.logprobs, sampling)
    return Completion(
        token_ids,
        sample.text,
        ends.finish_of(sample.finish_reason, sample.stop_reason, len(token_ids), sampling),
        logprobs,
        output.num_cached_tokens or 0,
        started,
        seconds,
        confidences,
        watched,
    )


class _Logprobs(NamedTuple):
    own: array[float]
    confidences: array[float]
    watched: array[float]


def _logprobs(given: Any, sampling: Sampling) -> _Logprobs:
    """What was asked for of the log-probabilities.

    vLLM's flat form has, for each place, the sampled token's entry and then the likeliest ones'.
    """
    own, confidences, watched = array("f"), array("f"), array("f")
    if given is None:
        return _Logprobs(own, confidences, watched)
    if sampling.watch:
        watched.extend(given[0][token].logprob for token in sampling.watch)
        return _Logprobs(own, confidences, watched)
    k = sampling.top_logprobs
    for start, end in zip(given.start_indices, given.end_indices, strict=True):
        assert end - start > k, "vLLM tells the likeliest tokens of every place"
        own.append(given.logprobs[start])
        if k:
            confidences.append(-math.fsum(given.logprobs[start + 1 : start + 1 + k]) / k)
    return _Logprobs(own, confidences, watched)
