"""Accuracy against what it costs: all curves, and the frontier over strategies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ttscale.cost import format_quantity
from ttscale.plan.candidates import Candidate
from ttscale.plan.figure import AXES
from ttscale.plan.points import Points
from ttscale.report.drawing import (
    DASHES,
    MARKERS,
    Drawing,
    Sheet,
    draw,
    key,
    percent_axis,
)
from ttscale.report.figures import COLOURS, FAINT, INK
from ttscale.report.measured import Measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CURVES = 10
MOST_NUMBERS = 12
BOUNDS = "Dashed lines are bounds: they look at the reference answer, or need answers that check."


def accuracy_figure(measured: Measured, unit: str) -> Drawing:
    """Every curve over the pool, and every strategy that was run at one budget."""
    points = measured.points[unit]
    curves = _curves(points)
    shown, alone = curves[:MOST_CURVES], _alone(points)

    def paint(sheet: Sheet) -> Sequence[Mapping[str, Any]]:
        drawn = np.isin(points.candidate, shown) | np.isin(np.arange(len(points)), alone)
        axes = _axes(sheet, points, unit, float(points.high[drawn].max(initial=0.1)))
        handles, labels, rows = [], [], []
        for series, index in enumerate(shown):
            each, mine = points.candidates[index], np.flatnonzero(points.candidate == index)
            mine = mine[np.argsort(points.cost[mine])]
            colour = COLOURS[series % len(COLOURS)]
            dash = DASHES[1] if each.bound else DASHES[0]
            x, y = points.cost[mine], points.accuracy[mine]
            (line,) = axes.plot(
                x, y, color=colour, linestyle=dash, linewidth=1.6,
                marker=MARKERS[series % len(MARKERS)], markersize=4, markevery=_markers(x),
            )  # fmt: skip
            band = axes.fill_between(
                x, points.low[mine], points.high[mine], color=colour, alpha=0.09, linewidth=0
            )
            sheet.belongs([line, band], series)
            sheet.say(axes, x, y, [_said(points, i, measured, unit) for i in mine], series)
            handles.append(line)
            labels.append(name_of(each, measured))
            rows += _rows(points, mine, unit)
        if len(alone):
            series = len(shown)
            x, y = points.cost[alone], points.accuracy[alone]
            below, above = y - points.low[alone], points.high[alone] - y
            bars = axes.errorbar(
                x, y, yerr=np.array([below, above]), fmt="*", color=INK, markersize=8,
                elinewidth=0.8, markeredgewidth=0, zorder=4,
            )  # fmt: skip
            sheet.belongs([bars.lines[0], *bars.lines[2]], series)
            sheet.say(axes, x, y, [_said(points, i, measured, unit) for i in alone], series)
            handles.append(bars.lines[0])
            labels.append("single, and strategies run at one budget")
            rows += _rows(points, alone, unit)
        key(sheet, handles, labels)
        return rows

    left = f" {len(curves) - len(shown)} more curves are in the data only." * (
        len(curves) > len(shown)
    )
    caption = (
        f"Means over {points.n_problems:,} problems, with 95 % intervals over problems; whole-pool "
        f"estimates, verification paid for. {BOUNDS}{left}"
    )
    return draw(f"accuracy-{unit}", f"Accuracy against {AXES[unit]}", caption, paint, height=4.6)


def frontier_figure(measured: Measured, unit: str) -> Drawing:
    """Everything that may be run, and what nothing cheaper matches."""
    points = measured.points[unit]
    best = measured.frontier(unit)

    def paint(sheet: Sheet) -> Sequence[Mapping[str, Any]]:
        offered = np.flatnonzero(points.allowed)
        axes = _axes(sheet, points, unit, float(points.high[offered].max()))
        axes.plot(
            points.cost[offered], points.accuracy[offered], linestyle="none", marker="o",
            markersize=3, color=FAINT, alpha=0.55, markeredgewidth=0,
        )  # fmt: skip
        x, y = points.cost[best], points.accuracy[best]
        axes.fill_between(
            x, points.low[best], points.high[best], color=COLOURS[0], alpha=0.12, linewidth=0,
            step="post",
        )  # fmt: skip
        axes.step(x, y, where="post", color=COLOURS[0], linewidth=1.6)
        axes.plot(x, y, linestyle="none", marker="o", markersize=4.5, color=COLOURS[0])
        for number, place in enumerate(_thinned(x), start=1):
            axes.annotate(
                str(number), (x[place], y[place]), xytext=(0, 7), textcoords="offset points",
                ha="center", fontsize=8, fontweight="bold", color=INK,
            )  # fmt: skip
        sheet.say(
            axes, points.cost[offered], points.accuracy[offered],
            [_said(points, i, measured, unit) for i in offered],
        )  # fmt: skip
        return _rows(points, best, unit)

    caption = (
        "The line is what nothing cheaper matches, with its 95 % interval over problems; grey is "
        "everything else that may be run."
    )
    return draw(f"frontier-{unit}", f"The frontier in {AXES[unit]}", caption, paint)


def frontier_rows(measured: Measured, unit: str) -> list[dict[str, Any]]:
    """The numbered points of the frontier's figure, for the table under it."""
    points, best = measured.points[unit], measured.frontier(unit)
    return [
        {
            "number": number,
            "name": name_of(points.of(i), measured),
            "n": int(points.n[i]) or None,
            "cost": format_quantity(float(points.cost[i]), unit),
            "accuracy": float(points.accuracy[i]),
            "low": float(points.low[i]),
            "high": float(points.high[i]),
        }
        for number, i in enumerate(best[_thinned(points.cost[best])], start=1)
    ]


def name_of(each: Candidate, measured: Measured) -> str:
    """How figures and tables call a candidate: with its source where there are several."""
    name = each.sample_set if each.selector == "strategy" else each.selector
    places = {(one.samples.source, one.samples.name) for one in measured.sources.sources}
    if len({source for source, _ in places}) > 1:
        name += f", {each.source}"
    if len(places) > 1 and each.selector != "strategy" and each.sample_set:
        name += f" [{each.sample_set}]"
    return name + (" (oracle)" if each.bound and each.selector != "coverage" else "")


def _axes(sheet: Sheet, points: Points, unit: str, most: float) -> Axes:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes = sheet.figure.add_subplot()
    axes.set_xscale("log")
    low, high = float(points.cost.min()), float(points.cost.max())
    axes.set_xlim(low / 1.25, max(high, low * 1.5) * 1.25)
    between = (1.0, 2.0, 5.0) if high / low < 60 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=between, numticks=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _amount(x, unit)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"{AXES[unit]} a problem")
    percent_axis(axes, most)
    return axes


def _amount(x: float, unit: str) -> str:
    """A tick: a number with the prefix of its unit, such as `10 G`."""
    if unit in {"samples", "tokens"}:
        return f"{x:,.0f}" if x >= 1 else f"{x:g}"
    text = format_quantity(x, unit)
    return text.removesuffix(" USD").removesuffix("FLOPs").strip()


def _curves(points: Points) -> list[int]:
    """Candidates with more than one point: bounds first, then by their best accuracy."""
    found = []
    for index, each in enumerate(points.candidates):
        mine = points.candidate == index
        if mine.sum() > 1:
            found.append((each.selector != "coverage", -points.accuracy[mine].max(), index))
    return [index for *_, index in sorted(found)]


def _alone(points: Points) -> Any:
    """Points that are on no curve: one sample, and strategies that were run at one budget."""
    alone = {"single", "strategy"}
    return np.array(
        [i for i in range(len(points)) if points.of(i).selector in alone], dtype=np.int64
    )


def _markers(costs: Any) -> list[int]:
    """Which points of a curve get a marker: about eight, evenly on a logarithmic axis."""
    wanted = np.geomspace(costs[0], costs[-1], 8)
    return sorted({int(np.abs(np.log(costs / one)).argmin()) for one in wanted})


def _thinned(costs: Any) -> list[int]:
    """Places of the frontier that get a number, so far apart that no two numbers overlap."""
    logs = np.log(costs)
    gap = max(float(logs[-1] - logs[0]), 1e-9) / MOST_NUMBERS
    kept = [len(logs) - 1]
    for place in reversed(range(len(logs))):
        if logs[kept[-1]] - logs[place] >= gap:
            kept.append(place)
    return kept[::-1]


def _said(points: Points, index: int, measured: Measured, unit: str) -> str:
    each, n = points.of(index), int(points.n[index])
    name = name_of(each, measured) + (f", n = {n:,}" if n else "")
    return (
        f"{name}\n{100 * points.accuracy[index]:.1f} % "
        f"[{100 * points.low[index]:.1f}, {100 * points.high[index]:.1f}]\n"
        f"{format_quantity(float(points.cost[index]), unit)} a problem"
    )


def _rows(points: Points, which: Any, unit: str) -> list[dict[str, Any]]:
    return [
        {
            "source": points.of(i).source,
            "sample_set": points.of(i).sample_set,
            "selector": points.of(i).selector,
            "simulated": points.of(i).simulated,
            "n": int(points.n[i]) or None,
            f"{unit}_per_problem": float(points.cost[i]),
            "accuracy": float(points.accuracy[i]),
            "low": float(points.low[i]),
            "high": float(points.high[i]),
        }
        for i in which
    ]
