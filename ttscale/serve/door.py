"""What a request must pass before it is read: the key, and the body's size."""

from __future__ import annotations

import asyncio
import hmac
from typing import NamedTuple

from starlette.requests import Request

from ttscale.serve.refusal import too_large, too_slow, wrong_key

BODY_SECONDS = 30.0
"""Time that a client may take to send a request's body."""

DROPPED_BYTES = 32 << 20
"""How much of a body beyond the limit is read for nothing."""


class Door(NamedTuple):
    """What a request must pass.

    Attributes
    ----------
    api_key : to be sent as `Authorization: Bearer …`; None if there is none.
    max_body_bytes : of a request's body.
    """

    api_key: str | None
    max_body_bytes: int

    def check_key(self, request: Request) -> None:
        """Raise Refusal for a request without the key."""
        if self.api_key is None:
            return
        header = request.headers.get("authorization", "")
        scheme, _, given = header.partition(" ")
        sent = given.strip(" \t").encode("latin-1")  # the bytes that came
        right = hmac.compare_digest(sent, self.api_key.encode())
        if scheme.lower() != "bearer" or not right:
            raise wrong_key(given=bool(header))

    async def read_body(self, request: Request) -> bytes:
        """The body, of which no more than the limit is ever held. Raises Refusal.

        What comes beyond the limit is dropped up to `DROPPED_BYTES`: a client that is still sending
        when its connection is closed would not see why.
        """
        limit = self.max_body_bytes
        length = request.headers.get("content-length", "")
        announced = int(length) if length.isdecimal() else 0
        if announced > limit and "expect" in request.headers:
            raise too_large(limit)  # the client waits to be told
        body, n_bytes = bytearray(), 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.stream():
                    n_bytes += len(part)
                    if n_bytes <= limit:
                        body += part
                    elif n_bytes > limit + DROPPED_BYTES:
                        break
        except TimeoutError as error:
            raise too_slow() from error
        if n_bytes > limit:
            raise too_large(limit)
        return bytes(body)
