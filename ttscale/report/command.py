"""What `ttscale report` and `ttscale view` do."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ttscale.errors import InputError
from ttscale.record.files import replacing
from ttscale.report.content import Options, Say, content, drawings
from ttscale.report.drawing import Drawing
from ttscale.report.html import write_page
from ttscale.report.reading import Material, read_material
from ttscale.report.traces import BY_THEMSELVES, IN_REPORT, Room, Traces, traces

REPORT, VIEW = "report.html", "view.html"


def make_report(
    paths: Sequence[Path],
    out: Path | None,
    options: Options,
    say: Say,
    *,
    figures: Path | None = None,
) -> Path:
    """Write the report of runs, pools and counts files as one page; returns its path.

    Parameters
    ----------
    out : `report.html` in the folder of the first run, or beside the first pool, when left out.
    figures : a folder for every figure as SVG and its data as CSV.

    Raises InputError.
    """
    page = _page(paths[0], out, REPORT)
    found = content(paths, options, say)
    materials: list[Material] = found.pop("materials")
    made = drawings(found["groups"])
    share = Room(IN_REPORT.in_all // len(materials), IN_REPORT.each)
    viewer = _viewer(materials, [traces(each, share) for each in materials])
    viewer["data"] = {"figures": {d.name: d.said() for d in made}, **viewer["data"]}
    write_page(page, "report.html", found | viewer)
    if figures is not None:
        _write_figures(made, figures)
    return page


def make_view(path: Path, out: Path | None, problems: Sequence[str] = ()) -> Path:
    """Write the samples and trees of a run as one page, whole texts and all; returns its path.

    Raises InputError for a problem that the run does not have, and a run without samples.
    """
    material = read_material(path)
    found = traces(material, BY_THEMSELVES, problems)
    if not found:
        raise InputError(
            "there are no samples to look at",
            where=str(path),
            got="; ".join(material.missing) or "a counts file",
            hint="a run's folder, or a pool with responses",
        )
    page = _page(path, out, VIEW)
    title = str(material.summary.get("name") or path.name)
    about = " on ".join(
        str(part) for part in (material.summary.get("model"), material.summary.get("benchmark"))
        if part
    ) + (" (SIMULATED)" if material.simulated else "")  # fmt: skip
    write_page(page, "view.html", {"title": title, "about": about, **_viewer([material], [found])})
    return page


def open_page(page: Path) -> None:
    """Show a page in the user's browser."""
    webbrowser.open(page.resolve().as_uri())


def _page(first: Path, out: Path | None, name: str) -> Path:
    if out is None:
        return first / name if first.is_dir() else first.with_name(f"{first.stem}.{name}")
    if out.suffix.lower() not in {".html", ".htm"} or not out.parent.is_dir():
        raise InputError(
            "a page is an HTML file in a folder that is there",
            where="--out",
            got=str(out),
            hint=str(out.with_suffix(".html").name),
        )
    return out


def _viewer(materials: Sequence[Material], found: Sequence[Traces]) -> dict[str, Any]:
    """What the viewer's part of a page names."""
    shown = [(m, each) for m, each in zip(materials, found, strict=True) if each]
    data: dict[str, Any] = {}
    if shown:
        data["trace-runs"] = [
            {"label": str(material.path), "problems": each.index} for material, each in shown
        ]
        for run, (_, each) in enumerate(shown):
            data |= {f"trace-{run}-{i}": details for i, details in enumerate(each.details)}
    several = len(shown) > 1
    return {
        "data": data,
        "has_samples": bool(shown),
        "has_trees": any(details["trees"] for _, each in shown for details in each.details),
        "viewer_notes": [
            (f"{material.path}: " if several else "") + each.note + "."
            for material, each in shown
            if each.note
        ],
    }


def _write_figures(made: Sequence[Drawing], folder: Path) -> None:
    """Every figure as SVG, and its data as CSV."""
    if folder.exists() and not folder.is_dir():
        raise InputError("figures go into a folder", where="--figures", got=str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    for drawing in made:
        for ending, text in ((".svg", drawing.alone()), (".csv", drawing.csv())):
            with replacing(folder / f"{drawing.name}{ending}") as temporary:
                temporary.write_text(text, encoding="utf-8")
