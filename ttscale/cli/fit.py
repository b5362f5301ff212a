"""`ttscale fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ttscale.cli.options import AsJson, Level


def fit(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|POOL|COUNTS.csv",
            help="A run's folder, a pool (a file, or a folder of Parquet files), or a CSV "
            "problem_id,n_samples,n_correct.",
            show_default=False,
        ),
    ],
    law: Annotated[str, typer.Option(help="auto, or one of `ttscale list laws`.")] = "auto",
    fit_up_to: Annotated[
        int | None, typer.Option(metavar="K", help="Hold out what more than K samples show.")
    ] = None,
    k: Annotated[
        str | None, typer.Option("--k", metavar="K,…", help="Numbers of samples to predict.")
    ] = None,
    epsilon: Annotated[
        float, typer.Option(help="The gain of accuracy that no longer pays; 0.01 is a point.")
    ] = 0.01,
    per: Annotated[str, typer.Option(help="What gains it: a sample, or a doubling.")] = "sample",
    price: Annotated[
        str | None, typer.Option(help='What a sample costs, such as "0.002 USD".')
    ] = None,
    worth: Annotated[
        str | None, typer.Option(help='What a point of accuracy is worth: "0.05 USD".')
    ] = None,
    sample_set: Annotated[
        str | None, typer.Option(help="Which of several sets of samples.", show_default=False)
    ] = None,
    level: Level = 0.95,
    n_bootstrap: Annotated[int, typer.Option(min=0, help="Refits that give the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of resamples and starts.")] = 0,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the curves: a .png or .svg file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fit laws of test-time compute: accuracy at any number of samples, and where it saturates."""
    import numpy as np

    from ttscale.cost.estimate import parse_counts
    from ttscale.laws.sampled import choose_samples
    from ttscale.laws.study import Price, study
    from ttscale.laws.terminal import show
    from ttscale.record.samples import read_samples
    from ttscale.report.figures import check_format, draw

    if plot is not None:
        check_format(plot)
    result = study(
        choose_samples(read_samples(source), sample_set),
        law=law,
        fit_up_to=fit_up_to,
        ks=None if k is None else parse_counts(k, "--k"),
        epsilon=epsilon,
        per=per,  # type: ignore[arg-type]  # checked there
        price=Price.parse(price, worth),
        n_bootstrap=n_bootstrap,
        level=level,
        rng=np.random.default_rng(seed),
    )
    show(result.to_json() | {"seed": seed}, as_json=as_json)
    if plot is not None:
        draw(result, plot)
