"""`ttscale serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    config: Annotated[Path, typer.Argument(help="An experiment's YAML file.", show_default=False)],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key. Repeatable."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="TTSCALE_API_KEY",
            help="What clients must send as Authorization: Bearer KEY.",
            show_default=False,
        ),
    ] = None,
    template: Annotated[
        bool,
        typer.Option(
            "--template", help="Put messages as the benchmark puts questions: its prompt, examples."
        ),
    ] = False,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="Requests answered at once; run.concurrency if not given."),
    ] = None,
    queue: Annotated[int, typer.Option(min=0, help="Requests that wait beside them.")] = 256,
    max_body: Annotated[int, typer.Option(min=1, metavar="BYTES", help="Of a request's body.")] = 1
    << 20,
    drain: Annotated[
        int, typer.Option(min=1, metavar="SECONDS", help="For requests in flight at the end.")
    ] = 30,
) -> None:
    """Serve strategies as the models of an OpenAI-compatible endpoint."""
    from ttscale.errors import InputError
    from ttscale.run.config import load
    from ttscale.run.display import make_display

    try:
        from ttscale.serve.server import Settings
        from ttscale.serve.server import serve as serve_experiment
    except ModuleNotFoundError as error:
        if error.name not in {"uvicorn", "starlette", "prometheus_client"}:
            raise
        raise InputError(
            f"the server needs {error.name}, which is not installed",
            hint="pip install 'ttscale[serve]'",
        ) from error

    settings = Settings(
        host=host,
        port=port,
        api_key=api_key,
        template=template,
        concurrency=concurrency,
        queue=queue,
        max_body_bytes=max_body,
        drain_seconds=drain,
    )
    serve_experiment(load(config, changes or ()), settings, make_display())
