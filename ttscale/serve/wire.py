"""Replies as OpenAI's objects: whole, in chunks of a stream, and what they cost.

Everything is ASCII JSON, so that whatever a model wrote, control characters and halves of pairs
included, is text within a string and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ttscale.record.files import finite
from ttscale.record.ledger import Totals
from ttscale.serve.service import Reply

PIECE = 1000
"""Characters of a chunk."""

DONE = b"data: [DONE]\n\n"
WORKING = b": working\n\n"
"""A comment, which clients skip: it keeps the connection alive."""


def to_json(value: object) -> bytes:
    """JSON in ASCII; numbers that JSON cannot hold are null."""
    return json.dumps(finite(value), separators=(",", ":")).encode("ascii")


def event(value: object) -> bytes:
    """An event of a stream."""
    return b"data: " + to_json(value) + b"\n\n"


def usage(reply: Reply) -> dict[str, Any]:
    """All that a reply took: over every sample, and what its verifier read and wrote.

    `prompt_tokens` counts every sequence's prompt, `cached_tokens` what the engine had of them.
    `reasoning_tokens` are those generated beside the response that was chosen.
    """
    total = Totals(*map(sum, zip(*reply.spent.values(), strict=True))) if reply.spent else Totals()
    return {
        "prompt_tokens": total.n_prompt_tokens,
        "completion_tokens": total.n_generated_tokens,
        "total_tokens": total.n_prompt_tokens + total.n_generated_tokens,
        "prompt_tokens_details": {"cached_tokens": total.n_cached_tokens},
        "completion_tokens_details": {
            "reasoning_tokens": total.n_generated_tokens - reply.n_answer_tokens
        },
    }


class Envelope:
    """What all objects of one response share.

    Parameters
    ----------
    request_id, created, model : as OpenAI has them; `created` in seconds since the epoch.
    fingerprint : of the policy: with a seed, equal ones give equal replies on equal hardware.
    simulated : whether the policy is a simulation.
    """

    def __init__(
        self, request_id: str, created: int, model: str, fingerprint: str, *, simulated: bool
    ) -> None:
        self.request_id = request_id
        self._common = {
            "id": request_id,
            "created": created,
            "model": model,
            "system_fingerprint": f"fp_{fingerprint[:10]}",
        }
        self._simulated = simulated

    def whole(self, reply: Reply) -> dict[str, Any]:
        """A `chat.completion`."""
        message: dict[str, Any] = {"role": "assistant", "content": reply.thought.answer}
        if reply.thought.thinking:
            message["reasoning_content"] = reply.thought.thinking
        choice = {
            "index": 0,
            "message": {**message, "refusal": None},
            "logprobs": None,
            "finish_reason": _finish(reply),
        }
        return {
            **self._common,
            "object": "chat.completion",
            "choices": [choice],
            "usage": usage(reply),
            "ttscale": self._account(reply),
        }

    def opening(self) -> bytes:
        """The first event of a stream: the role."""
        return self._chunk({"role": "assistant", "content": ""})

    def pieces(self, reply: Reply, *, include_usage: bool) -> Iterator[bytes]:
        """The events that follow: thinking, answer, the end, and if wished the usage."""
        for name, text in (
            ("reasoning_content", reply.thought.thinking),
            ("content", reply.thought.answer),
        ):
            for start in range(0, len(text), PIECE):
                yield self._chunk({name: text[start : start + PIECE]})
        yield self._chunk({}, _finish(reply), ttscale=self._account(reply))
        if include_usage:
            yield event(
                {
                    **self._common,
                    "object": "chat.completion.chunk",
                    "choices": [],
                    "usage": usage(reply),
                }
            )

    def _chunk(self, delta: dict[str, str], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = {**self._common, "object": "chat.completion.chunk", "choices": [choice], **more}
        return event(chunk)

    def _account(self, reply: Reply) -> dict[str, Any]:
        """What OpenAI's objects have no place for."""
        return {
            "status": reply.status,
            "score": reply.score,
            "tied": reply.tied,
            "abstained": reply.abstained,
            "answer_tokens": reply.n_answer_tokens,
            "spent": {call: totals._asdict() for call, totals in reply.spent.items()},
            "notes": dict(reply.notes),
            "simulated": self._simulated,
        }


def _finish(reply: Reply) -> str:
    return "length" if reply.truncated else "stop"
