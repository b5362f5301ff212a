"""`ttscale plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ttscale.cli.options import AsJson, Epsilon, Hardware, Models


def plan(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN|POOL|COUNTS.csv…",
            help="Run folders, pools, counts files over the same problems.",
            show_default=False,
        ),
    ],
    budget: Annotated[
        str,
        typer.Option(help='"1e15 FLOPs", "60 s", "0.05 USD", "200 J", "64 samples" … a problem.'),
    ],
    hardware: Hardware = None,
    model: Models = None,
    problems: Annotated[
        int | None, typer.Option(help="The budget is for so many problems together.")
    ] = None,
    verifiable: Annotated[
        bool, typer.Option("--verifiable", help="Answers can be checked for free.")
    ] = False,
    epsilon: Epsilon = 0.01,
    difficulty: Annotated[
        str, typer.Option(help="Divide the budget by difficulty: all, oracle, predicted or none.")
    ] = "all",
    pilot: Annotated[int, typer.Option(help="Samples difficulty is predicted from.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of resamples and folds.")] = 0,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the plan: a .png or .svg file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say how many samples to pay for, and of what, within a budget."""
    from ttscale.plan import plan as make_plan
    from ttscale.plan.command import show
    from ttscale.report.figures import check_format

    if plot is not None:
        check_format(plot)
    result = make_plan(
        sources,
        budget,
        hardware=hardware,
        models=model or (),
        problems=problems,
        verifiable=verifiable,
        epsilon=epsilon,
        difficulty=difficulty,  # type: ignore[arg-type]  # checked there
        pilot=pilot,
        seed=seed,
    )
    show(result, as_json=as_json, plot=plot)
