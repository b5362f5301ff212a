"""What the strategies of a run got right, against what they cost: a PNG or SVG file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple

from ttscale.cost.units import format_quantity
from ttscale.record.files import replacing
from ttscale.report.figures import COLOURS, FAINT, INK, STYLE, check_format

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COSTS = {
    "tokens": "generated tokens a problem",
    "flops": "FLOPs a problem",
    "seconds": "seconds of the machine a problem",
}


class StrategyPoint(NamedTuple):
    """One strategy of a run.

    Attributes
    ----------
    label : as configured.
    oracle : whether its verifier looks at the reference.
    accuracy, low, high : with its 95 % interval over problems.
    tokens, flops, seconds : what it took a problem, whoever paid for it; seconds are those of the
        machine (`ttscale.cost.machine_seconds`). None where unknown.
    """

    label: str
    oracle: bool
    accuracy: float
    low: float
    high: float
    tokens: float | None
    flops: float | None
    seconds: float | None


def strategy_points(summary: Mapping[str, Any]) -> list[StrategyPoint]:
    """The strategies of a run's `summary.json` that met any problem, in its order."""
    points = []
    for entry in summary["strategies"]:
        if entry["accuracy"] is None:
            continue
        flops = entry.get("flops_per_problem")
        points.append(
            StrategyPoint(
                entry["label"],
                entry["oracle"],
                entry["accuracy"],
                entry["low"],
                entry["high"],
                entry["generated_tokens_per_problem"] or None,
                sum(flops.values()) if flops else None,
                entry.get("machine_seconds_per_problem") or None,
            )
        )
    return points


def unmatched(points: Sequence[StrategyPoint], cost: str) -> list[int]:
    """Indices of the strategies that nothing as cheap or cheaper matches, by rising cost."""
    known = [i for i, point in enumerate(points) if getattr(point, cost) is not None]
    found: list[int] = []
    for i in sorted(known, key=lambda i: (getattr(points[i], cost), -points[i].accuracy)):
        if not found or points[i].accuracy > points[found[-1]].accuracy:
            found.append(i)
    return found


def draw_strategies(summary: Mapping[str, Any], path: Path) -> None:
    """Write the figure of a run's strategies; the same summary gives the same bytes."""
    from matplotlib import rc_context

    check_format(path)
    kind = path.suffix.lower().removeprefix(".")
    with rc_context(STYLE), replacing(path) as temporary:
        metadata = {"Date": None} if kind == "svg" else None
        figure = strategies_figure(summary)
        figure.savefig(temporary, format=kind, dpi=160, metadata=metadata)


def strategies_figure(summary: Mapping[str, Any]) -> Figure:
    """Accuracy against each cost that is known; the strategies that nothing cheaper matches named.

    Oracles are drawn, but are on no frontier: they look at the reference answer.
    """
    from matplotlib.figure import Figure

    points = strategy_points(summary)
    costs = [cost for cost in COSTS if any(getattr(point, cost) is not None for point in points)]
    figure = Figure(figsize=(4.4 * max(len(costs), 1), 5.4), layout="constrained")
    about = f"{summary['model']} on {summary['benchmark']}: {summary['n_problems']:,} problems"
    title = about + (" (SIMULATED)" if summary["simulated"] else "")
    figure.suptitle(title, x=0.012, ha="left", fontsize=10.5, fontweight="bold")
    panels: Sequence[Axes] = figure.subplots(1, max(len(costs), 1), sharey=True, squeeze=False)[0]
    for panel, cost in zip(panels, costs, strict=True):
        _panel(panel, points, cost)
    panels[0].set_ylabel("accuracy, %")
    return figure


def _panel(panel: Axes, points: Sequence[StrategyPoint], cost: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    honest = [point for point in points if not point.oracle]
    best = [honest[i] for i in unmatched(honest, cost)]
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _short(x, cost)))
    panel.set_ylim(0, min(1.0, 1.1 * max(point.high for point in points)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f}"))
    panel.grid(axis="y", color="#e8e8e8", linewidth=0.7)
    panel.set_axisbelow(True)
    for point in points:
        x = getattr(point, cost)
        if x is not None:
            _mark(panel, point, x, named=point in best)
    xs = [getattr(point, cost) for point in best]
    panel.step(
        xs, [p.accuracy for p in best], where="post", color=COLOURS[0], linewidth=1, zorder=2
    )
    for number, (x, point) in enumerate(zip(xs, best, strict=True), start=1):
        panel.annotate(
            str(number),
            (x, point.accuracy),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
            color=COLOURS[0],
            fontsize=9,
            fontweight="bold",
        )
    names = [fill(f"{n}  {p.label}", 52, subsequent_indent="    ") for n, p in enumerate(best, 1)]
    panel.set_xlabel(COSTS[cost] + "\n\nNothing cheaper matches\n" + "\n".join(names), loc="left")


def _short(amount: float, cost: str) -> str:
    """An amount at a tick."""
    if cost == "flops":
        return format_quantity(amount, "flops").removesuffix("FLOPs").strip()
    return f"{amount:,.0f}" if amount >= 1 else f"{amount:g}"


def _mark(panel: Axes, point: StrategyPoint, x: float, *, named: bool) -> None:
    colour = COLOURS[0] if named else FAINT
    panel.errorbar(
        x,
        point.accuracy,
        yerr=[[point.accuracy - point.low], [point.high - point.accuracy]],
        fmt="D" if point.oracle else "o",
        markersize=4.5,
        color=colour,
        markerfacecolor="white" if point.oracle else colour,
        elinewidth=0.9 if named else 0.5,
        alpha=1.0 if named else 0.7,
        zorder=3 if named else 1,
    )
    if point.oracle:
        panel.annotate(
            "oracle", (x, point.accuracy), xytext=(5, 0), textcoords="offset points",
            va="center", fontsize=7.5, color=INK,
        )  # fmt: skip
