"""`ttscale hardware`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ttscale.cli.options import AsJson


def probe(
    out: Annotated[
        Path | None, typer.Option(help="Where to write the sheet; `this-machine` if not given.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Time for each of the measurements.")] = 2.0,
    as_json: AsJson = False,
) -> None:
    """Measure this machine's arithmetic and memory, and write a hardware sheet of it."""
    from ttscale.cost.probe import probe as measure
    from ttscale.cost.probe import report

    print(report(measure(seconds), out, as_json=as_json))
