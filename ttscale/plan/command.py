"""Behind `ttscale plan`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ttscale.plan.plan import Plan


def show(plan: Plan, *, as_json: bool, plot: Path | None) -> None:
    """Print a plan on stdout, as one JSON object or as tables, and draw it if asked to."""
    from rich.console import Console

    from ttscale.plan.figure import draw
    from ttscale.plan.terminal import WIDTH, render

    content = plan.to_json()
    if plot is not None:
        draw(content, plot)
    if as_json:
        print(json.dumps(content, ensure_ascii=False))
        return
    width = None if sys.stdout.isatty() else WIDTH
    Console(width=width, markup=False, emoji=False).print(render(content), highlight=False)
    if plot is not None:
        print(f"The figure is {plot}")
