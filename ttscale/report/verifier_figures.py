"""Verifiers side by side: what their choices are worth, how they rank, and what they promise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ttscale.report.drawing import (
    DASHES,
    MARKERS,
    Drawing,
    Sheet,
    draw,
    key,
    percent_axis,
    wrapped,
)
from ttscale.report.figures import COLOURS, FAINT, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Record = Mapping[str, Any]

MOST_CURVES = 7
CALIBRATION = ("platt", "isotonic")
ROW = 0.42
"""Inches for one row of dots and its name."""


def verifier_figures(record: Record) -> Iterator[Drawing]:
    """Of a comparison's record (`Comparison.to_json`)."""
    yield choices(record)
    yield ranking(record)
    if drawing := calibration(record):
        yield drawing


def choices(record: Record) -> Drawing:
    """Accuracy of the best of k by each verifier, between random choice and an oracle."""

    def paint(sheet: Sheet) -> Sequence[Record]:
        axes = sheet.figure.add_subplot()
        _samples_axis(axes, record)
        handles, labels, rows = [], [], []
        pool = record["pools"][0]
        lines = [
            (f"best by {each['name']}" + (" (oracle)" if each["oracle"] else ""),
             "best_of", each["curve"])
            for each in _shown(record)
        ]  # fmt: skip
        lines += [
            (label, "estimate", pool[name])
            for name, label in (
                ("majority", "majority vote"), ("oracle", "coverage: the best there is"),
                ("random", "one at random"),
            )
            if pool[name]
        ]  # fmt: skip
        percent_axis(axes, max(p["high"] or 0.0 for *_, curve in lines for p in curve))
        for series, (label, field, curve) in enumerate(lines):
            colour = COLOURS[series % len(COLOURS)]
            k, y, low, high = (
                np.array([np.nan if p[name] is None else p[name] for p in curve], dtype=float)
                for name in ("k", field, "low", "high")
            )
            (line,) = axes.plot(
                k, y, color=colour, linewidth=1.6, markersize=4, markevery=max(len(k) // 6, 1),
                linestyle=DASHES[0] if field == "best_of" else DASHES[1],
                marker=MARKERS[series % len(MARKERS)],
            )  # fmt: skip
            band = axes.fill_between(k, low, high, color=colour, alpha=0.09, linewidth=0)
            sheet.belongs([line, band], series)
            said = [
                f"{label}\nk = {int(p['k']):,}: {_interval(p, field)}" + _cost(p, record)
                for p in curve
            ]
            sheet.say(axes, k, y, said, series)
            handles.append(line)
            labels.append(label)
            rows += [{"selector": label, "k": p["k"], "accuracy": p[field], "low": p["low"],
                      "high": p["high"], f"{record['cost_unit']}_per_problem":
                      p.get("cost_per_problem")} for p in curve]  # fmt: skip
        key(sheet, handles, labels)
        return rows

    more = len(record["verifiers"]) - MOST_CURVES
    caption = "Exact means over all subsets of k samples, with 95 % intervals over problems."
    caption += f" {more} more verifiers are in the table only." if more > 0 else ""
    return draw("verifiers-choices", "What the choice of each verifier is worth", caption, paint,
                height=4.4)  # fmt: skip


def ranking(record: Record) -> Drawing:
    """How often a verifier puts a right sample above a wrong one of the same problem."""
    verifiers = record["verifiers"]

    def paint(sheet: Sheet) -> Sequence[Record]:
        axes = sheet.figure.add_subplot()
        values = [(each["auroc_within"], each["auroc_within_low"], each["auroc_within_high"])
                  for each in verifiers]  # fmt: skip
        names = [each["name"] + (" (oracle)" if each["oracle"] else "") for each in verifiers]
        axes.set_xlabel("chance that a right sample scores above a wrong one (AUROC)")
        axes.axvline(0.5, color=FAINT, linewidth=1, linestyle=DASHES[1])
        dots(sheet, axes, names, values, lambda v: f"{v:.3f}")
        axes.set_xlim(0, 1)
        return [
            {"verifier": each["name"], "auroc_within": each["auroc_within"],
             "low": each["auroc_within_low"], "high": each["auroc_within_high"],
             "auroc": each["auroc"]}
            for each in verifiers
        ]  # fmt: skip

    caption = (
        "Within problems, over those that have right and wrong samples; one half is a coin. "
        "95 % intervals over problems."
    )
    return draw("verifiers-ranking", "How verifiers rank samples of a problem", caption, paint,
                height=0.9 + ROW * len(verifiers))  # fmt: skip


def calibration(record: Record) -> Drawing | None:
    """What scores promise after a cross-fitted scaling, and the share that is right."""
    shown = [
        (each["name"], name, bins)
        for each in _shown(record)
        for name in [next((n for n in CALIBRATION if n in each["calibration"]), None)]
        if name is not None and (bins := each["calibration"][name]["bins"])
    ]
    if not shown:
        return None

    def paint(sheet: Sheet) -> Sequence[Record]:
        axes = sheet.figure.add_subplot()
        percent_axis(axes)
        axes.set_ylabel("share that is right, %")
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(axes.yaxis.get_major_formatter())
        axes.set_xlabel("probability promised, %")
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=DASHES[1])
        handles, rows = [], []
        for series, (verifier, scaling, bins) in enumerate(shown):
            colour = COLOURS[series % len(COLOURS)]
            kept = [b for b in bins if b["n_samples"] and b["probability"] is not None]
            x, y = ([b[name] for b in kept] for name in ("probability", "share_right"))
            error = [1.96 * (b["standard_error"] or 0.0) for b in kept]
            bars = axes.errorbar(
                x, y, yerr=error, color=colour, marker=MARKERS[series % len(MARKERS)],
                markersize=4.5, linewidth=1.2, elinewidth=0.8,
            )  # fmt: skip
            sheet.belongs([bars.lines[0], *bars.lines[2]], series)
            said = [
                f"{verifier}\npromised {100 * b['probability']:.1f} %, right "
                f"{100 * b['share_right']:.1f} %\n{b['n_samples']:,} samples"
                for b in kept
            ]
            sheet.say(axes, x, y, said, series)
            handles.append(bars.lines[0])
            rows += [{"verifier": verifier, "scaling": scaling, **one} for one in kept]
        key(sheet, handles, [f"{verifier} ({scaling})" for verifier, scaling, _ in shown])
        return rows

    caption = (
        "Scores scaled to probabilities on other problems, in ten bins; on the diagonal promises "
        "are kept. Bars are 1.96 standard errors."
    )
    return draw("verifiers-calibration", "What scores promise, and what is right", caption, paint,
                height=4.2)  # fmt: skip


def dots(
    sheet: Sheet,
    axes: Axes,
    names: Sequence[str],
    values: Sequence[tuple[float | None, float | None, float | None]],
    written: Any,
) -> None:
    """A row for each name, read from above: the name over a dot on the line of its interval."""
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    axes.set_ylim(len(names) - 0.35, -0.75)
    for row, (name, (value, low, high)) in enumerate(zip(names, values, strict=True)):
        one_line = wrapped(name, 66).partition("\n")
        axes.annotate(
            one_line[0] + ("…" if one_line[2] else ""), (0, row - 0.3),
            xycoords=("axes fraction", "data"), fontsize=8, color=INK, va="center",
        )  # fmt: skip
        if value is None:
            continue
        if low is not None and high is not None:
            axes.plot([low, high], [row + 0.12] * 2, color=COLOURS[0], linewidth=1.6)
        axes.plot(value, row + 0.12, marker="o", markersize=5.5, color=COLOURS[0], clip_on=False)
        ends = "" if low is None or high is None else f" [{written(low)}, {written(high)}]"
        sheet.say(axes, [value], [row + 0.12], [f"{name}\n{written(value)}{ends}"])


def _shown(record: Record) -> Sequence[Record]:
    """The verifiers that get a line: oracles last, then the better ones first."""

    def best(each: Record) -> tuple[bool, float]:
        return each["oracle"], -max((p["best_of"] or 0.0 for p in each["curve"]), default=0.0)

    return sorted(record["verifiers"], key=best)[:MOST_CURVES]


def _samples_axis(axes: Axes, record: Record) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    most = max(point["k"] for each in record["verifiers"] for point in each["curve"])
    axes.set_xscale("log")
    axes.set_xlim(0.9, max(most, 2) * 1.12)
    step = 1 if most < 100 else 2 if most < 2000 else 3
    axes.set_xticks([2**i for i in range(0, int(most).bit_length(), step)])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda k, _: f"{k:,.0f}"))
    axes.set_xlabel("samples to choose among, k")


def _interval(point: Record, field: str) -> str:
    if point[field] is None:
        return "unknown"
    text = f"{100 * point[field]:.1f} %"
    if point["low"] is None:
        return text
    return f"{text} [{100 * point['low']:.1f}, {100 * point['high']:.1f}]"


def _cost(point: Record, record: Record) -> str:
    cost = point.get("cost_per_problem")
    return "" if cost is None else f"\n{cost:,.4g} {record['cost_unit']} a problem"
