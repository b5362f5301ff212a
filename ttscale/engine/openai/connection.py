"""Pooled HTTP connections to an endpoint, and its event streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

import aiohttp
import msgspec

from ttscale.engine.openai.config import EndpointModel, api_key
from ttscale.engine.openai.faults import Fault, judge
from ttscale.engine.openai.wire import Chunk, decode_chunk

CONNECT_SECONDS = 10.0
ASK_SECONDS = 30.0
"""Deadline of a question about the server itself."""

KEEP_SECONDS = 4.0
"""How long an idle connection is kept: below the 5 s after which uvicorn closes it."""

SHOWN_BYTES = 4096
"""How much of an error's body is read."""


class Connection:
    """A pool of connections and what every request carries; made inside a running loop.

    Raises InputError where the key's environment variable is not set.
    """

    def __init__(self, config: EndpointModel) -> None:
        self._config = config
        self._key = api_key(config) or ""
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
        )
        requests = config.requests
        self._stream_time = aiohttp.ClientTimeout(
            total=requests.timeout_seconds,
            sock_connect=min(CONNECT_SECONDS, requests.timeout_seconds),
            sock_read=requests.silence_seconds,
        )
        self._ask_time = aiohttp.ClientTimeout(total=min(ASK_SECONDS, requests.silence_seconds))

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()

    async def ask(
        self, url: str, fields: Mapping[str, Any] | None = None, *, work: bool = False
    ) -> str | None:
        """The text of an answer to GET, or to POST with fields; None for status 404 or 405.

        Raises Fault and InputError. A question that is `work` has as long as a stream.
        """
        method = "GET" if fields is None else "POST"
        data = None if fields is None else msgspec.json.encode(fields)
        try:
            async with self._http.request(
                method,
                url,
                data=data,
                headers=_JSON,
                timeout=self._stream_time if work else self._ask_time,
            ) as response:
                text = await response.text(errors="replace")
                if response.status in {404, 405}:
                    return None
                if response.status != 200:
                    raise judge(
                        response.status, text, response.headers, url, self._config, self._key
                    )
                return text
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _fault(error) from error

    async def stream(self, url: str, fields: Mapping[str, Any]) -> AsyncGenerator[Chunk, None]:
        """The events of an answer to POST, to its end. Leaving the iterator ends the request.

        Raises Fault and InputError.
        """
        try:
            async with self._http.post(
                url, data=msgspec.json.encode(fields), headers=_JSON, timeout=self._stream_time
            ) as response:
                if response.status != 200:
                    text = (await response.content.read(SHOWN_BYTES)).decode(errors="replace")
                    raise judge(
                        response.status, text, response.headers, url, self._config, self._key
                    )
                left = b""
                async for data in response.content.iter_any():
                    *lines, left = (left + data).split(b"\n")
                    for chunk in _chunks(lines):
                        yield chunk
                for chunk in _chunks([left]):
                    yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _fault(error) from error


_JSON = {"Content-Type": "application/json"}


def _chunks(lines: list[bytes]) -> Iterator[Chunk]:
    """Events out of the lines of an event stream; a plain JSON object is one too."""
    for line in lines:
        text = line.removeprefix(b"data:").strip()
        if not text.startswith(b"{"):
            continue
        try:
            yield decode_chunk(text)
        except msgspec.DecodeError as error:
            raise Fault(f"the answer is not what the API promises: {error}") from error


def _fault(error: Exception) -> Fault:
    """A failure of the connection as a fault."""
    if isinstance(error, TimeoutError):
        never = isinstance(error, aiohttp.ConnectionTimeoutError)
        return Fault("no answer in time", lost=never, late=not never)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Fault(text, lost=True)
