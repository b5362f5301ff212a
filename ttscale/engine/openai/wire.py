"""What goes over the wire: a call as the body of a request, and streamed chunks as a completion.

Two dialects. `exact` is vLLM's: token ids both ways, so that what is continued is what was written.
`text` is what every server understands; token ids are then those of this side's tokenizer, which
need not be the ones the model wrote.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from ttscale.engine import ends
from ttscale.engine.protocol import Completion, Sampling
from ttscale.engine.tokenizer import Tokenizer
from ttscale.errors import InputError
from ttscale.trace import TOKEN

Dialect = Literal["exact", "text"]

PATTERN_INTERVAL = 4
"""Tokens sent at a time while a step's end is looked for on this side."""


class Logprobs(msgspec.Struct):
    """Log-probabilities of a chunk's tokens."""

    token_logprobs: list[float | None] = []
    top_logprobs: list[dict[str, float] | None] | None = None


class Choice(msgspec.Struct):
    """What came of the one stream of a request."""

    text: str = ""
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    token_ids: list[int] | None = None
    prompt_token_ids: list[int] | None = None
    logprobs: Logprobs | None = None


class PromptDetails(msgspec.Struct):
    """What the server says of the prompt."""

    cached_tokens: int | None = None


class Usage(msgspec.Struct):
    """Token counts by the server."""

    prompt_tokens: int = 0
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None


class Trouble(msgspec.Struct):
    """An error in the middle of a stream."""

    message: str = ""
    code: int | str | None = None


class Chunk(msgspec.Struct):
    """One event of a stream, or a whole answer."""

    choices: list[Choice] = []
    usage: Usage | None = None
    error: Trouble | None = None


decode_chunk = msgspec.json.Decoder(Chunk).decode


def body(
    served_name: str,
    prompt: Sequence[int] | str,
    sampling: Sampling,
    seed: int,
    *,
    logprobs: bool,
    stream_interval: int,
) -> dict[str, Any]:
    """A call as the body of a streaming request; ids as the prompt mean the exact dialect.

    Everything is said, so that a server's own defaults change nothing. Only vLLM knows most of it:
    in the text dialect what is at its default is left out.
    """
    exact = not isinstance(prompt, str)
    fields: dict[str, Any] = {
        "model": served_name,
        "prompt": prompt,
        "max_tokens": min(sampling.max_tokens, sampling.step_tokens or sampling.max_tokens),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "seed": seed,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    special = {
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "min_tokens": sampling.min_tokens,
        "ignore_eos": sampling.ignore_eos,
    }
    if logprobs:
        fields["logprobs"] = sampling.top_logprobs
    stop = [*sampling.stop, *(sampling.step if exact else ())]
    if stop:
        fields["stop"] = stop
    if not exact:
        plain = Sampling()
        return fields | {n: value for n, value in special.items() if value != getattr(plain, n)}
    fields |= special | {
        "include_stop_str_in_output": bool(sampling.step),
        "return_token_ids": True,
        "stream_interval": PATTERN_INTERVAL if sampling.step_pattern else stream_interval,
    }
    if sampling.watch:
        fields |= {"logprobs": 0, "logprob_token_ids": list(sampling.watch)}
    if sampling.watch or sampling.top_logprobs:
        fields["return_tokens_as_token_ids"] = True  # several tokens may have one text
    return fields


def step_pattern(sampling: Sampling, dialect: Dialect) -> re.Pattern[str] | None:
    """What ends a step on this side: the pattern, and step strings where the server cannot."""
    parts = [] if sampling.step_pattern is None else [f"(?:{sampling.step_pattern})"]
    if dialect == "text":
        parts += [re.escape(mark) for mark in sampling.step]
    return re.compile("|".join(parts)) if parts else None


class Heard:
    """What was heard of one stream so far.

    Attributes
    ----------
    step : where in the text a step ended that this side looked for.
    """

    def __init__(self, sampling: Sampling, pattern: re.Pattern[str] | None) -> None:
        self._sampling, self._pattern = sampling, pattern
        self._texts: list[str] = []
        self._ids: list[int] = []
        self._logprobs, self._confidences = array("f"), array("f")
        self._watched = array("f")
        self._finish: str | None = None
        self._stop: str | int | None = None
        self._prompt_ids: list[int] | None = None
        self._usage: Usage | None = None
        self._n_chunks = 0
        self.step: int | None = None

    def add(self, chunk: Chunk) -> None:
        """Take in one event."""
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices:
            self._texts.append(choice.text)
            self._ids += choice.token_ids or ()
            self._n_chunks += bool(choice.text)
            self._prompt_ids = choice.prompt_token_ids or self._prompt_ids
            self._finish = choice.finish_reason or self._finish
            self._stop = choice.stop_reason if choice.stop_reason is not None else self._stop
            if choice.logprobs is not None:
                self._add_logprobs(choice.logprobs)
        if self._pattern is not None and self.step is None and chunk.choices:
            text = "".join(self._texts)
            self.step = ends.first_step(self._pattern, text, finished=self.complete)

    def _add_logprobs(self, given: Logprobs) -> None:
        watch, k = self._sampling.watch, self._sampling.top_logprobs
        if watch:
            if not self._watched and given.top_logprobs and given.top_logprobs[0]:
                first = given.top_logprobs[0]
                self._watched.extend(_number(first.get(f"token_id:{token}")) for token in watch)
            return
        self._logprobs.extend(map(_number, given.token_logprobs))
        if k:
            for top in given.top_logprobs or ():
                likeliest = sorted((top or {}).values(), reverse=True)[:k]
                self._confidences.append(-math.fsum(map(_number, likeliest)) / k)

    @property
    def complete(self) -> bool:
        """Whether the server said how the stream ended."""
        return self._finish not in {None, "abort", "error"}

    @property
    def n_tokens(self) -> int:
        """Tokens heard: exact where there are ids, else pieces of text."""
        return len(self._ids) or self._n_chunks

    def check(self, prompt: Sequence[int] | str, where: str) -> None:
        """Raise InputError where the server saw another prompt, or ended sooner than asked."""
        seen = self._prompt_ids
        if not isinstance(prompt, str) and seen is not None and seen != list(prompt):
            raise InputError(
                "the endpoint does not continue the prompt it is given",
                where=where,
                got=f"{len(seen)} tokens of {len(prompt)}",
                hint="turn off truncation and prompt changes on the server",
            )
        asked = min(self._sampling.max_tokens, self._sampling.step_tokens or math.inf)
        told = None if self._usage is None else self._usage.completion_tokens
        n = len(self._ids) or told
        if self._finish == "length" and n and n < asked:
            raise InputError(
                "the endpoint ends responses sooner than it was asked to",
                where=where,
                got=f"a response cut at {n} tokens, {asked} were asked for",
                hint="raise the server's own limit on tokens (vLLM: max_new_tokens in "
                "--override-generation-config), or lower sampling.max_tokens",
            )

    def completion(self, tokenizer: Tokenizer, started: float, seconds: float) -> Completion:
        """What was heard, as a completion; an `abort` if the end was not."""
        text = "".join(self._texts)
        exact = bool(self._ids) or not text
        ids: array[int] = (
            array(TOKEN, self._ids) if exact else tokenizer.encode(text, special=False)
        )
        logprobs = self._logprobs
        if len(logprobs) != len(ids):  # other tokens than the server's: their sum, spread evenly
            share = math.fsum(logprobs) / len(ids) if logprobs and ids else 0.0
            logprobs = array("f", [share] * len(ids) if logprobs else [])
        details = None if self._usage is None else self._usage.prompt_tokens_details
        reason = self._finish if self.complete else "abort"
        if reason not in {"abort", "length"}:
            reason = "stop"  # whatever the server calls it
        # Its own count of tokens, where the ids are not the ones that it wrote.
        n_tokens = len(ids) if exact else self._sampling.step_tokens or len(ids)
        completion = Completion(
            ids,
            text,
            ends.finish_of(reason, self._stop, n_tokens, self._sampling),
            logprobs,
            (details.cached_tokens if details else None) or 0,
            started,
            seconds,
            self._confidences,
            self._watched,
        )
        if self.step is None:
            return ends.settle(completion, self._stop, self._sampling, tokenizer.decode)
        return ends.cut(completion, self.step, tokenizer.decode)


def _number(logprob: float | None) -> float:
    """A log-probability as JSON has it: −9999 stands for minus infinity."""
    return -math.inf if logprob is None or logprob <= -9999 else logprob
