"""An endpoint as a configuration: where it is, what it serves, and how it is asked."""

from __future__ import annotations

import os
import re
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ttscale.engine.reward.format import RewardFormat
from ttscale.errors import InputError


class RequestsConfig(BaseModel):
    """How an endpoint is asked; nothing here changes a result.

    Attributes
    ----------
    in_flight : requests in flight at most, on each replica; the limit in force adapts below it.
    attempts : tries of one request before the run stops.
    timeout_seconds : deadline of one try.
    silence_seconds : longest time without a byte from the server.
    patience_seconds : how long to wait while no replica answers at all.
    stream_interval : tokens that the server sends at a time, where it can be told (vLLM). A cut
        stream keeps the tokens that were sent.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    in_flight: int = Field(default=1024, ge=1)
    attempts: int = Field(default=10, ge=1)
    timeout_seconds: float = Field(default=900, gt=0)
    silence_seconds: float = Field(default=120, gt=0)
    patience_seconds: float = Field(default=300, ge=0)
    stream_interval: int = Field(default=16, ge=1)


TRANSPORT = ("endpoint", "api_key_env", "requests")
"""Fields of an `EndpointModel` that cannot change a result: not part of a run's identity."""


class EndpointModel(BaseModel):
    """A model that a server, or several, have loaded.

    Attributes
    ----------
    endpoint : base address, or several that serve the same model.
    model : what it serves: `embedded`, a folder, or a Hugging Face id. The ledger's name for it.
    served_name : the server's name for it, where that is another.
    tokenizer : folder or Hugging Face id, where it does not lie with the model.
    revision : of the model on the hub.
    dtype : the number type it is served in. When given, calls have the keys of engine `vllm` with
        the same model and dtype, so that the two share their samples.
    max_context : tokens of prompt and generation; the server's own limit if left out.
    api_key_env : environment variable that holds the key; none is sent if left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: tuple[str, ...] = Field(min_length=1)
    model: str
    served_name: str | None = None
    tokenizer: str | None = None
    revision: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    max_context: int | None = Field(default=None, ge=16)
    api_key_env: str | None = Field(default=None, pattern=r"^\w+$")
    requests: RequestsConfig = RequestsConfig()

    @field_validator("endpoint", mode="before")
    @classmethod
    def _listed(cls, endpoint: Any) -> Any:
        return (endpoint,) if isinstance(endpoint, str) else endpoint

    @field_validator("endpoint")
    @classmethod
    def _addresses(cls, endpoint: tuple[str, ...]) -> tuple[str, ...]:
        roots = tuple(_root(address) for address in endpoint)
        if len(set(roots)) < len(roots):
            raise InputError("an address stands twice", where="endpoint", got=", ".join(roots))
        return roots


class OpenAIConfig(EndpointModel):
    """A model that an OpenAI-compatible server completes with (`/v1/completions`).

    Attributes
    ----------
    tokens : `exact` for token ids both ways, `text` where the server has only text, `auto` to see.
    """

    engine: Literal["openai"] = "openai"
    tokens: Literal["auto", "exact", "text"] = "auto"


class OpenAIRewardConfig(EndpointModel):
    """A reward model on vLLM's server (`/pooling`, task `token_classify`), read by token ids.

    Attributes
    ----------
    format : how a solution is written for it.
    activation : `raw` for the head's own number, as outcome reward models report it.
    """

    engine: Literal["openai_reward"] = "openai_reward"
    format: RewardFormat = RewardFormat()
    activation: Literal["probability", "raw"] = "probability"


def _root(address: str) -> str:
    """An address without what is the same for all: the closing slash and `/v1`."""
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InputError(
            "an endpoint is a base address", where="endpoint", got=address, hint="http://host:8000"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InputError(
            "an endpoint's address holds no credentials and no query",
            where="endpoint",
            got=parts.hostname,
            hint="put the key into an environment variable and name it with `api_key_env`",
        )
    return re.sub(r"/v1$", "", address.rstrip("/"))


def api_key(config: EndpointModel) -> str | None:
    """The key, from the environment. Raises InputError where the variable is not set."""
    if config.api_key_env is None:
        return None
    if key := os.environ.get(config.api_key_env, "").strip():
        return key
    raise InputError(
        "the environment variable that is to hold the endpoint's key is not set",
        where="api_key_env",
        got=config.api_key_env,
        hint=f"export {config.api_key_env}=…",
    )
