"""`ttscale report` and `ttscale view`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ttscale.cli.options import AsJson, Epsilon, Hardware, Models

Open = Annotated[bool, typer.Option("--open", help="Show it in the browser.")]
Out = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Where to write it; into the run's folder if not given."),
]


def report(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN|POOL|COUNTS.csv…",
            help="Run folders, pools, counts files over the same problems.",
            show_default=False,
        ),
    ],
    out: Out = None,
    hardware: Hardware = None,
    model: Models = None,
    epsilon: Epsilon = 0.01,
    n_bootstrap: Annotated[
        int, typer.Option(min=0, help="Refits that give the laws' intervals.")
    ] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Of resamples.")] = 0,
    figures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write every figure as SVG and its data as CSV too."),
    ] = None,
    show: Open = False,
    as_json: AsJson = False,
) -> None:
    """Write a report as one page: the answer, figures, samples and trees, where it comes from."""
    from ttscale.report.command import make_report
    from ttscale.report.content import Options
    from ttscale.run.display import make_display

    options = Options(hardware, tuple(model or ()), epsilon, n_bootstrap, seed)
    _told(make_report(sources, out, options, make_display().say, figures=figures), show, as_json)


def view(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|POOL", help="A run's folder, or a pool with responses.", show_default=False
        ),
    ],
    problem: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this problem. Repeatable.")
    ] = None,
    out: Out = None,
    show: Open = False,
    as_json: AsJson = False,
) -> None:
    """Write the samples and search trees of a run as one page, to be read, searched and linked."""
    from ttscale.report.command import make_view

    _told(make_view(source, out, problem or ()), show, as_json)


def _told(page: Path, show: bool, as_json: bool) -> None:
    """Say where a page is, and open it if asked to."""
    from ttscale.report.command import open_page
    from ttscale.run.folder import show as shown

    if as_json:
        print(json.dumps({"page": str(page), "n_bytes": page.stat().st_size}))
    else:
        print(f"{shown(page)} ({page.stat().st_size / 1e6:.2f} MB)")
    if show:
        open_page(page)
