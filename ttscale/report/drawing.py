"""Figures for a page: drawn once by matplotlib as SVG that follows the page's colours, with the
places a reader can point at and the numbers behind them.

The same SVG is what the page shows, what it prints, and what it offers for download; scripts only
add what is said under the pointer and let series be hidden. So a figure needs no plotting library
in the page, and is there where scripts are off.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from textwrap import fill
from typing import TYPE_CHECKING, Any

from ttscale.errors import InputError
from ttscale.report.figures import COLOURS, FAINT, INK, STYLE
from ttscale.text import visible

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 4.6
"""Inches: on a phone's screen its letters are still of a size to be read."""

GRID = "#e8e8e8"
ROLES = {INK: "ink", FAINT: "faint", GRID: "grid", "#ffffff": "paper"}
ROLES |= {colour.lower(): f"series-{i}" for i, colour in enumerate(COLOURS)}
"""The page's names for the colours of a figure; it has another set of them for the dark."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))

PAGE_STYLE = {
    **STYLE,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",  # letters, to be searched and read aloud
    "text.parse_math": False,  # names may hold dollar signs
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8,
}

FALLBACK = "'DejaVu Sans', Verdana, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"


@dataclass(frozen=True)
class Spot:
    """A place of a figure and what is said there; x and y in the SVG's units, from the top left."""

    x: float
    y: float
    text: str
    series: int = -1


@dataclass(frozen=True)
class Grid:
    """The cells of a heat map: what they are, and their left, top, right, bottom in the SVG."""

    box: tuple[float, ...]
    columns: Sequence[str]
    rows: Sequence[str]
    values: Sequence[Sequence[float | None]]


@dataclass(frozen=True)
class Drawing:
    """A finished figure.

    Attributes
    ----------
    name : of its files; unique in a page.
    title, caption : what it shows, and how to read it.
    svg : one element, ready to stand in a page.
    rows : the data, one mapping for each line.
    spots : what is said under the pointer.
    grid : the cells of a heat map, to be pointed at and clicked.
    """

    name: str
    title: str
    caption: str
    svg: str
    rows: Sequence[Mapping[str, Any]] = ()
    spots: Sequence[Spot] = ()
    grid: Grid | None = None

    def alone(self) -> str:
        """The SVG for a file of its own: colours in place of the page's names for them."""
        return re.sub(r"var\(--[a-z0-9-]+, (#[0-9a-f]{6})\)", r"\1", self.svg) + "\n"

    def said(self) -> dict[str, Any]:
        """What the page's script needs to answer a pointer."""
        spots = [[spot.x, spot.y, spot.series, spot.text] for spot in self.spots]
        return {"spots": spots, "grid": None if self.grid is None else vars(self.grid)}

    def csv(self) -> str:
        """The data as CSV; a text that a spreadsheet would compute has an apostrophe before it."""
        out = io.StringIO()
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        writer = csv.DictWriter(out, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in self.rows)
        return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return "'" + value
    return value


@dataclass
class Sheet:
    """A figure in the making: one matplotlib figure, and what can be pointed at in it."""

    figure: Figure
    _spots: list[tuple[Axes, float, float, str, int]] = field(default_factory=list)
    _n_artists: int = 0
    _cells: tuple[Axes, Sequence[str], Sequence[str], Any] | None = None

    def say(
        self, axes: Axes, xs: Iterable[float], ys: Iterable[float], texts: Iterable[str],
        series: int = -1,
    ) -> None:  # fmt: skip
        """What is said at points, in the axes' data units."""
        self._spots += [
            (axes, float(x), float(y), visible(text), series)
            for x, y, text in zip(xs, ys, texts, strict=True)
        ]

    def belongs(self, artists: Iterable[Artist], series: int) -> None:
        """Let artists be hidden and shown with their series."""
        for artist in artists:
            artist.set_gid(f"series_{series}_{self._n_artists}")
            self._n_artists += 1

    def cells(
        self, axes: Axes, columns: Sequence[str], rows: Sequence[str], values: Any
    ) -> None:  # fmt: skip
        """Let the cells of an image be pointed at: values (rows, columns), NaN for none."""
        self._cells = (axes, columns, rows, values)

    def grid(self) -> Grid | None:
        """The cells' place in the SVG, once the figure has been laid out."""
        if self._cells is None:
            return None
        axes, columns, rows, values = self._cells
        height = self.figure.bbox.height
        left, top = axes.transData.transform((-0.5, -0.5))
        right, bottom = axes.transData.transform((len(columns) - 0.5, len(rows) - 0.5))
        places = (left, height - top, right, height - bottom)
        box = tuple(round(float(place), 1) for place in places)
        cells = [[None if math.isnan(v) else round(float(v), 3) for v in row] for row in values]
        return Grid(box, columns, rows, cells)

    def spots(self) -> list[Spot]:
        """Where the points lie in the SVG, once the figure has been laid out."""
        height = self.figure.bbox.height
        found = []
        for axes, x, y, text, series in self._spots:
            right, up = axes.transData.transform((x, y))
            found.append(Spot(round(right, 1), round(height - up, 1), text, series))
        return found


def draw(
    name: str,
    title: str,
    caption: str,
    paint: Callable[[Sheet], Sequence[Mapping[str, Any]]],
    *,
    height: float = 3.9,
    width: float = WIDTH,
) -> Drawing:
    """A drawing by a function that paints a sheet and returns the data it painted."""
    return finish(name, title, caption, paint, lambda: _blank(width, height))


def finish(
    name: str,
    title: str,
    caption: str,
    paint: Callable[[Sheet], Sequence[Mapping[str, Any]]],
    make: Callable[[], Figure],
) -> Drawing:
    """The same on a figure that another function makes."""
    need_matplotlib()
    from matplotlib import rc_context

    with rc_context({**PAGE_STYLE, "svg.hashsalt": name}):
        sheet = Sheet(make())
        rows = paint(sheet)
        sheet.figure.set_dpi(72)
        out = io.StringIO()
        sheet.figure.savefig(out, format="svg", metadata={"Date": None})
        return Drawing(name, title, caption, inline(out.getvalue(), title), rows,
                       sheet.spots(), sheet.grid())  # fmt: skip


def need_matplotlib() -> None:
    """Raises InputError without matplotlib."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise InputError(
            "figures are drawn by matplotlib, which is not installed",
            where="ttscale report",
            hint="pip install 'ttscale[plots]'",
        )


def _blank(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=72, layout="constrained")


def inline(svg: str, title: str) -> str:
    """A matplotlib SVG as an element of a page: no header, no idle ids, the page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="(series|key)_(\d+)_\d+"', r' data-\1="\2"', svg)
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", svg)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"#[0-9a-fA-F]{6}\b", _role, svg)
    svg = re.sub(r' (?:d|points|x|y)="[^"]*"', _rounded, svg)
    svg = re.sub(r"\s*\n\s*", "\n", svg)
    svg = svg.replace("'DejaVu Sans'", FALLBACK)
    label = escape(visible(title), quote=True)
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1).strip()


def _role(found: re.Match[str]) -> str:
    """A colour as the page's variable, the colour itself where there is no page."""
    colour = found[0].lower()
    return f"var(--{ROLES[colour]}, {colour})" if colour in ROLES else colour


def _rounded(attribute: re.Match[str]) -> str:
    """Coordinates to a hundredth of a point."""
    return re.sub(r"(\.\d\d)\d+", r"\1", attribute[0])


def titled(title: str, about: str) -> str:
    """A title with whose figure it is, where there are several."""
    return f"{title}: {about}" if about else title


def wrapped(label: str, width: int = 30) -> str:
    """A label on lines of at most so many characters, long names broken."""
    return fill(visible(label), width, break_long_words=True) or "–"


def percent_axis(axes: Axes, most: float = 1.0) -> None:
    """Accuracy up, from 0 to the ten per cent above `most`."""
    from matplotlib.ticker import FuncFormatter

    axes.set_ylim(0, min(math.ceil(10 * most + 0.2) / 10, 1.0))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f}"))
    axes.set_ylabel("accuracy, %")


def key(sheet: Sheet, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """A legend under the plot, each entry belonging to the series its handle draws."""
    columns = 2 if max(map(len, labels), default=0) <= 28 else 1
    legend = sheet.figure.legend(
        handles, [wrapped(label, 32 if columns == 2 else 58) for label in labels],
        loc="outside lower left", ncols=columns, handlelength=2.2, columnspacing=1.4,
    )  # fmt: skip
    for series, (handle, text) in enumerate(
        zip(legend.legend_handles, legend.get_texts(), strict=True)
    ):
        for place, artist in enumerate((handle, text)):
            if artist is not None:
                artist.set_gid(f"key_{series}_{place}")
