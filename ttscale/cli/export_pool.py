"""`ttscale export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ttscale.cli.options import AsJson


def export_pool(
    source: Annotated[
        Path,
        typer.Argument(metavar="RUN|POOL", help="A run's folder or a pool.", show_default=False),
    ],
    to: Annotated[
        str, typer.Option(help="parquet, jsonl, or hf for a dataset folder.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The file or, for hf, the folder to make.")],
    as_json: AsJson = False,
) -> None:
    """Write a pool as Parquet, as JSONL, or as a Hugging Face dataset folder."""
    from ttscale.formats.exporting import export, show

    show(export(source, to, out), out, as_json=as_json)
