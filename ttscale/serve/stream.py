"""Waiting for a reply together with its client: whole or as a stream of events.

A client that goes away cancels the work, and with it what models are asked for on its behalf.
"""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ttscale.serve.refusal import Refusal, stopping
from ttscale.serve.service import Reply
from ttscale.serve.wire import DONE, WORKING, Envelope, event

KEEP_ALIVE_SECONDS = 5.0
"""Time between comments of a stream that has nothing to say yet."""


async def while_there(work: asyncio.Task[Reply], receive: Receive) -> Reply | None:
    """The reply; None, and the work cancelled, if the client leaves first. Raises Refusal."""
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait([work, leaving], return_when=asyncio.FIRST_COMPLETED)
        return _result(work) if work.done() else None
    finally:
        leaving.cancel()
        work.cancel()


def _result(work: asyncio.Task[Reply]) -> Reply:
    """The reply. Raises Refusal, for work that the server cancelled too."""
    if work.cancelled():
        raise stopping()
    return work.result()


async def _left(receive: Receive) -> None:
    """Wait until the client has closed its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """Server-sent events: the role at once, then comments, then the answer.

    Parameters
    ----------
    work : gives the reply.
    envelope : gives the events.
    include_usage : whether the usage comes at the end.
    """

    def __init__(
        self, work: asyncio.Task[Reply], envelope: Envelope, *, include_usage: bool
    ) -> None:
        super().__init__(
            headers={
                "cache-control": "no-cache",
                "x-accel-buffering": "no",
                "x-request-id": envelope.request_id,
            },
            media_type="text/event-stream",
        )
        del self.headers["content-length"]
        self._work, self._envelope, self._include_usage = work, envelope, include_usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events for as long as the client is there."""
        leaving = asyncio.ensure_future(_left(receive))
        try:
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            await _send_part(send, self._envelope.opening())
            while not self._work.done():
                await asyncio.wait(
                    [self._work, leaving],
                    timeout=KEEP_ALIVE_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if leaving.done():
                    return
                if not self._work.done():
                    await _send_part(send, WORKING)
            await self._send_outcome(send)
        finally:
            leaving.cancel()
            self._work.cancel()

    async def _send_outcome(self, send: Send) -> None:
        try:
            reply = _result(self._work)
        except Refusal as refusal:
            await _send_part(send, event(refusal.body))
        else:
            for piece in self._envelope.pieces(reply, include_usage=self._include_usage):
                await _send_part(send, piece)
        await _send_part(send, DONE, last=True)


async def _send_part(send: Send, body: bytes, *, last: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": not last})
