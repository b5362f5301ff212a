"""`ttscale cost`."""

from __future__ import annotations

from typing import Annotated

import typer

from ttscale.cli.options import AsJson


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
    as_json: AsJson = False,
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
