"""Estimates as tables on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ttscale.cost.units import format_quantity

WIDTH = 100  # columns a table takes where the terminal has fewer, or is not one
PARTS = ("prefill", "decode", "linear", "attention", "head", "total")


def show(results: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Print estimates to stdout, as one JSON object or a table; warnings go to stderr.

    Several estimates are one object as well, `{"sweep": [...]}`.
    """
    for warning in dict.fromkeys(text for result in results for text in result["warnings"]):
        print(f"warning: {warning}", file=sys.stderr)
    if as_json:
        print(json.dumps(results[0] if len(results) == 1 else {"sweep": list(results)}))
    else:
        one = estimate_table(results[0]) if len(results) == 1 else sweep_table(results)
        console = Console(width=max(Console().width, WIDTH), markup=False, emoji=False)
        console.print(one, highlight=False)


def estimate_table(result: dict[str, Any]) -> Group:
    """One estimate: work by phase and part, then prices and memory."""
    title = (
        f"{result['model']} on {result['devices']} × {result['hardware']}: prompt "
        f"{result['prompt']:,}, {result['samples']:,} × {result['generate']:,} tokens, "
        f"{result['attention']}, {result['mode']}"
    )
    work = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("", *PARTS):
        work.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for label, key, dimension in (("FLOPs", "flops", "flops"), ("bytes", "n_bytes", "bytes")):
        row = [format_quantity(result[key][part], dimension) for part in PARTS]
        work.add_row(label, *row)
    lines = Table(box=None, show_header=False, pad_edge=False)
    for label, text in _lines(result):
        lines.add_row(label, text)
    return Group(work, Text(), lines)


def _lines(result: dict[str, Any]) -> list[tuple[str, str]]:
    memory, n_bytes = result["memory"], result["n_bytes"]
    active = result["n_active_parameters"]
    experts = "" if active == result["n_parameters"] else f", {active:,} active"
    return [
        ("cost", format_quantity(result["eflops"], "eflops") + f" (I = {result['intensity']:.4g})"),
        ("time", format_quantity(result["seconds"], "seconds") + " of the machine"),
        ("money", _or_unknown(result["usd"], "usd")),
        ("energy", _or_unknown(result["joules"], "joules")),
        (
            "reads",
            f"weights {format_quantity(n_bytes['weights'], 'bytes')}, "
            f"KV cache {format_quantity(n_bytes['kv'], 'bytes')}",
        ),
        ("parameters", f"{result['n_parameters']:,}{experts}"),
        (
            "memory",
            f"weights {format_quantity(memory['weight_bytes'], 'bytes')}; KV "
            f"{format_quantity(result['kv_bytes_per_token'], 'bytes')} a token, "
            f"{format_quantity(memory['kv_bytes_per_sequence'], 'bytes')} a sequence; "
            f"{memory['n_sequences']:,} sequences fit",
        ),
    ]


def sweep_table(results: Sequence[dict[str, Any]]) -> Table:
    """Several estimates, one a row; what does not vary stands in the title."""
    first = results[0]
    sizes = ("prompt", "generate", "samples")
    varied = [size for size in sizes if len({result[size] for result in results}) > 1]
    fixed = [f"{size} {first[size]:,}" for size in sizes if size not in varied]
    title = f"{first['model']} on {first['devices']} × {first['hardware']}: " + ", ".join(
        [*fixed, first["attention"], first["mode"]]
    )
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    amounts = ("FLOPs", "bytes", "cost", "time", "money", "energy")
    for heading in (*varied, *amounts):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        table.add_row(
            *(f"{result[size]:,}" for size in varied),
            format_quantity(result["flops"]["total"], "flops"),
            format_quantity(result["n_bytes"]["total"], "bytes"),
            format_quantity(result["eflops"], "eflops"),
            format_quantity(result["seconds"], "seconds"),
            _or_unknown(result["usd"], "usd"),
            _or_unknown(result["joules"], "joules"),
        )
    return table


def _or_unknown(value: float | None, dimension: str) -> str:
    return "unknown" if value is None else format_quantity(value, dimension)
