"""A server from its settings to its end: the port, the models, the signals."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import FrameType

import uvicorn

from ttscale.benchmark.grading import Grader
from ttscale.errors import InputError, Interrupted, TTScaleError
from ttscale.run.attention import check_attention
from ttscale.run.config import Experiment
from ttscale.run.display import Display
from ttscale.run.models import start_models
from ttscale.run.sweep import arms
from ttscale.serve.app import make_app
from ttscale.serve.door import Door
from ttscale.serve.gate import Gate
from ttscale.serve.reading import check_arms
from ttscale.serve.service import Service
from ttscale.text import visible

FAREWELL_SECONDS = 3
"""For cancelled requests' clients to be told so; then their connections are cut."""


@dataclass(frozen=True)
class Settings:
    """How a server is reached, and what it takes on.

    Attributes
    ----------
    host, port : where it listens; port 0 is any free one.
    api_key : that clients must send; None for none.
    template : whether messages are put as the benchmark puts questions.
    concurrency : requests answered at once; the experiment's `run.concurrency` if None.
    queue : requests that wait beside them.
    max_body_bytes : of a request's body.
    drain_seconds : what requests in flight are given when the server is told to stop.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = None
    template: bool = False
    concurrency: int | None = None
    queue: int = 256
    max_body_bytes: int = 1 << 20
    drain_seconds: int = 30

    def __post_init__(self) -> None:
        if self.api_key is not None and not self.api_key.strip():
            raise InputError("an API key is not empty", where="--api-key")


def serve(experiment: Experiment, settings: Settings, display: Display) -> None:
    """Serve an experiment's strategies until told to stop.

    Raises InputError for what the user can mend, Interrupted after Ctrl-C while models load, and
    TTScaleError when the engine died.
    """
    chosen = arms(experiment)
    check_arms(chosen, experiment.source)
    with _bind(settings) as listener:
        try:
            asyncio.run(_serve(experiment, settings, listener, display))
        except KeyboardInterrupt as error:
            raise Interrupted("stopped before it served anything") from error


async def _serve(
    experiment: Experiment, settings: Settings, listener: socket.socket, display: Display
) -> None:
    async with AsyncExitStack() as stack:
        service = await open_service(stack, experiment, settings, display)
        await Server(service, settings, display.say).run(listener)
    if service.death.is_set():
        raise TTScaleError("the engine died; its log says why")


async def open_service(
    stack: AsyncExitStack, experiment: Experiment, settings: Settings, display: Display
) -> Service:
    """A service with its models started and its grader entered; the stack closes them."""
    config = experiment.config
    grader = Grader(
        config.benchmark,
        workers=config.run.graders,
        time_limit_seconds=config.run.grade_seconds,
    )
    await stack.enter_async_context(grader)
    models = await start_models(stack, config, None, display)
    chosen = arms(experiment)
    check_attention(models.policy, chosen, experiment.source)
    gate = Gate(settings.concurrency or config.run.concurrency, settings.queue)
    service = Service(
        config,
        chosen,
        models,
        grader,
        gate,
        lambda text: display.say(visible(text)),
        template=settings.template,
    )
    stack.push_async_callback(service.close)
    return service


class Server(uvicorn.Server):
    """Listens until a signal comes or the engine dies; then lets requests in flight end.

    A second signal leaves at once.
    """

    def __init__(self, service: Service, settings: Settings, say: Callable[[str], None]) -> None:
        app = make_app(service, Door(settings.api_key, settings.max_body_bytes))
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=settings.drain_seconds + FAREWELL_SECONDS,
            )
        )
        self._service, self._settings, self._say = service, settings, say

    async def run(self, listener: socket.socket) -> None:  # type: ignore[override]
        """Serve until the end."""
        watch = asyncio.ensure_future(self._watch())
        try:
            await self.serve(sockets=[listener])
        finally:
            watch.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        assert sockets, "the server is given the socket that it listens at"
        host, port = sockets[0].getsockname()[:2]
        if self._service.policy.simulated:
            self._say("SIMULATED: these models are a simulation.")
        if self._settings.api_key is None and not _is_loopback(host):
            self._say("warning: whoever reaches this address can use it; --api-key asks for one")
        for name in self._service.arms:
            self._say(f"  {name}")
        shown = f"[{host}]" if ":" in host else host
        self._say(f"serving at http://{shown}:{port}/v1 (Ctrl-C stops)")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, let requests in flight end, and after a while cancel them."""
        loop = asyncio.get_running_loop()
        drained = loop.call_later(self._settings.drain_seconds, self._service.cancel)
        try:
            await super().shutdown(sockets)
        finally:
            drained.cancel()

    async def _watch(self) -> None:
        """End when the engine has died."""
        await self._service.death.wait()
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop in order; at once if told again."""
        if self.should_exit:
            self._say("left at once")
            os._exit(128 + sig)
        self.should_exit = True
        again = "Ctrl-C again" if sig == signal.SIGINT else "again"
        n = self._service.gate.running + self._service.gate.waiting
        self._say(f"stopping; {n} requests in flight may end ({again} leaves at once) …")


def _bind(settings: Settings) -> socket.socket:
    """The port, held before any model is loaded; nobody can connect until there is one."""
    where = f"{settings.host}:{settings.port}"
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise InputError(
            "there is no such address", where="--host", got=settings.host, hint="127.0.0.1"
        ) from error
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        raise InputError(
            "this port is in use" if taken else f"cannot listen there: {error.strerror}",
            where="--port" if taken else "--host, --port",
            got=where,
            hint="another --port, or 0 for any free one",
        ) from error
    return listener


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host == "::1"
