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


@app.command()
def fit(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|POOL|COUNTS.csv",
            help="A run's folder, a pool, or a CSV problem_id,n_samples,n_correct.",
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
    level: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    n_bootstrap: Annotated[int, typer.Option(min=0, help="Refits that give the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of resamples and starts.")] = 0,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the curves: a .png or .svg file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
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


@app.command()
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
    hardware: Annotated[
        str | None, typer.Option(help="A known machine or a sheet; for seconds, USD, joules.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[RECORDED=]MODEL", help="A known model or config.json instead. Repeatable."
        ),
    ] = None,
    problems: Annotated[
        int | None, typer.Option(help="The budget is for so many problems together.")
    ] = None,
    verifiable: Annotated[
        bool, typer.Option("--verifiable", help="Answers can be checked for free.")
    ] = False,
    epsilon: Annotated[
        float, typer.Option(help="The accuracy that is not worth paying for; 0.01 is a point.")
    ] = 0.01,
    difficulty: Annotated[
        str, typer.Option(help="Divide the budget by difficulty: all, oracle, predicted or none.")
    ] = "all",
    pilot: Annotated[int, typer.Option(help="Samples difficulty is predicted from.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of resamples and folds.")] = 0,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the plan: a .png or .svg file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
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


@app.command()
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
    hardware: Annotated[
        str | None, typer.Option(help="A known machine or a sheet; for seconds, USD, joules.")
    ] = None,
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
    level: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(min=0, help="Of resamples and folds.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Compare verifiers on the same samples: ranking, selection, calibration, total cost."""
    import numpy as np

    from ttscale.plan.compare import compare as compare_verifiers
    from ttscale.plan.compare_prices import Prices
    from ttscale.plan.compare_terminal import show
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


@app.command(name="train-prm")
def train_prm(
    recipe: Annotated[Path, typer.Argument(help="A recipe's YAML file.", show_default=False)],
    results: Annotated[Path, typer.Option(help="Folder that run folders are made in.")] = Path(
        "results"
    ),
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew; an earlier run is kept under another name.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Make a process reward model: sample, label steps by rollouts, train, and judge it."""
    from ttscale.prm.making import make, show
    from ttscale.prm.recipe import load
    from ttscale.run.display import make_display

    show(make(load(recipe), results, make_display(), fresh=fresh), as_json=as_json)


@app.command(name="list")
def list_names(
    what: Annotated[
        str,
        typer.Argument(
            help="strategies, verifiers, benchmarks, models, hardware or laws.", show_default=False
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """List what configurations and commands can name."""
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
