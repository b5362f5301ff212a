"""Options that several commands take, in the same words everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print a JSON object.")]
Level = Annotated[float, typer.Option(help="Of the intervals.")]
Results = Annotated[Path, typer.Option(help="Folder that run folders are made in.")]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Start anew; an earlier run is kept under another name.")
]
Hardware = Annotated[
    str | None, typer.Option(help="A known machine or a sheet; for seconds, USD, joules.")
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[RECORDED=]MODEL", help="A known model or config.json instead. Repeatable."
    ),
]
Epsilon = Annotated[
    float, typer.Option(help="The accuracy that is not worth paying for; 0.01 is a point.")
]
