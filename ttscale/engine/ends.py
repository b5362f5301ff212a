"""How a response ended, in the protocol's words, out of what vLLM says of it."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from ttscale.engine.protocol import Completion, Sampling
from ttscale.trace import Finish

Decode = Callable[[Sequence[int]], str]


def finish_of(
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


def settle(
    completion: Completion, stop_reason: str | int | None, sampling: Sampling, decode: Decode
) -> Completion:
    """The completion with the text that its finish calls for.

    A stop string, which vLLM keeps for the sake of step strings, is taken off. Of the token that
    completes a step string vLLM cuts the rest, which stands in the ids and so belongs to the text.
    """
    if sampling.step and stop_reason in sampling.stop:
        return replace(completion, text=completion.text.removesuffix(str(stop_reason)))
    if completion.finish == "step" and stop_reason is not None:
        rest = decode(completion.token_ids).partition(str(stop_reason))[2]
        return replace(completion, text=completion.text + rest) if rest else completion
    return completion


def first_step(pattern: re.Pattern[str], text: str, *, finished: bool) -> int | None:
    """Where the first step ends in a text so far; None where none does or the response has."""
    step = pattern.search(text)
    if step is None or not step.end() or (finished and step.end() == len(text)):
        return None
    return step.end()


def cut(completion: Completion, end: int, decode: Decode) -> Completion:
    """The completion up to the token that completes the first `end` characters, as a step."""
    ids = completion.token_ids
    n = bisect.bisect_left(range(len(ids)), end, key=lambda n: len(decode(ids[:n])))
    return replace(
        completion,
        token_ids=ids[:n],
        text=decode(ids[:n]),
        logprobs=completion.logprobs[:n],
        confidences=completion.confidences[:n],
        finish="step",
    )
