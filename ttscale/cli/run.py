"""`ttscale run`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from ttscale.cli.options import Fresh, Results


def run(
    config: Annotated[Path, typer.Argument(help="An experiment's YAML file.", show_default=False)],
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Override a key: benchmark.size=100. Repeatable."
        ),
    ] = None,
    results: Results = Path("results"),
    fresh: Fresh = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run an experiment or a sweep, or go on with one that was stopped."""
    from rich.console import Console

    from ttscale.run.config import load
    from ttscale.run.display import make_display
    from ttscale.run.folder import show
    from ttscale.run.outputs import REPORT
    from ttscale.run.runner import run as run_experiment
    from ttscale.run.tables import print_summary

    folder = run_experiment(load(config, changes or ()), results, make_display(), fresh=fresh)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    if as_json:
        print(json.dumps(summary, ensure_ascii=False))
    else:
        print_summary(summary, Console(width=None if sys.stdout.isatty() else 100))
        print(f"The report is {show(folder / REPORT)}")
