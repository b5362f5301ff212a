"""A plan as a picture: accuracy against cost, the frontier, the budget and what it buys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttscale.record.files import replacing
from ttscale.report.figures import COLOURS, STYLE, check_format

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AXES = {
    "flops": "FLOPs",
    "eflops": "eFLOPs",
    "bytes": "bytes of memory traffic",
    "seconds": "seconds of the machine",
    "usd": "USD",
    "joules": "joules",
    "samples": "samples",
    "tokens": "generated tokens",
}


def draw(plan: Mapping[str, Any], path: Path) -> None:
    """Write the figure of a plan's record (`Plan.to_json`) as PNG or SVG.

    Raises InputError for another ending, and where matplotlib is not installed.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    check_format(path)
    kind = path.suffix.lower().removeprefix(".")
    with rc_context(STYLE), replacing(path) as temporary:
        figure = Figure(figsize=(8, 5), layout="constrained")
        _paint(plan, figure)
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(temporary, format=kind, dpi=160, metadata=metadata)


def _paint(plan: Mapping[str, Any], figure: Figure) -> None:
    axes = figure.add_subplot()
    one_set = len({(each["source"], each["sample_set"]) for each in plan["candidates"]}) == 1
    for index, each in enumerate(plan["candidates"]):
        name = each["selector"] if each["selector"] != "strategy" else each["sample_set"]
        label = name if one_set else f"{name}, {each['source']} {each['sample_set']}".strip()
        label += " (bound)" if each["bound"] else ""
        label += " (simulated)" if each["simulated"] else ""
        label += " (imported)" if each["imported"] else ""
        colour = COLOURS[index % len(COLOURS)]
        inside = [point for point in each["curve"] if not point["extrapolated"]]
        beyond = [point for point in each["curve"] if point["extrapolated"]]
        alpha = 0.45 if each["bound"] else 1.0
        marker = "o" if len(inside) == 1 else None
        axes.plot(
            *_xy(inside), label=label, marker=marker, markersize=4, color=colour, alpha=alpha,
            linewidth=1.2,
        )  # fmt: skip
        if beyond:
            axes.plot(
                *_xy(inside[-1:] + beyond), linestyle="--", color=colour, alpha=alpha, linewidth=1.2
            )
            low, high = ([point[end] for point in beyond] for end in ("low", "high"))
            axes.fill_between(_xy(beyond)[0], low, high, color=colour, alpha=0.1, linewidth=0)
    axes.plot(*_xy(plan["frontier"]), color="black", linewidth=3, alpha=0.25, label="frontier")
    best = plan["recommendation"]
    reach = [[best["accuracy"] - best["low"]], [best["high"] - best["accuracy"]]]
    axes.errorbar(
        best["cost"], best["accuracy"], yerr=reach, color="black", marker="D", capsize=4,
        zorder=5, label="recommended, 95 % interval", linestyle="none",
    )  # fmt: skip
    budget = plan["budget"]
    axes.axvline(budget["per_problem"], color="black", linestyle=":", label="budget")
    axes.set_xscale("log")
    axes.set_xlabel(f"{AXES[budget['dimension']]} a problem")
    axes.set_ylabel("accuracy")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="best", frameon=False)


def _xy(points: list[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    return [point["cost"] for point in points], [point["accuracy"] for point in points]
