"""Figures of curves and laws, as PNG or SVG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from ttscale.errors import InputError
from ttscale.laws.sampled import COVERAGE, few
from ttscale.laws.study import Study
from ttscale.laws.terminal import gain_text, saturation_text
from ttscale.record.files import replacing
from ttscale.stats import log_spaced

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

FORMATS = (".png", ".svg")
# Okabe and Ito's colours, told apart by colour-blind readers; coverage is the first.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK, FAINT = "#333333", "#9a9a9a"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "svg.hashsalt": "ttscale",
}
MOST_POINTS = 10  # observed points drawn of a curve
STRIP = 0.055  # height of a saturation mark's row, on the scale of accuracy
LINE = 0.045  # height of a line of a label, as a share of the panel


def check_format(path: Path) -> None:
    """Raises InputError for a file that is neither PNG nor SVG, and without matplotlib."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(
            "a figure is a PNG or an SVG file",
            where="--plot",
            got=str(path),
            hint=str(path.with_suffix(".svg")),
        )
    if not path.parent.is_dir():
        raise InputError("there is no such folder", where="--plot", got=str(path.parent))
    if find_spec("matplotlib") is None:
        raise InputError(
            "figures are drawn by matplotlib, which is not installed",
            where="--plot",
            hint="pip install 'ttscale[plots]'",
        )


def draw(study: Study, path: Path) -> None:
    """Write the figure of a study; the same study gives the same bytes."""
    from matplotlib import rc_context

    check_format(path)
    kind = path.suffix.lower().removeprefix(".")
    with rc_context(STYLE), replacing(path) as temporary:
        metadata = {"Date": None} if kind == "svg" else None
        curve_figure(study).savefig(temporary, format=kind, dpi=160, metadata=metadata)


def curve_figure(
    study: Study,
    groups: Sequence[Sequence[str]] | None = None,
    *,
    titled: bool = True,
    width: float = 5.4,
) -> Figure:
    """Coverage, and beside it the other selectors: samples, laws with bands, saturation marks.

    groups : selectors by panel; those of `panels_of` when left out.
    width : of a panel, inches.
    """
    from matplotlib.figure import Figure

    others = [name for names in panels_of(study) for name in names if name != COVERAGE]
    groups = panels_of(study) if groups is None else groups
    figure = Figure(figsize=(width * len(groups), 4.3), layout="constrained")
    if titled:
        title = _title(study)
        figure.suptitle(title, x=0.012, ha="left", fontsize=10.5, fontweight="bold")
    columns = 4 if len(groups) > 1 else 2
    place = "outside lower left"
    figure.legend(handles=_key(study), loc=place, ncols=columns, frameon=False, fontsize=8)
    panels: Sequence[Axes] = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    reach = _reach(study)
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate([COVERAGE, *others])}
    marks = [[n for n in names if study.records[n]["saturation"]["n"]] for names in groups]
    floor = -STRIP * max(len(names) for names in marks)
    for panel, names, marked in zip(panels, groups, marks, strict=True):
        _axes(panel, study, reach, floor)
        ends = {
            name: _curve(panel, study, name, reach, colours[name], alone=len(names) == 1)
            for name in names
        }
        _label_ends(panel, ends, colours)
        _mark_saturation(panel, study, marked, colours)
    panels[0].set_ylabel("accuracy, %")
    return figure


def panels_of(study: Study) -> list[list[str]]:
    """Selectors that share a panel: coverage alone, then all others but oracles.

    Coverage shows what an oracle finds.
    """
    others = [name for name in study.selectors if name != COVERAGE and not study.is_oracle(name)]
    return [[COVERAGE], others] if others else [[COVERAGE]]


def _title(study: Study) -> str:
    n, metadata = study.curves.n_samples, study.samples.metadata
    about = " on ".join(filter(None, (metadata.get("model"), metadata.get("benchmark"))))
    sizes = f"{n.min():,}" if n.min() == n.max() else f"{n.min():,}–{n.max():,}"
    title = f"{about or study.samples.label}: {len(n):,} problems × {sizes} samples"
    return title + (" (SIMULATED)" if study.samples.simulated else "")


def _reach(study: Study) -> float:
    """The largest k drawn."""
    ends = [float(study.curves.ks[-1]), 2.0]
    ends += [float(study.ks.max())] if any(fit.laws for fit in study.fits.values()) else []
    return max(ends)


def _axes(panel: Axes, study: Study, reach: float, floor: float) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    panel.set_xscale("log")
    panel.set_xlim(0.9, reach * 1.05)
    panel.set_ylim(floor, 1)
    panel.set_yticks(np.linspace(0, 1, 6))
    panel.spines["left"].set_bounds(0, 1)
    if reach < 64:
        ticks = [2**i for i in range(7) if 2**i <= reach]
        panel.set_xticks(ticks)
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda k, _: f"{k:,.0f}"))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f}"))
    panel.set_xlabel("samples per problem, k")
    panel.grid(axis="y", color="#e8e8e8", linewidth=0.7)
    panel.set_axisbelow(True)
    fitted = study.fits[COVERAGE].fitted_to
    if study.fits[COVERAGE].laws and fitted < reach:
        panel.plot([fitted, fitted], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (1, 2)))
        panel.annotate(
            "beyond the fitted data →",
            (fitted, 1),
            xytext=(0, 2),
            textcoords="offset points",
            color=FAINT,
            fontsize=7.5,
        )


def _curve(
    panel: Axes, study: Study, name: str, reach: float, colour: str, *, alone: bool
) -> float:
    """One selector: observed points, held-out ones, the law. Returns where its line ends.

    Bars are drawn of a selector that is alone in its panel: those of several would cross.
    """
    ks, seen = study.curves.ks, study.observed[name]
    hidden = ks > (study.fit_up_to or np.inf)
    for which, face in ((~hidden, colour), (hidden, "white")):
        some = np.flatnonzero(which)
        some = some[few(ks[some].tolist(), MOST_POINTS)]
        below, above = seen.estimate - seen.low, seen.high - seen.estimate
        panel.errorbar(
            ks[some],
            seen.estimate[some],
            yerr=np.array([below[some], above[some]]) if alone else None,
            fmt="o",
            markersize=4.5,
            color=colour,
            markerfacecolor=face,
            markeredgewidth=1.1,
            elinewidth=0.9,
            zorder=3,
        )
    fit = study.fits[name]
    if not fit.laws:
        panel.annotate(
            fill(f"no law of {name}: {fit.reason}", 52),
            (0.03, 0.97),
            xycoords="axes fraction",
            va="top",
            fontsize=8,
            color=colour,
        )
        return float(seen.estimate[-1])
    budgets = np.union1d(log_spaced(int(reach), 60), int(fit.fitted_to))
    law = fit.predict(budgets)
    for part, style, alpha in (
        (budgets <= fit.fitted_to, "-", 0.20 if alone else 0.14),
        (budgets >= fit.fitted_to, (0, (4, 2)), 0.12 if alone else 0.08),
    ):
        panel.plot(budgets[part], law.value[part], color=colour, linewidth=1.6, linestyle=style)
        panel.fill_between(
            budgets[part], law.low[part], law.high[part], color=colour, alpha=alpha, linewidth=0
        )
    return float(law.value[-1])


def _label_ends(panel: Axes, ends: Mapping[str, float], colours: Mapping[str, str]) -> None:
    """Names at the right ends of the lines, moved apart where they would overlap."""
    line = LINE * np.ptp(panel.get_ylim())
    names = sorted(ends, key=lambda name: ends[name])
    labels = [name.replace(":", ":\n") for name in names]
    heights = [line * (1 + label.count("\n")) for label in labels]
    places = _apart([ends[name] for name in names], heights, top=1 + line / 2)
    for name, label, place in zip(names, labels, places, strict=True):
        panel.annotate(
            label,
            (1.015, place),
            xycoords=("axes fraction", "data"),
            color=colours[name],
            va="center",
            fontsize=8.5,
            annotation_clip=False,
        )


def _apart(middles: Sequence[float], heights: Sequence[float], top: float) -> list[float]:
    """Rising middles of boxes, moved up until none overlap, then down until all are below top."""
    places: list[float] = []
    free = -np.inf
    for middle, height in zip(middles, heights, strict=True):
        places.append(max(middle, free + height / 2))
        free = places[-1] + height / 2
    for i in reversed(range(len(places))):
        places[i] = min(places[i], top - heights[i] / 2)
        top = places[i] - heights[i] / 2
    return places


def _mark_saturation(
    panel: Axes, study: Study, names: Sequence[str], colours: Mapping[str, str]
) -> None:
    """Under the curves, where each saturates: a mark at N on the line of its interval."""
    right = panel.get_xlim()[1]
    for row, name in enumerate(names):
        point: Mapping[str, Any] = study.records[name]["saturation"]
        n, low, high = point["n"], point["low"], point["high"]
        y, colour = -STRIP * (row + 0.55), colours[name]
        ends = [low or n, high or (right if low else n)]
        panel.plot(ends, [y, y], color=colour, linewidth=1.2)
        panel.plot(n, y, marker="D", markersize=4.5, color=colour)
        after = ends[1] < right / 8
        panel.annotate(
            saturation_text(point) if high else f"N = {n:,}",
            (ends[1] if after else ends[0], y),
            xytext=(6 if after else -6, 0),
            textcoords="offset points",
            ha="left" if after else "right",
            va="center",
            fontsize=7.5,
            color=colour,
        )


def _key(study: Study) -> list[Line2D]:
    """What the marks mean."""
    from matplotlib.lines import Line2D

    fit = study.fits[COVERAGE]
    point = study.records[COVERAGE]["saturation"]
    level = f"{100 * fit.level:g} % intervals"

    def mark(shape: str, label: str, face: str = INK) -> Line2D:
        return Line2D([], [], marker=shape, markersize=4.5, linestyle="none", color=INK,
                      markerfacecolor=face, label=label)  # fmt: skip

    handles = [mark("o", f"observed, {level}")]
    if study.fit_up_to is not None:
        handles.append(mark("o", "held out", "white"))
    if any(fit.laws for fit in study.fits.values()):
        handles.append(Line2D([], [], color=INK, linewidth=1.6, label=f"law, {level}"))
        step = f"no gain above {gain_text(point['epsilon'])} per {point['per']} after N samples"
        handles.append(mark("D", step))
    return handles
