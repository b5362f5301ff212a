"""A plan on a terminal: the recommendation as a sentence, then the tables behind it."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ttscale.cost import format_quantity
from ttscale.text import shown

Entry = Mapping[str, Any]
Cost = Callable[[float], str]

WIDTH = 100
MOST_ROWS = 12
LEFT = {"strategy", "bin", "basis", "budgets", ""}


def render(plan: Entry) -> RenderableType:
    """Everything of a plan's record (`Plan.to_json`) a reader wants to see."""
    plan = shown(plan)
    dimension = plan["budget"]["dimension"]

    def cost(amount: float) -> str:
        return format_quantity(amount, dimension)

    parts: list[RenderableType] = [Text(), *_answer(plan, cost), Text()]
    parts += _frontier(plan, cost)
    parts += _allocation(plan, cost)
    for section in plan["verification"]:
        parts += _verification(section, cost)
    parts += _matched(plan)
    parts += [Text(f"· {note}", style="dim") for note in plan["notes"]]
    return Group(*parts)


def as_text(plan: Entry, width: int = WIDTH) -> str:
    """The same as plain text."""
    # force_jupyter: in a notebook rich would show the text there instead of writing it.
    console = Console(
        file=io.StringIO(),
        width=width,
        color_system=None,
        markup=False,
        emoji=False,
        force_jupyter=False,
    )
    console.print(render(plan), highlight=False)
    assert isinstance(console.file, io.StringIO), "it was made above"
    return console.file.getvalue()


def describe(entry: Entry) -> str:
    """What to run, in words."""
    kind, _, verifier = entry["selector"].partition(":")
    n = entry["n"]
    if kind == "strategy":
        return f"run {entry['sample_set']}"
    if kind == "single":
        return "draw one sample a problem"
    ways = {
        "majority": "take the majority's answer",
        "best_of": f"keep the best by {verifier}",
        "weighted_majority": f"take the majority's answer, votes weighted by {verifier}",
        "coverage": "keep one that passes the check",
    }
    return f"draw {n:,} samples a problem and {ways[kind]}"


def _answer(plan: Entry, cost: Cost) -> list[RenderableType]:
    best, near, second = plan["recommendation"], plan["enough"], plan["runner_up"]
    words = describe(best)
    budget = f"{cost(plan['budget']['per_problem'])} a problem"
    if plan["budget"]["problems"]:
        budget = f"{plan['budget']['text']} for {plan['budget']['problems']:,} problems ({budget})"
    lines = [
        f"With {budget}: {words}, {_where(best)}. Expect {_interval(best)} right at "
        f"{cost(best['cost'])} a problem.",
    ]
    if best["extrapolated"]:
        lines.append(
            "That is beyond the samples there are: fitted laws say so, and from few problems they "
            "are often too hopeful."
        )
    lines.append(
        f"One run over {plan['n_problems']} new problems of this kind will show "
        f"{best['run_low']:.3f} to {best['run_high']:.3f} (95 %)."
    )
    if best["cross_fitted"] is not None:
        lines.append(f"Chosen and scored on different problems: {_interval(best['cross_fitted'])}.")
    if second is not None:
        gap = second["difference"]
        lines.append(
            f"It is the best choice in {100 * best['chance_best']:.0f} % of resamples. Next: "
            f"{_short(second)}, {_where(second)}, {-gap['estimate']:+.3f} "
            f"[{-gap['high']:+.3f}, {-gap['low']:+.3f}]."
        )
    if (near["cost"], near["selector"]) != (best["cost"], best["selector"]):
        lines.append(
            f"Enough, less than {_points(near['epsilon'])} below: {describe(near)}, "
            f"{_interval(near)} at {cost(near['cost'])} a problem."
        )
    return [Text(lines[0], style="bold"), *(Text(line) for line in lines[1:])]


def _frontier(plan: Entry, cost: Cost) -> list[RenderableType]:
    rows = plan["frontier"]
    table = _table("strategy", "n", "cost", "accuracy", "")
    best = plan["recommendation"]
    for row in thinned(rows, [(best["cost"], best["accuracy"])]):
        marks = ["law"] if row["extrapolated"] else []
        if row["cost"] > plan["budget"]["per_problem"] * (1 + 1e-9):
            marks.append("over budget")
        if (row["cost"], row["accuracy"]) == (best["cost"], best["accuracy"]):
            marks.append("←")
        table.add_row(
            f"{row['selector'] if row['selector'] != 'strategy' else row['sample_set']}"
            + ("" if _is_lone(plan) else f", {_where(row)}"),
            f"{row['n']:,}" if row["n"] else "–",
            cost(row["cost"]),
            _interval(row),
            ", ".join(marks),
        )
    shown = "" if len(rows) <= MOST_ROWS else f" {len(rows)} points; all with --json."
    bounds = [each["selector"] for each in plan["candidates"] if each["bound"]]
    about = f"Bounds, not offered: {', '.join(dict.fromkeys(bounds))}." if bounds else ""
    return _titled(
        "Frontier: nothing cheaper is as accurate",
        table,
        f"95 % intervals over problems.{shown}",
        *([about] if about else []),
    )


def thinned(rows: Sequence[Entry], keep: Sequence[tuple[float, float]]) -> list[Entry]:
    """At most twelve rows, evenly over the frontier, those of a cost and accuracy kept."""
    if len(rows) <= MOST_ROWS:
        return list(rows)
    places = set(np.rint(np.linspace(0, len(rows) - 1, MOST_ROWS - len(keep))).astype(int).tolist())
    places |= {i for i, row in enumerate(rows) if (row["cost"], row["accuracy"]) in keep}
    return [rows[place] for place in sorted(places)]


def _allocation(plan: Entry, cost: Cost) -> list[RenderableType]:
    found = plan["allocation"]
    if found is None:
        return []
    table = _table("bins", "accuracy", "cost", "uniform", "cost", "gain")
    notes = []
    for name in ("oracle", "predicted"):
        entry = found.get(name)
        if entry is None:
            continue
        if entry["reason"]:
            notes.append(f"{name}: {entry['reason']}.")
            continue
        gain = entry["gain"]
        table.add_row(
            f"{name} ({entry['measure']})",
            f"{entry['bins_accuracy']['accuracy']:.3f}",
            cost(entry["bins_cost"]),
            f"{entry['uniform']['accuracy']:.3f}",
            cost(entry["uniform_cost"]),
            f"{gain['estimate']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]",
        )
        given = "; ".join(_bin(each) for each in entry["bins"])
        notes.append(f"{name}: {given}.")
    if found["upper_bound"]:
        notes.append(
            f"If every problem's own curve were known: {found['upper_bound']['accuracy']:.3f} "
            f"at {cost(found['upper_bound']['cost'])}, an upper bound."
        )
    return _titled("The same budget divided by difficulty (cross-fitted)", table, *notes)


def _bin(entry: Entry) -> str:
    low, high = entry["from"], entry["below"]
    if low is None and high is None:
        reach = "all"
    elif low is None:
        reach = f"below {high:.3g}"
    else:
        reach = f"from {low:.3g}"
    return f"{reach} ({100 * entry['share']:.0f} %) {entry['selector']} n = {entry['n']:,}"


def _verification(section: Entry, cost: Cost) -> list[RenderableType]:
    table = _table("S \\ V", *(f"{v:,}" for v in section["n_verdicts"]))
    for s, row in zip(section["n_solutions"], section["accuracy"], strict=True):
        table.add_row(f"{s:,}", *(f"{value:.3f}" for value in row))
    notes = [f"A verdict costs {section['ratio']:.3g} solutions ({section['ratio_from']})."]
    best, split = section["best"], section["split"]
    if best:
        notes.append(
            f"Within the budget: S = {best['n_solutions']:,}, V = {best['n_verdicts']:,}: "
            f"{_interval(best)} at {cost(best['cost'])}."
        )
    if split and split["exponent_solutions"]["value"] is not None:
        laws = [
            f"{name} ~ C^{e['value']:.2f} [{e['low']:.2f}, {e['high']:.2f}]"
            for name, e in (
                ("S", split["exponent_solutions"]),
                ("V", split["exponent_verdicts"]),
            )
        ]
        notes.append(f"Optimum over budgets: {', '.join(laws)}.")
    title = f"S solutions, V verdicts of {section['verifier']}, {section['source']}"
    return _titled(title, table, *notes)


def _matched(plan: Entry) -> list[RenderableType]:
    parts: list[RenderableType] = []
    pairs = dict.fromkeys((row["small_model"], row["large_model"]) for row in plan["matched"])
    for small_model, large_model in pairs:
        table = _table("basis", "strategy", "n", "accuracy", "single", "difference")
        for row in plan["matched"]:
            if (row["small_model"], row["large_model"]) != (small_model, large_model):
                continue
            ratio = row["inference_over_pretraining"]
            gap, small = row["difference"], row["small"]
            table.add_row(
                "equal inference" if ratio is None else f"R = {ratio:g}",
                row["selector"],
                f"{small['n']:,}" if small else "beyond",
                f"{small['accuracy']:.3f}" if small else "–",
                f"{row['large']['accuracy']:.3f}",
                f"{gap['estimate']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]" if gap else "–",
            )
        title = f"{small_model} asked n times against {large_model} asked once, at equal FLOPs"
        parts += _titled(title, table)
    if parts:
        parts[-1] = Text(
            "R: tokens of inference over tokens of pre-training, both counted. beyond: equal cost "
            "allows more samples than the pool holds.\n",
            style="dim",
        )
    return parts


def _table(*names: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in names:
        left = name in LEFT or name == "bins"
        table.add_column(name, justify="left" if left else "right", no_wrap=not left)
    return table


def _titled(title: str, table: Table, *notes: str) -> list[RenderableType]:
    parts: list[RenderableType] = [Text(title, style="bold")]
    if table.row_count:
        parts.append(table)
    return [*parts, *(Text(note, style="dim") for note in notes), Text()]


def _interval(entry: Entry) -> str:
    return f"{entry['accuracy']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]"


def _points(epsilon: float) -> str:
    points = f"{100 * epsilon:g}"
    return "a point" if points == "1" else f"{points} points"


def _short(entry: Entry) -> str:
    if entry["selector"] == "strategy":
        return str(entry["sample_set"])
    return f"{entry['selector']} at n = {entry['n']:,}"


def _where(entry: Entry) -> str:
    name = entry["sample_set"]
    place = str(entry["source"]) + (
        f" [{name}]" if name and entry["selector"] != "strategy" else ""
    )
    place += " (imported)" if entry["imported"] else ""
    return place + (" (simulated)" if entry["simulated"] else "")


def _is_lone(plan: Entry) -> bool:
    """Whether all candidates come from one sample set."""
    return len({(each["source"], each["sample_set"]) for each in plan["candidates"]}) == 1
