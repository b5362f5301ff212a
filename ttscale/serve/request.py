"""A chat request as data, and what is refused of it.

Fields that cannot be honoured are refused unless their value asks for nothing; fields that only
label a request are read and dropped; any other unknown field is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError, from_json

from ttscale.engine.protocol import Sampling
from ttscale.errors import shorten
from ttscale.serve.refusal import Refusal

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

LABELS = frozenset(
    {
        "metadata",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)
"""Fields that say who asks and why; they change no answer."""

NOT_OFFERED: Mapping[str, str] = {
    "audio": "Replies are text.",
    "function_call": "Functions are not called.",
    "functions": "Functions are not called.",
    "logit_bias": "Tokens cannot be biased.",
    "logprobs": "Log-probabilities are not returned.",
    "modalities": "Replies are text.",
    "n": "A strategy gives one answer out of its many samples: n is 1.",
    "parallel_tool_calls": "Tools are not called.",
    "prediction": "Predicted outputs are not used.",
    "reasoning_effort": "Effort is the model's: each served model is a strategy with its budget, "
    "and `budget` bounds it.",
    "response_format": "Replies are free text.",
    "tool_choice": "Tools are not called.",
    "tools": "Tools are not called.",
    "top_logprobs": "Log-probabilities are not returned.",
    "verbosity": "The length of a reply is bounded by max_completion_tokens.",
    "web_search_options": "The web is not searched.",
}
"""Fields that would change the answer and cannot be honoured, and why."""

_NOTHING: Mapping[str, Sequence[Any]] = {
    "modalities": [["text"]],
    "n": [1],
    "parallel_tool_calls": [True],
    "response_format": [{"type": "text"}],
    "tool_choice": ["auto", "none"],
    "top_logprobs": [0],
}
"""Values of them that ask for nothing, beside null, false and what is empty."""

SHAPING = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
)
"""Fields that take the place of the experiment's sampling parameters as they are."""

MAX_STOPS = 16

Tokens = Annotated[int, Field(ge=1, le=2**31 - 1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Message(_Strict):
    """One turn; its content is text, given whole or in parts."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str
    name: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_echoes(cls, given: Any) -> Any:
        """Drop what comes back with a reply of this server's, and what is null or empty."""
        if not isinstance(given, dict):
            return given
        echoes = {"reasoning_content", "refusal"}
        return {
            key: value
            for key, value in given.items()
            if key in {"role", "content"} or (key not in echoes and value not in (None, [], {}))
        }

    @field_validator("content", mode="before")
    @classmethod
    def _as_text(cls, given: Any) -> Any:
        if not isinstance(given, list):
            return given
        texts = []
        for part in given:
            text = part.get("text") if isinstance(part, dict) else None
            if not isinstance(text, str) or part.get("type") != "text":
                raise PydanticCustomError(
                    "value", "Only text is read: parts are {{type: text, text: …}}"
                )
            texts.append(text)
        return "\n".join(texts)

    @property
    def turn(self) -> dict[str, str]:
        """As chat templates take it."""
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": self.content}


class StreamOptions(_Strict):
    """What a stream brings beside the answer."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatRequest(_Strict):
    """A request for an answer; what is null or missing is as the experiment has it.

    `max_completion_tokens`, and `max_tokens`, its older name, bound each response that is sampled;
    `budget` bounds all that the strategy generates, its verifier included. Neither exceeds what the
    experiment has.
    """

    model: str
    messages: list[Message] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_completion_tokens: Tokens | None = None
    max_tokens: Tokens | None = None
    budget: Tokens | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0, le=2**31 - 1)
    min_p: float | None = Field(default=None, ge=0, le=1)
    repetition_penalty: float | None = Field(default=None, gt=0, le=10)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    stop: list[Annotated[str, Field(min_length=1)]] | None = Field(
        default=None, max_length=MAX_STOPS
    )
    seed: int | None = Field(default=None, ge=-(2**63), le=2**63 - 1)

    @field_validator("stop", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else given

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with what it cost."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def sampling(self, default: Sampling) -> Sampling:
        """An arm's sampling with this request's changes.

        A response is no longer than the whole budget, so that at least one fits.
        """
        changes = {name: getattr(self, name) for name in SHAPING if getattr(self, name) is not None}
        bounds = (self.max_completion_tokens, self.max_tokens, self.budget)
        longest = min([default.max_tokens, *filter(None, bounds)])
        return replace(
            default,
            **changes,
            max_tokens=longest,
            min_tokens=min(default.min_tokens, longest),
            stop=tuple(dict.fromkeys([*default.stop, *(self.stop or ())])),
        )


def parse(body: bytes) -> ChatRequest:
    """A request out of a body. Raises Refusal."""
    try:
        given = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Refusal(
            400,
            f"We could not parse the JSON body of your request: {shorten(str(error))}.",
            code="invalid_json",
        ) from error
    if not isinstance(given, dict):
        raise Refusal(400, "The body of a request is a JSON object.", code="invalid_type")
    for name, why in NOT_OFFERED.items():
        value = given.pop(name, None)
        nothing = (None, [], {}, *_NOTHING.get(name, ()))
        if value is not False and value not in nothing:
            what = f"Unsupported parameter: '{name}'. {why}"
            raise Refusal(400, what, param=name, code="unsupported_parameter")
    for name in LABELS:
        given.pop(name, None)
    try:
        asked = ChatRequest.model_validate(given)
    except ValidationError as error:
        _refuse(error.errors()[0])
    if asked.messages[-1].role != "user":
        what = "The last message is the user's."
        raise Refusal(400, what, param="messages", code="invalid_value")
    if asked.stream_options is not None and not asked.stream:
        what = "stream_options is for streams: set stream."
        raise Refusal(400, what, param="stream_options", code="invalid_value")
    return asked


def _refuse(problem: ErrorDetails) -> NoReturn:
    """A pydantic error as OpenAI words it."""
    param = ""
    for part in problem["loc"]:
        param += f"[{part}]" if isinstance(part, int) else f".{part}" if param else str(part)
    kind, message = problem["type"], problem["msg"]
    if kind == "missing":
        code, message = "missing_required_parameter", f"Missing required parameter: '{param}'."
    elif kind == "extra_forbidden":
        param = shorten(param)
        code, message = "unknown_parameter", f"Unrecognized request argument supplied: {param}"
    else:
        code = "invalid_value"
        if kind.startswith(("greater_than", "less_than")):
            number = "integer" if isinstance(problem["input"], int) else "decimal"
            code = f"{number}_{'below_min' if kind[0] == 'g' else 'above_max'}_value"
        elif kind.endswith("_type"):
            code = "invalid_type"
        message = f"Invalid '{param}': {message}, but got {shorten(problem['input'], 60)}."
    raise Refusal(400, message, param=param, code=code)
