"""`ttscale run`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ttscale.cli.options import Fresh, Results

FIGURE = "strategies.svg"
"""The figure's name in a run folder."""


class Command(TyperCommand):
    """A command whose `--ray` takes an address or none, which typer has no word for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write the address that `--ray` alone stands for after it."""
        whole: list[str] = []
        for arg, following in zip(args, [*args[1:], "-"], strict=True):
            whole += [arg, "auto"] if arg == "--ray" and following.startswith("-") else [arg]
        return super().parse_args(ctx, whole)


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
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="[ADDRESS]",
            help="Spread the problems over a Ray cluster: HOST:PORT; without ADDRESS the one this "
            "machine belongs to, or this machine alone.",
            show_default=False,
        ),
    ] = None,
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

    experiment, display = load(config, changes or ()), make_display()
    if ray is None:
        folder = run_experiment(experiment, results, display, fresh=fresh)
    else:
        from ttscale.cluster.driver import run_on_ray

        folder = run_on_ray(experiment, results, display, fresh=fresh, address=ray)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    drawn = _draw(summary, folder / FIGURE)
    if as_json:
        print(json.dumps(summary, ensure_ascii=False))
    else:
        width = None if sys.stdout.isatty() else 100
        print_summary(summary, Console(width=width, markup=False, emoji=False))
        if drawn:
            print(f"Accuracy against cost is drawn in {show(folder / FIGURE)}")
        print(f"As a page, with figures and samples: ttscale report {show(folder)}")
        print(f"The report is {show(folder / REPORT)}")


def _draw(summary: Mapping[str, Any], path: Path) -> bool:
    """Draw several strategies against their costs, where matplotlib is there to do it."""
    if len(summary["strategies"]) < 2 or find_spec("matplotlib") is None:
        return False
    from ttscale.report.strategy_figure import draw_strategies

    draw_strategies(summary, path)
    return True
