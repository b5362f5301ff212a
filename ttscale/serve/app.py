"""The server's routes as an ASGI application."""

from __future__ import annotations

import time
import uuid

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ttscale.errors import shorten
from ttscale.serve.door import Door
from ttscale.serve.metrics import CONTENT_TYPE, Metrics
from ttscale.serve.refusal import Refusal, engine_died
from ttscale.serve.request import parse
from ttscale.serve.service import Service
from ttscale.serve.stream import EventStream, while_there
from ttscale.serve.wire import Envelope, to_json

GONE = 499
"""Status, for the metrics, of a request whose client has left."""


def make_app(service: Service, door: Door) -> Starlette:
    """The server as an ASGI application."""

    async def chat(request: Request) -> Response:
        door.check_key(request)
        asked = parse(await door.read_body(request))
        request_id = f"chatcmpl-{uuid.uuid4().hex}"
        policy = service.policy
        envelope = Envelope(
            request_id,
            int(time.time()),
            asked.model,
            policy.fingerprint,
            simulated=policy.simulated,
        )
        work = service.begin(asked, request_id)
        if asked.stream:
            return EventStream(work, envelope, include_usage=asked.include_usage)
        reply = await while_there(work, request.receive)
        if reply is None:
            return Response(status_code=GONE)
        return _json(envelope.whole(reply), headers={"x-request-id": request_id})

    async def models(request: Request) -> Response:
        door.check_key(request)
        listed = [_model(service, name) for name in service.arms]
        return _json({"object": "list", "data": listed})

    async def model(request: Request) -> Response:
        door.check_key(request)
        return _json(_model(service, service.arm(request.path_params["name"]).label))

    async def health(_: Request) -> Response:
        if service.death.is_set():
            raise engine_died()
        return _json({"status": "ok"})

    async def metrics(_: Request) -> Response:
        return Response(service.metrics.text(), headers={"content-type": CONTENT_TYPE})

    app = Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/models", models),
            Route("/v1/models/{name:path}", model),
            Route("/health", health),
            Route("/metrics", metrics),
        ],
        exception_handlers={
            Refusal: _refuse,
            HTTPException: _refuse_route,
            ClientDisconnect: _let_go,
        },
        middleware=[Middleware(_Counted, metrics=service.metrics)],
    )
    app.router.redirect_slashes = False
    return app


class _Counted:
    """Counts responses by status."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._responses = app, metrics.responses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._responses.labels(message["status"]).inc()
            await send(message)

        await self._app(scope, receive, counting)


def _model(service: Service, name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": service.started, "owned_by": "ttscale"}


def _json(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(value), status, headers, "application/json")


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal), "this handler is for refusals"
    return _json(error.body, error.status, error.headers)


async def _refuse_route(request: Request, error: Exception) -> Response:
    """What no route answers, or not by this method."""
    assert isinstance(error, HTTPException), "this handler is for routing"
    place = f"{request.method} {shorten(request.url.path)}"
    if error.status_code == 405:
        refusal = Refusal(405, f"Not allowed: {place}.", code="method_not_supported")
    else:
        refusal = Refusal(error.status_code, f"Unknown request URL: {place}.", code="unknown_url")
    return _json(refusal.body, refusal.status, dict(error.headers or {}))


async def _let_go(_: Request, __: Exception) -> Response:
    """The client left before its request was whole."""
    return Response(status_code=GONE)
