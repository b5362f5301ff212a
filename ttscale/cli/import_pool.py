"""`ttscale import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ttscale.cli.options import AsJson


def import_pool(
    format_name: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="lm-eval, inspect, search-and-learn, large-language-monkeys or table.",
            show_default=False,
        ),
    ],
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE", help="Files of one benchmark and model.", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="POOL", help="Where the pool goes: a .parquet or .jsonl file.")
    ],
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="NAME=COLUMN", help="A table's columns: problem_id=id. Repeatable."
        ),
    ] = None,
    chosen_filter: Annotated[
        str | None, typer.Option("--filter", help="Which of lm-eval's filters gives the answers.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Which metric or scorer says what is right.")
    ] = None,
    extract: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="Take answers out of the responses: last_number, boxed, choice, last_line.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model's name, if the files do not say it.")
    ] = None,
    benchmark: Annotated[
        str | None, typer.Option(help="The benchmark's name, if the files do not say it.")
    ] = None,
    search: Annotated[
        bool, typer.Option("--search", help="The samples are the ends of a search.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a pool of other tools' samples, for fit, plan and compare."""
    from ttscale.formats.exporting import check_pool_name, write_pool
    from ttscale.formats.imported import Choices
    from ttscale.formats.importing import import_files, show
    from ttscale.formats.mapped import parse_columns

    check_pool_name(out)
    choices = Choices(
        filter=chosen_filter,
        metric=metric,
        columns=parse_columns(columns or ()),
        extract=extract,
        model=model,
        benchmark=benchmark,
        search=search,
    )
    done = import_files(format_name, files, choices)
    write_pool(done.pool, out)
    show(done, out, as_json=as_json)
