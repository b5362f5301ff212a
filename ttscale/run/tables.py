"""The summary as tables for a terminal."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ttscale.text import shown


def render(summary: Mapping[str, Any]) -> RenderableType:
    """Everything of a summary a user wants to see first."""
    summary = shown(summary)
    parts: list[RenderableType] = [Text()]
    if summary["simulated"]:
        parts.append(Text("SIMULATED: these numbers come from a simulation.", style="bold"))
    if not summary["complete"]:
        parts.append(Text("UNFINISHED: not every strategy has met every problem.", style="bold"))
    for entry in summary["samples"]:
        if entry["pass_at_k"]:
            parts += _curves(entry, summary)
    parts += _strategies(summary)
    parts += _tokens(summary)
    errors = [error for entry in summary["strategies"] for error in entry["errors"]]
    parts += [Text(f"failed: {error}") for error in dict.fromkeys(errors)]
    parts += [Text(f"warning: {warning}") for warning in summary.get("warnings", ())]
    return Group(*parts)


def print_summary(summary: Mapping[str, Any], console: Console) -> None:
    """Print a summary's tables."""
    console.print(render(summary))


def as_text(summary: Mapping[str, Any]) -> str:
    """A summary's tables as plain text."""
    # force_jupyter: in a notebook rich would show the text there instead of writing it.
    console = Console(
        file=io.StringIO(),
        width=100,
        color_system=None,
        markup=False,
        emoji=False,
        force_jupyter=False,
    )
    print_summary(summary, console)
    assert isinstance(console.file, io.StringIO), "it was made above"
    return console.file.getvalue()


def _curves(entry: Mapping[str, Any], summary: Mapping[str, Any]) -> list[RenderableType]:
    low, high = entry["n_samples_per_problem"]
    n = str(low) if low == high else f"{low}–{high}"
    table = _table()
    table.add_column("k", justify="right")
    table.add_column("pass@k", justify="right")
    table.add_column("maj@k", justify="right")
    for coverage, vote in zip(entry["pass_at_k"], entry["majority_at_k"], strict=True):
        table.add_row(str(coverage["k"]), _interval(coverage), _interval(vote))
    return _titled(
        f"{summary['model']} on {summary['benchmark']}: "
        f"{entry['n_problems']} problems × {n} {entry['name']}",
        table,
        "95 % intervals over problems.",
        f"Of {entry['n_samples']:,} samples {entry['n_truncated']:,} were truncated, "
        f"{entry['n_empty']:,} empty, {entry['n_without_answer']:,} without an answer, "
        f"{entry['n_ungradable']:,} ungradable.",
    )


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)


def _titled(title: str, table: Table, *notes: str) -> list[RenderableType]:
    """A table under its title and over its notes, none of them broken by the table's width."""
    return [Text(title, style="bold"), table, *(Text(note, style="dim") for note in notes), Text()]


def _interval(point: Mapping[str, Any], name: str = "estimate") -> str:
    value, low, high = point[name], point["low"], point["high"]
    if value is None:
        return "–"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _strategies(summary: Mapping[str, Any]) -> list[RenderableType]:
    table = _table()
    priced = any(entry.get("flops_per_problem") for entry in summary["strategies"])
    flops = ("FLOPs",) if priced else ()
    for name in ("strategy", "accuracy", "tokens", *flops, "no answer", "ungradable", "ties"):
        first = name == "strategy"  # the one that gives way when the page is narrow
        table.add_column(name, justify="left" if first else "right", no_wrap=not first)
    some_failed = any(entry["n_failed"] for entry in summary["strategies"])
    some_ended = any(entry["n_out_of_budget"] for entry in summary["strategies"])
    if some_failed:
        table.add_column("failed", justify="right")
    if some_ended:
        table.add_column("out of budget", justify="right")
    for entry in summary["strategies"]:
        row = [
            entry["label"] + (" (oracle)" if entry["oracle"] else ""),
            _interval(entry, "accuracy"),
            f"{entry['generated_tokens_per_problem']:,.1f}",
            *([_total_flops(entry)] if priced else []),
            f"{entry['n_no_answer']:,}",
            f"{entry['n_ungradable']:,}",
            f"{entry['n_tied']:,}",
        ]
        if some_failed:
            row.append(f"{entry['n_failed']:,}")
        if some_ended:
            row.append(f"{entry['n_out_of_budget']:,}")
        table.add_row(*row)
    note = "Tokens: generated, for each problem."
    if priced:
        note = "For each problem: tokens generated, and FLOPs of generation and scoring together."
    return _titled("Strategies", table, note)


def _total_flops(entry: Mapping[str, Any]) -> str:
    from ttscale.cost.units import format_quantity

    spent = entry.get("flops_per_problem")
    return format_quantity(sum(spent.values()), "flops").removesuffix("FLOPs") if spent else "–"


def _tokens(summary: Mapping[str, Any]) -> list[RenderableType]:
    rate = summary["tokens_per_second"]
    speed = f"{summary['seconds']:,.1f} s" + (f", {rate:,.0f} generated tokens/s" if rate else "")
    table = _table()
    names = ("kind", "sequences", "prompt", "shared", "cached", "generated", "paid")
    for name in names:
        table.add_column(name, justify="left" if name == "kind" else "right")
    for kind, row in summary["tokens"].items():
        table.add_row(
            kind,
            *(
                f"{row[name]:,}"
                for name in (
                    "n_sequences",
                    "n_prompt_tokens",
                    "n_shared_tokens",
                    "n_cached_tokens",
                    "n_generated_tokens",
                    "n_paid_generated_tokens",
                )
            ),
        )
    return _titled(
        "Tokens",
        table,
        f"{speed}. Shared: ideal prefix reuse; cached: what the engine reported;",
        "paid: generated, not replayed from another strategy or run.",
    )
