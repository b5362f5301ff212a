"""The command line: thin commands over the packages below.

Exit status: 0 done, 1 the run failed, 2 the input is wrong, 130 interrupted. `--json` prints one
JSON object on stdout and nothing else there; progress and messages go to stderr.

Imports stay inside the commands, so that `ttscale --help` starts without torch, vllm or scipy.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from ttscale.errors import InputError, TTScaleError, closest

app = typer.Typer(
    name="ttscale",
    help="Test-time compute scaling of language models: run strategies, fit laws, plan budgets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="An experiment's YAML file.", show_default=False)],
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Override a key: benchmark.size=100. Repeatable."
        ),
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder that run folders are made in.")] = Path(
        "results"
    ),
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew; an earlier run is kept under another name.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run an experiment or a sweep, or go on with one that was stopped."""
    from rich.console import Console

    from ttscale.run.config import load
    from ttscale.run.display import make_display
    from ttscale.run.folder import show
    from ttscale.run.runner import run as run_experiment
    from ttscale.run.tables import print_summary

    folder = run_experiment(load(config, changes or ()), results, make_display(), fresh=fresh)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    if as_json:
        print(json.dumps(summary, ensure_ascii=False))
    else:
        print_summary(summary, Console())
        print(f"\nThe run is in {show(folder)}")


@app.command(name="list")
def list_names(
    what: Annotated[
        str, typer.Argument(help="strategies, verifiers, benchmarks or models.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """List what can be named in a configuration."""
    from ttscale.listing import KINDS, listing

    if what not in KINDS:
        raise InputError("there is no such list", got=what, hint=closest(what, KINDS))
    entries = listing(what)
    if as_json:
        print(json.dumps(entries, ensure_ascii=False))
        return
    width = max((len(name) for name in entries), default=0)
    for name, about in entries.items():
        print(f"{name:{width}}  {about}".rstrip())


def main() -> None:
    """Run the command line; turn errors into one message and an exit status."""
    try:
        app()
    except InputError as error:
        print(f"ttscale: {error}", file=sys.stderr)
        sys.exit(2)
    except TTScaleError as error:
        print(f"ttscale: {error}", file=sys.stderr)
        sys.exit(130 if type(error).__name__ == "Interrupted" else 1)
    except BrokenPipeError:
        sys.exit(1)


if __name__ == "__main__":
    main()
