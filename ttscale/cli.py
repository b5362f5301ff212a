"""The command line: thin commands over the packages below.

Exit status: 0 done, 1 the run failed, 2 the input is wrong, 130 interrupted. `--json` prints one
JSON object on stdout and nothing else there; progress and messages go to stderr.

Imports stay inside the commands, so that `ttscale --help` starts without torch, vllm or scipy.
"""

from __future__ import annotations

import sys

import typer

from ttscale.errors import InputError, TTScaleError

app = typer.Typer(
    name="ttscale",
    help="Test-time compute scaling of language models: run strategies, fit laws, plan budgets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line; turn errors into one message and an exit status."""
    try:
        app()
    except InputError as error:
        print(f"ttscale: {error}", file=sys.stderr)
        sys.exit(2)
    except TTScaleError as error:
        print(f"ttscale: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)


if __name__ == "__main__":
    main()
