"""Sampling on vLLM: the real engine, on GPU and on CPU.

Every stream is one request: at equal speed (the prompt's blocks are shared from the first step on),
a finished stream is journaled at once, and one can be cancelled without its siblings.
"""

from __future__ import annotations

import asyncio
import bisect
import math
import re
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any, Literal, NamedTuple

from ttscale.engine.protocol import (
    Completion,
    ContextTooLong,
    EngineDied,
    Load,
    Sampling,
)
from ttscale.engine.vllm_process import VLLMModel, VLLMProcess, first_cause
from ttscale.errors import InputError
from ttscale.trace import TOKEN, Finish


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
        return self._process.vocabulary

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
        return self._process.encode(text)

    def encode_more(self, text: str) -> array[int]:
        """Token ids of text that goes on from other tokens."""
        return self._process.encode(text, special=False)

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> array[int]:
        """Token ids of a conversation by the model's chat template."""
        return self._process.encode_chat(messages)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids."""
        return self._process.decode(token_ids)

    def submit(
        self, prefix: array[int], sampling: Sampling, seed: int, n: int
    ) -> list[asyncio.Future[Completion]]:
        """Begin n streams, one request each."""
        if len(prefix) >= self.max_context:
            raise ContextTooLong(len(prefix), self.max_context)
        if sampling.attention != "dense":
            raise InputError(
                "this engine has no such attention policy", got=sampling.attention, hint="dense"
            )
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
                if pattern and step is None and (step := _first_step(pattern, output)):
                    await self._process.llm.abort(request_id)
        except (EngineDeadError, EngineGenerateError) as error:
            raise EngineDied(first_cause(error)) from error
        except (VLLMClientError, ValueError) as error:
            raise InputError("vLLM refused a request", got=str(error)) from error
        assert output is not None, "a request ends with one output"
        completion = _completion(output, sampling, started, time.perf_counter() - clock)
        if step is not None:
            return self._cut(completion, step)
        if completion.finish == "step" and output.outputs[0].stop_reason is not None:
            return self._whole_token(completion, str(output.outputs[0].stop_reason))
        return completion

    def _whole_token(self, completion: Completion, step: str) -> Completion:
        """The text of the whole of the token that completes a step string, of which vLLM cuts it.

        The rest of the token stands in the ids, so it belongs to the text.
        """
        rest = self.decode(completion.token_ids).partition(step)[2]
        return replace(completion, text=completion.text + rest) if rest else completion

    def _cut(self, completion: Completion, end: int) -> Completion:
        """The completion up to the token that completes the first `end` characters, as a step."""
        ids = completion.token_ids
        n = bisect.bisect_left(range(len(ids)), end, key=lambda n: len(self.decode(ids[:n])))
        return replace(
            completion,
            token_ids=ids[:n],
            text=self.decode(ids[:n]),
            logprobs=completion.logprobs[:n],
            confidences=completion.confidences[:n],
            finish="step",
        )

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


def _first_step(pattern: re.Pattern[str], output: Any) -> int | None:
    """Where the first step ends in a text so far; None where none does or the response has."""
    text = output.outputs[0].text
    step = pattern.search(text)
    if step is None or not step.end() or (output.finished and step.end() == len(text)):
        return None
    return step.end()


def _completion(output: Any, sampling: Sampling, started: float, seconds: float) -> Completion:
    """What vLLM gave, as a completion."""
    sample = output.outputs[0]
    token_ids: array[int] = array(TOKEN, sample.token_ids)
    text = sample.text
    logprobs, confidences, watched = _logprobs(sample.logprobs, sampling)
    if sampling.step and sample.stop_reason in sampling.stop:
        text = text.removesuffix(sample.stop_reason)  # kept only for the sake of step strings
    return Completion(
        token_ids,
        text,
        _finish(sample.finish_reason, sample.stop_reason, len(token_ids), sampling),
        logprobs,
        output.num_cached_tokens or 0,
        started,
        seconds,
        confidences,
        watched,
    )


def _finish(
    reason: str | None, stop_reason: str | int | None, n_tokens: int, sampling: Sampling
) -> Finish:
    """vLLM's finish and stop reasons in the protocol's words."""
    if reason == "abort":
        return "abort"
    if reason == "length":
        limit = sampling.step_tokens
        return "step" if limit is not None and n_tokens == limit < sampling.max_tokens else "length"
    if stop_reason in sampling.step and stop_reason not in sampling.stop:
        return "step"
    assert reason in {"stop", "repetition"}, f"vLLM ended a request with {reason!r}"
    return "stop"


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
