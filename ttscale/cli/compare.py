"""`ttscale compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ttscale.cli.options import AsJson, Hardware, Level


def compare(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN|POOL…",
            help="Run folders and pools over the same problems, with scores.",
            show_default=False,
        ),
    ],
    verifiers: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,…",
            help="Which scores; all if not given. A finished run gets those that it lacks: "
            "judge, prm(aggregate=min).",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="models.NAME=MODEL",
            help="A model that such a verifier asks and the run did not have. Repeatable.",
        ),
    ] = None,
    k: Annotated[
        int | None, typer.Option("--k", help="Samples to choose among; half a pool if not given.")
    ] = None,
    unit: Annotated[
        str, typer.Option(help="Of costs: tokens, flops, seconds, usd …; see --sample-cost.")
    ] = "tokens",
    hardware: Hardware = None,
    model: Annotated[
        str | None, typer.Option(help="A known model or config.json, for FLOPs and bytes.")
    ] = None,
    sample_cost: Annotated[
        float | None, typer.Option(help="What one sample costs, in any unit.")
    ] = None,
    score_cost: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=COST", help="What one score of a verifier costs. Repeatable."),
    ] = None,
    level: Level = 0.95,
    seed: Annotated[int, typer.Option(min=0, help="Of resamples and folds.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare verifiers on the same samples: ranking, selection, calibration, total cost."""
    import numpy as np

    from ttscale.plan.compare import Prices
    from ttscale.plan.compare import compare as compare_verifiers
    from ttscale.plan.compare.terminal import show
    from ttscale.record.samples import read_samples

    prices = Prices.parse(
        unit,
        hardware=hardware,
        model=model,
        sample_cost=sample_cost,
        score_costs=score_cost or (),
    )
    sources = list(dict.fromkeys(sources))
    names = None
    if verifiers is not None:
        from ttscale.run.display import make_display
        from ttscale.run.rescore import add_missing_scores, split_names

        names = add_missing_scores(sources, split_names(verifiers), make_display(), changes or ())
    result = compare_verifiers(
        [each for source in sources for each in read_samples(source)],
        verifiers=names,
        k=k,
        prices=prices,
        level=level,
        rng=np.random.default_rng(seed),
    )
    show(result, as_json=as_json)
