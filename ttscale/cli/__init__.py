"""The command line: thin commands over the packages below, one module each.

Exit status: 0 done, 1 the run failed, 2 the input is wrong, 130 interrupted. `--json` prints one
JSON object on stdout and nothing else there; progress and messages go to stderr.

Imports stay inside the commands, so that `ttscale --help` starts without torch, vllm or scipy.
"""

from __future__ import annotations

import sys

import typer

from ttscale.cli import (
    compare,
    cost,
    export_pool,
    fit,
    hardware,
    import_pool,
    listing,
    plan,
    report,
    run,
    serve,
    train_prm,
)
from ttscale.errors import InputError, Interrupted, TTScaleError
from ttscale.text import visible

app = typer.Typer(
    name="ttscale",
    help="Test-time compute scaling of language models: run strategies, fit laws, plan budgets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(cls=run.Command)(run.run)
app.command()(fit.fit)
app.command()(plan.plan)
app.command()(compare.compare)
app.command()(report.report)
app.command()(report.view)
app.command()(serve.serve)
app.command()(train_prm.train_prm)
app.command(name="import")(import_pool.import_pool)
app.command(name="export")(export_pool.export_pool)
app.command(name="list")(listing.list_names)
app.command()(cost.cost)

hardware_app = typer.Typer(help="Machines: what they can do.", no_args_is_help=True)
hardware_app.command()(hardware.probe)
app.add_typer(hardware_app, name="hardware")


def main() -> None:
    """Run the command line; turn errors into one message and an exit status."""
    try:
        app()
    except InputError as error:
        print(f"ttscale: {visible(str(error))}", file=sys.stderr)
        sys.exit(2)
    except Interrupted as error:
        print(f"ttscale: {visible(str(error))}", file=sys.stderr)
        sys.exit(130)
    except KeyboardInterrupt:
        print("ttscale: stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except TTScaleError as error:
        print(f"ttscale: {visible(str(error))}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
