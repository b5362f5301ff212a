"""A study as tables on a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ttscale.cost.units import format_quantity
from ttscale.laws.families import POOLED
from ttscale.laws.sampled import few
from ttscale.text import shown

Record = Mapping[str, Any]

WIDTH = 100  # columns a table takes where the terminal has fewer, or is not one
MOST_KS = 8
MOST_LAWS = 3
MOST_SELECTORS = 3  # side by side


def show(record: Record, *, as_json: bool) -> None:
    """Print a study's record to stdout, as one JSON object or as tables."""
    if as_json:
        print(json.dumps(record, ensure_ascii=False, allow_nan=False))
    else:
        console = Console(width=max(Console().width, WIDTH), markup=False, emoji=False)
        console.print(render(record), highlight=False)


def render(record: Record) -> Group:
    """What was read, the curves, the laws, where they saturate, and the notes."""
    record = shown(record)
    return Group(*_heading(record), *_curves(record), *_laws(record), *_ends(record),
                 *_notes(record))  # fmt: skip


def saturation_text(point: Record) -> str:
    """A saturation point: `N = 13 (8 … 20)`, or why there is none."""
    if point["n"] is None:
        return f"cannot tell: {point['reason']}"
    if point["low"] is None:
        return f"N = {point['n']:,} ({point['reason']})"
    high = "beyond" if point["high"] is None else f"{point['high']:,}"
    return f"N = {point['n']:,} ({point['low']:,} … {high})"


def gain_text(epsilon: float) -> str:
    """A gain of accuracy in points: 0.01 is `1 point`."""
    return "1 point" if epsilon == 0.01 else f"{100 * epsilon:.3g} points"


def _selectors(record: Record) -> dict[str, Record]:
    """Every selector's part of the record; coverage's is the record itself."""
    return {"coverage": record, **record["selectors"]}


def _heading(record: Record) -> Iterator[RenderableType]:
    low, high = record["n_samples_per_problem"]
    n = f"{low:,}" if low == high else f"{low:,}–{high:,}"
    about = " on ".join(filter(None, (record["model"], record["benchmark"])))
    name = record["source"] + (f" [{record['sample_set']}]" if record["sample_set"] else "")
    size = f"{record['n_problems']:,} problems × {n} samples"
    yield Text(f"{name}: " + ", ".join(filter(None, (about, size))), style="bold")
    if record["simulated"]:
        yield Text("SIMULATED: these samples come from a simulation.", style="bold")
    if record["imported"]:
        yield Text(f"IMPORTED: these samples were written by {record['imported']}.", style="bold")
    counts = record["counts"]
    ends = [f"{counts['n_correct']:,} right"]
    ends += [
        f"{counts[f'n_{end}']:,} {end}"
        for end in ("truncated", "abstained", "ungradable")
        if counts[f"n_{end}"]
    ]
    yield Text(
        f"{record['n_samples']:,} samples: {', '.join(ends)}; problems never solved: "
        f"{counts['n_never_solved']:,}, always: {counts['n_always_solved']:,}"
    )
    yield Text()


def _curves(record: Record) -> Iterator[RenderableType]:
    """Observed, held-out and predicted accuracy, a few selectors side by side."""
    parts = list(_selectors(record).items())
    for start in range(0, len(parts), MOST_SELECTORS):
        some = dict(parts[start : start + MOST_SELECTORS])
        table = _table("", "k")
        for name, part in some.items():
            heading = name.replace(":", ":\n") + (" (oracle)" if part["oracle"] else "")
            table.add_column(heading, justify="right")
        for label, rows in _sections(record, list(some.values())):
            for i, row in enumerate(rows):
                table.add_row("" if i else label, *row)
        level = f"{100 * record['level']:g} % intervals over problems"
        yield Text(f"Accuracy of k samples, {level}", style="bold")
        yield table
        yield Text()


def _sections(
    record: Record, parts: Sequence[Record]
) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Labels and rows of the accuracy table."""
    seen = ("estimate", "low", "high")
    n_seen = len(record["curve"]) - len(record["heldout"])
    yield (
        "observed",
        [_row(parts, "curve", i, seen) for i in few(_ks(record["curve"][:n_seen]), MOST_KS)],
    )
    said = ("prediction", "prediction_low", "prediction_high")
    for i in few(_ks(record["heldout"]), MOST_KS // 2):
        yield "held out", [_row(parts, "heldout", i, seen)]
        yield "  predicted", [("", *_row(parts, "heldout", i, said)[1:])]
    hidden = _ks(record["heldout"])
    budgets = record["extrapolation"] if record["laws"] else []
    for label, beyond in (("predicted", False), ("beyond data", True)):
        which = [
            i
            for i, point in enumerate(budgets)
            if point["extrapolated"] == beyond and point["k"] not in hidden
        ]
        names = ("prediction", "low", "high")
        yield label, [_row(parts, "extrapolation", i, names) for i in which]


def _ks(points: Sequence[Record]) -> list[int]:
    return [point["k"] for point in points]


def _row(parts: Sequence[Record], key: str, i: int, names: Sequence[str]) -> tuple[str, ...]:
    return (
        f"{parts[0][key][i]['k']:,}",
        *(_interval(*(part[key][i][name] for name in names)) for part in parts),
    )


def _laws(record: Record) -> Iterator[RenderableType]:
    """Coverage's laws with the most weight, and the selected law of each other selector."""
    table = _table("law")
    for name in ("held-out\nerror", "weight"):
        table.add_column(name, justify="right")
    table.add_column("parameters")
    n_left = 0
    for selector, part in _selectors(record).items():
        shown = _shown_laws(part)
        n_left += len(part["laws"]) - len(shown) - (part["selected"] == POOLED)
        if shown:
            table.add_row(f"{selector}, pooled" if part["selected"] == POOLED else selector)
        for law in shown:
            table.add_row(
                f"  {law['family']}",
                "–" if law["heldout_error"] is None else f"{law['heldout_error']:.3f}",
                "–" if law["weight"] is None else f"{law['weight']:.2f}",
                ", ".join(f"{name} {_estimate(e)}" for name, e in law["parameters"].items()),
            )
    if not table.row_count:
        return
    yield Text(f"Laws, fitted to k ≤ {record['fitted_to']:,}", style="bold")
    yield table
    if n_left:
        yield Text(f"{n_left} more laws of less weight or more error: see --json.", style="dim")
    yield Text()


def _shown_laws(part: Record) -> list[Record]:
    """The selected law, or those with the most weight in the pooled one."""
    fitted = [law for law in part["laws"] if law["parameters"]]
    best = [law for law in fitted if law["selected"]]
    return best or sorted(fitted, key=lambda law: -(law["weight"] or 0.0))[:MOST_LAWS]


def _ends(record: Record) -> Iterator[RenderableType]:
    """Where each curve saturates, and where it ends."""
    point, price = record["saturation"], record["saturation_by_price"]
    table = _table("curve")
    table.add_column("N")
    if price:
        table.add_column("N by price")
    table.add_column("limit")
    for selector, part in _selectors(record).items():
        row = [selector, saturation_text(part["saturation"])]
        if price:
            row.append(saturation_text(part["saturation_by_price"]))
        table.add_row(*row, _limit(part))
    gain = f"no gain above {gain_text(point['epsilon'])} per {point['per']} after N samples"
    yield Text(f"Saturation: {gain}", style="bold")
    yield table
    if price:
        each, worth = (
            format_quantity(price[key], price["unit"])
            for key in ("price_per_sample", "worth_of_a_point")
        )
        yield Text(f"By price: a sample costs {each}, a point is worth {worth}.", style="dim")
    yield Text()


def _limit(part: Record) -> str:
    limit = part["asymptote"]
    if limit["value"] is None:
        return "–"
    text = _interval(limit["value"], limit["low"], limit["high"])
    return text if limit["identified"] else f"{text}, not identified"


def _notes(record: Record) -> Iterator[RenderableType]:
    hidden = {law["family"] for law in record["laws"]}
    hidden -= {law["family"] for law in _shown_laws(record)}
    notes = [note for note in record["notes"] if note.partition(":")[0] not in hidden]
    for selector, part in record["selectors"].items():
        notes += [f"{selector}: {note}" for note in part["notes"]]
    if not notes:
        return
    table = Table.grid(padding=(0, 1))
    for note in dict.fromkeys(notes):
        table.add_row("–", Text(note))
    yield table


def _table(*left: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in left:
        table.add_column(name, justify="right" if name == "k" else "left", no_wrap=True)
    return table


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _estimate(estimate: Record) -> str:
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if low is None and high is None:
        return _digits(value)
    return f"{_digits(value)} [{_digits(low)}, {_digits(high)}]"


def _digits(number: float | None) -> str:
    """Three digits; an end that nothing bounds is ∞."""
    if number is None:
        return "∞"
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
