"""`ttscale train-prm`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ttscale.cli.options import Fresh, Results


def train_prm(
    recipe: Annotated[Path, typer.Argument(help="A recipe's YAML file.", show_default=False)],
    results: Results = Path("results"),
    fresh: Fresh = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Make a process reward model: sample, label steps by rollouts, train, and judge it."""
    from ttscale.prm.making import make, show
    from ttscale.prm.recipe import load
    from ttscale.run.display import make_display

    show(make(load(recipe), results, make_display(), fresh=fresh), as_json=as_json)
