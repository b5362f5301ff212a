"""Laws on a page: what they were fitted to, what they were not shown, and where they saturate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ttscale.laws.sampled import COVERAGE
from ttscale.laws.study import Study
from ttscale.report.drawing import WIDTH, Drawing, Sheet, finish, titled
from ttscale.report.figures import curve_figure, panels_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def law_figures(study: Study, name: str, about: str = "") -> Iterator[Drawing]:
    """Coverage, and the other selectors, each with its law; of one sample set."""
    for names in panels_of(study):
        what = "coverage" if names == [COVERAGE] else "selectors"
        held = study.fit_up_to
        if held is None:
            title = f"The law of {what}, and where it saturates"
            seen = "Lines are laws fitted to all samples; dashed, beyond them."
        else:
            title = f"The law of {what} from k ≤ {held:,}, against what it was not shown"
            seen = f"Hollow points were held out: the law saw k ≤ {held:,} only, and its dashed "
            seen += "part is a prediction of them."
        caption = f"{seen} Bands and bars are 95 % intervals over problems."

        def paint(sheet: Sheet, names: Sequence[str] = names) -> Sequence[Mapping[str, Any]]:
            (axes,) = sheet.figure.axes
            return [row for each in names for row in _say(sheet, axes, study, each)]

        def make(names: Sequence[str] = names) -> Figure:
            return curve_figure(study, [names], titled=False, width=WIDTH)

        suffix = "" if held is None else "-heldout"
        yield finish(f"law-{what}{suffix}-{name}", titled(title, about), caption, paint, make)


def _say(sheet: Sheet, axes: Axes, study: Study, selector: str) -> Iterator[dict[str, Any]]:
    """The observed points and the law's predictions of one selector."""
    record = study.records[selector]
    held = {point["k"]: point for point in record["heldout"]}
    for point in record["curve"]:
        k, value = point["k"], point["estimate"]
        kind = "held out" if k in held else "observed"
        text = f"{selector}, {kind}\nk = {k:,}: {_percent(point, 'estimate', 'low', 'high')}"
        row = {"selector": selector, "kind": kind, "k": k, "estimate": value,
               "low": point["low"], "high": point["high"]}  # fmt: skip
        if k in held:
            said = held[k]
            names = ("prediction", "prediction_low", "prediction_high")
            text += f"\npredicted: {_percent(said, *names)}"
            row |= {name: said[name] for name in names}
        sheet.say(axes, [k], [value], [text])
        yield row
    for point in record["extrapolation"] if record["laws"] else ():
        names = ("prediction", "low", "high")
        if point["prediction"] is None:
            continue
        text = f"{selector}, by the law\nk = {point['k']:,}: {_percent(point, *names)}"
        sheet.say(axes, [point["k"]], [point["prediction"]], [text])
        yield {"selector": selector, "kind": "law", "k": point["k"], "estimate": None,
               "low": point["low"], "high": point["high"],
               "prediction": point["prediction"]}  # fmt: skip


def _percent(point: Mapping[str, Any], value: str, low: str, high: str) -> str:
    if point[value] is None:
        return "no law"
    text = f"{100 * point[value]:.1f} %"
    if point[low] is None or point[high] is None:
        return text
    return f"{text} [{100 * point[low]:.1f}, {100 * point[high]:.1f}]"
