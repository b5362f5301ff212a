"""What a server completes with: tried out by one token."""

from __future__ import annotations

from typing import Any

import msgspec

from ttscale.engine.openai.config import OpenAIConfig
from ttscale.engine.openai.connection import Connection
from ttscale.engine.openai.faults import NotAllowed
from ttscale.engine.openai.identity import PROBE, Trial
from ttscale.engine.openai.wire import Chunk, Dialect, decode_chunk
from ttscale.engine.tokenizer import Tokenizer
from ttscale.errors import InputError


async def probe(
    config: OpenAIConfig, url: str, name: str, tokenizer: Tokenizer, http: Connection
) -> Trial:
    """One token from the server: token ids if it takes and gives them, else text."""
    ids = tokenizer.encode(PROBE).tolist()
    fields = {"model": name, "max_tokens": 1, "temperature": 0.0, "seed": 0, "logprobs": 0}
    refusal: InputError | None = None
    if config.tokens != "text":
        try:
            answer = await _complete(url, {**fields, "prompt": ids, "return_token_ids": True}, http)
            if answer.choices[0].token_ids:
                return _trial("exact", answer)
        except NotAllowed:
            raise
        except InputError as error:
            refusal = error
        if config.tokens == "exact":
            raise refusal or InputError(
                "the endpoint does not give token ids",
                where=url,
                hint="`tokens: text` goes without, which loses exactness",
            )
    try:
        return _trial("text", await _complete(url, {**fields, "prompt": PROBE}, http))
    except InputError:
        plain = {key: value for key, value in fields.items() if key != "logprobs"}
        return _trial("text", await _complete(url, {**plain, "prompt": PROBE}, http))


async def _complete(url: str, fields: dict[str, Any], http: Connection) -> Chunk:
    text = await http.ask(f"{url}/v1/completions", fields)
    if text is None:
        raise InputError(
            "the endpoint has no /v1/completions for this model",
            where=url,
            hint="chat alone is not enough: strategies continue what a model wrote",
        )
    try:
        answer = decode_chunk(text.encode())
    except msgspec.DecodeError as error:
        raise InputError(
            "the endpoint's answer is not what the API promises", where=url, got=str(error)
        ) from error
    if not answer.choices:
        raise InputError("the endpoint's answer holds no completion", where=url, got=text)
    return answer


def _trial(dialect: Dialect, answer: Chunk) -> Trial:
    choice = answer.choices[0]
    told = choice.logprobs.token_logprobs if choice.logprobs else []
    value = told[0] if told else None
    return Trial(dialect, value is not None, choice.text, value)
