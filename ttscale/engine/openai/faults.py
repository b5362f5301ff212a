"""What goes wrong between here and a server: what is asked again, and what only the user can mend.

A fault is a failure that may pass: no connection, 429, 5xx, an answer that broke off or never came.
What the server refuses for good is an InputError. A server's words are repeated without the key,
and not at all where it complains of the key.
"""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Mapping

from ttscale.engine.openai.config import EndpointModel
from ttscale.errors import InputError, shorten

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0
"""Seconds that back-off begins with and does not exceed."""

PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""Statuses after which the same request may succeed."""


class Fault(Exception):
    """A request failed and may be sent again.

    Attributes
    ----------
    lost : there was no connection, or it broke: what answers next may be another server.
    refused : the server said that it has too much to do.
    late : there was no answer in time.
    wait_seconds : how long it asked to be left alone.
    n_tokens : tokens it had sent, which are lost.
    """

    def __init__(
        self,
        reason: str,
        *,
        lost: bool = False,
        refused: bool = False,
        late: bool = False,
        wait_seconds: float = 0.0,
        n_tokens: int = 0,
    ) -> None:
        self.lost, self.refused, self.wait_seconds = lost, refused, wait_seconds
        self.late, self.n_tokens = late, n_tokens
        super().__init__(reason)


class AnotherModel(InputError):
    """The server does not serve what it should."""


class NotAllowed(InputError):
    """The server wants other credentials."""


def pause_seconds(n_failures: int, rng: random.Random) -> float:
    """How long to wait after so many failures of one request: exponential, with full jitter."""
    return rng.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(n_failures, 10)))


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds of a Retry-After header, as a number or a date; 0 where there is none to read."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0


def judge(
    status: int, text: str, headers: Mapping[str, str], url: str, config: EndpointModel, key: str
) -> Fault | InputError:
    """What an answer other than 200 means."""
    said = shorten(text.replace(key, "…") if key else text, 300)
    if status in {401, 403}:
        name = config.api_key_env
        return NotAllowed(
            "the endpoint does not accept the credentials"
            if name
            else "the endpoint wants credentials",
            where=url,
            got=f"status {status}" + (f" with the key in {name}" if name else ", no key was sent"),
            hint=f"check the value of {name}"
            if name
            else "put the key into an environment variable and name it with `api_key_env`",
        )
    if status in PASSING or status >= 500:
        wait = retry_after(headers)
        refused = status in {429, 503, 529}
        return Fault(f"status {status}: {said}", refused=refused, wait_seconds=wait)
    if status == 404:
        return InputError(
            "the endpoint has no such model or no /v1/completions",
            where=url,
            got=f"status 404: {said}",
            hint="`served_name` is one of its /v1/models; chat alone is not enough, "
            "since strategies continue what a model wrote",
        )
    return InputError("the endpoint refused a request", where=url, got=f"status {status}: {said}")
