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

from ttscale.errors import InputError, Interrupted, TTScaleError, closest

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
    from ttscale.run.outputs import REPORT
    from ttscale.run.runner import run as run_experiment
    from ttscale.run.tables import print_summary

    folder = run_experiment(load(config, changes or ()), results, make_display(), fresh=fresh)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    if as_json:
        print(json.dumps(summary, ensure_ascii=False))
    else:
        print_summary(summary, Console(width=None if sys.stdout.isatty() else 100))
        print(f"The report is {show(folder / REPORT)}")


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


hardware_app = typer.Typer(help="Machines: what they can do.", no_args_is_help=True)
app.add_typer(hardware_app, name="hardware")


@app.command()
def cost(
    model: Annotated[
        str, typer.Option(help="A known model, a config.json or its folder.", show_default=False)
    ],
    hardware: Annotated[str, typer.Option(help="A known machine or a sheet.", show_default=False)],
    prompt: Annotated[str, typer.Option(help="Prompt tokens; commas make a sweep.")] = "256",
    generate: Annotated[str, typer.Option(help="Tokens per sample; commas too.")] = "1024",
    samples: Annotated[str, typer.Option(help="Samples; commas too.")] = "1",
    attention: Annotated[
        str, typer.Option(help="dense, window:N, topk:N, block_topk:N or quest:N.")
    ] = "dense",
    mode: Annotated[
        str, typer.Option(help="roofline, kinetics (as published) or kinetics_compat.")
    ] = "roofline",
    batch: Annotated[
        float | None, typer.Option(help="Sequences decoded together; the samples if not given.")
    ] = None,
    devices: Annotated[int, typer.Option(help="Devices that split the model.")] = 1,
    weights: Annotated[str | None, typer.Option(help="bf16, fp8, int4:group=128 …")] = None,
    kv: Annotated[str | None, typer.Option(help="The same for the KV cache.")] = None,
    prefills: Annotated[int, typer.Option(help="Prompts processed; 1 if shared.")] = 1,
    chunk: Annotated[int | None, typer.Option(help="Most prompt tokens in one pass.")] = None,
    shared_reads: Annotated[
        bool | None,
        typer.Option(help="Whether one read of the prompt's cache serves all samples."),
    ] = None,
    intensity: Annotated[
        float | None, typer.Option(help="FLOPs per byte in eFLOPs; the machine's if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Price one problem: FLOPs, bytes, eFLOPs, seconds, dollars, joules; what fits in memory."""
    from ttscale.cost import Architecture, Hardware, Question
    from ttscale.cost.estimate import parse_counts, sweep
    from ttscale.cost.terminal import show

    question = Question(
        prompt=0,
        generate=0,
        attention=attention,
        mode=mode,  # type: ignore[arg-type]  # checked there
        batch=batch,
        prefills=prefills,
        shared_reads=shared_reads,
        chunk=chunk,
        intensity=intensity,
    )
    results = sweep(
        Architecture.from_config(model).with_precision(weights, kv),
        Hardware.load(hardware).times(devices),
        question,
        prompts=parse_counts(prompt, "--prompt"),
        generates=parse_counts(generate, "--generate"),
        samples=parse_counts(samples, "--samples"),
    )
    show(results, as_json=as_json)


@hardware_app.command()
def probe(
    out: Annotated[
        Path | None, typer.Option(help="Where to write the sheet; `this-machine` if not given.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Time for each of the measurements.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Measure this machine's arithmetic and memory, and write a hardware sheet of it."""
    from ttscale.cost.probe import probe as measure
    from ttscale.cost.probe import report

    print(report(measure(seconds), out, as_json=as_json))


def main() -> None:
    """Run the command line; turn errors into one message and an exit status."""
    try:
        app()
    except InputError as error:
        print(f"ttscale: {error}", file=sys.stderr)
        sys.exit(2)
    except Interrupted as error:
        print(f"ttscale: {error}", file=sys.stderr)
        sys.exit(130)
    except KeyboardInterrupt:
        print("ttscale: stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except TTScaleError as error:
        print(f"ttscale: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)


if __name__ == "__main__":
    main()
