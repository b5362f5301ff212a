"""Requests that are not answered, as the error objects that clients of OpenAI's interface read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ttscale.errors import InputError, closest, shorten


class Refusal(Exception):
    """A request that is not answered.

    Parameters
    ----------
    status : of the HTTP response.
    message : what is wrong and what would be right.
    kind : OpenAI's `type` of the error.
    param : the field at fault.
    code : what programs tell errors apart by.
    headers : of the HTTP response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status, self.message, self.headers = status, message, dict(headers or {})
        self.kind, self.param, self.code = kind, param, code
        super().__init__(message)

    @property
    def body(self) -> dict[str, Any]:
        """The error object."""
        error = {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }
        return {"error": error}


def wrong_key(*, given: bool) -> Refusal:
    """No key, or not the right one; it is not repeated."""
    what = (
        "Incorrect API key provided."
        if given
        else ("You didn't provide an API key: send it in the header `Authorization: Bearer KEY`.")
    )
    return Refusal(401, what, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})


def unknown_model(name: str, known: Iterable[str]) -> Refusal:
    """A model that is not served."""
    return Refusal(
        404,
        f"The model `{shorten(name)}` does not exist; {closest(name, known)}",
        param="model",
        code="model_not_found",
    )


def too_large(limit: int) -> Refusal:
    """A body above the limit in bytes."""
    return Refusal(
        413,
        f"The request's body is larger than {limit:,} bytes.",
        code="request_too_large",
        headers={"Connection": "close"},
    )


def too_slow() -> Refusal:
    """A body that does not come to its end."""
    return Refusal(
        408, "The request's body took too long.", code="timeout", headers={"Connection": "close"}
    )


def too_long(n_tokens: int, max_context: int) -> Refusal:
    """Messages that leave no room for a reply in the model's context."""
    return Refusal(
        400,
        f"This model's maximum context length is {max_context} tokens, and the messages take "
        f"{n_tokens}. Please reduce their length.",
        param="messages",
        code="context_length_exceeded",
    )


def busy(n_admitted: int) -> Refusal:
    """More requests than are answered or wait."""
    return Refusal(
        429,
        f"{n_admitted} requests are being answered or wait; please try again.",
        kind="requests",
        code="rate_limit_exceeded",
        headers={"Retry-After": "1"},
    )


def failed(request_id: str) -> Refusal:
    """A strategy that failed: the cause is for the server's log."""
    return Refusal(
        500,
        f"The strategy failed; the server's log says why, under {request_id}.",
        kind="server_error",
        code="strategy_failed",
    )


def engine_died() -> Refusal:
    """The engine is gone and the server is about to be."""
    return Refusal(
        503, "The engine died; the server is stopping.", kind="server_error", code="engine_died"
    )


def stopping() -> Refusal:
    """The server ends before the answer was there."""
    return Refusal(503, "The server is stopping.", kind="server_error", code="server_stopping")


def refused_input(error: InputError) -> Refusal:
    """What a strategy or an engine could not do with this request."""
    parts = [error.what]
    if error.got is not None:
        parts.append(f"got: {shorten(error.got)}")
    if error.hint is not None:
        parts.append(f"try: {error.hint}")
    return Refusal(400, "; ".join(parts), code="invalid_value")
