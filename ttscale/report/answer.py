"""The answer a report begins with: what to run, what it costs, where it saturates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

from ttscale.cost import format_quantity
from ttscale.laws.families import POOLED
from ttscale.laws.study import Study
from ttscale.laws.terminal import saturation_text
from ttscale.plan.terminal import describe
from ttscale.report.cost_figures import name_of
from ttscale.report.measured import Measured

NAMES = {
    "samples": "samples",
    "tokens": "generated tokens",
    "flops": "FLOPs",
    "bytes": "memory traffic",
    "seconds": "machine time",
    "usd": "price",
}


def answer(measured: Measured, hardware: str | None) -> dict[str, Any]:
    """The recommendation in words and numbers; seconds and USD are those of the hardware."""
    points = measured.points[measured.unit]
    cheap, best = measured.enough, measured.choice.point
    costs = measured.costs(cheap)
    return {
        "headline": _sentence(measured, cheap),
        "accuracy": _percent(points.accuracy[cheap]),
        "ends": f"{_percent(points.low[cheap])} to {_percent(points.high[cheap])} (95 %)",
        "costs": [
            {"name": NAMES[unit], **_amount(amount, unit, hardware)}
            for unit, amount in costs.items()
            if not (unit == "samples" and amount == 0)
        ],
        "lines": list(_lines(measured, cheap, best)),
    }


def _sentence(measured: Measured, point: int) -> str:
    points = measured.points[measured.unit]
    each = points.of(point)
    words = describe(
        {"selector": each.selector, "sample_set": each.sample_set, "n": int(points.n[point])}
    )
    several = len({one.samples.source for one in measured.sources.sources}) > 1
    where = f" ({each.source})" if several else ""
    return f"{words[0].upper()}{words[1:]}{where}."


def _lines(measured: Measured, cheap: int, best: int) -> Sequence[str]:
    points, choice = measured.points[measured.unit], measured.choice
    epsilon = f"{100 * measured.epsilon:g}"
    near = "a point" if epsilon == "1" else f"{epsilon} points"
    lines = []
    if cheap == best:
        lines.append("Nothing that was tried is more accurate.")
    else:
        more = points.cost[best] / points.cost[cheap]
        gap = 100 * (points.accuracy[best] - points.accuracy[cheap])
        lines.append(
            f"It is the cheapest choice less than {near} below the best that was tried: "
            f"{_name(measured, best)}, {_percent(points.accuracy[best])}, which gains {gap:.1f} "
            f"points for {more:.2g} times the cost."
        )
    if choice.runner_up is not None and choice.difference is not None:
        gap = choice.difference
        lines.append(
            f"In {100 * choice.chance_best:.0f} % of resamples of the problems the best is "
            f"{_name(measured, best)}; next is {_name(measured, choice.runner_up)}, "
            f"{_signed(-gap.estimate)} points [{_signed(-gap.high)}, {_signed(-gap.low)}]."
        )
    single = next((i for i in range(len(points)) if points.of(i).selector == "single"), None)
    if single is not None and single != cheap:
        lines.append(
            f"One sample alone is right on {_percent(points.accuracy[single])} of problems, at "
            f"{format_quantity(float(points.cost[single]), measured.unit)} a problem."
        )
    lines.append(
        "Only what was sampled is compared here; “ttscale plan” goes beyond it, and divides a "
        "budget by difficulty."
    )
    return lines


def saturation(study: Study) -> list[dict[str, str]]:
    """Where each curve of a study ends to gain, its limit, and the law that says so."""
    rows = []
    for name, record in study.records.items():
        laws = record["laws"]
        weight = sum((law["weight"] or 0) > 0.01 for law in laws)
        law = f"pooled over {weight} laws" if record["selected"] == POOLED else record["selected"]
        rows.append(
            {
                "curve": name + (" (oracle)" if record["oracle"] else ""),
                "point": saturation_text(record["saturation"]),
                "limit": _limit(record["asymptote"]),
                "law": law if laws else "none",
            }
        )
    return rows


def _limit(limit: Mapping[str, Any]) -> str:
    if limit["value"] is None:
        return "–"
    text = _percent(limit["value"])
    if limit["low"] is not None and limit["high"] is not None:
        text += f" [{_percent(limit['low'])}, {_percent(limit['high'])}]"
    return text if limit["identified"] else f"{text}, not identified"


def _name(measured: Measured, point: int) -> str:
    points = measured.points[measured.unit]
    n = int(points.n[point])
    return name_of(points.of(point), measured) + (f" of {n:,}" if n > 1 else "")


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _amount(amount: float, unit: str, hardware: str | None) -> dict[str, str]:
    """An amount and what it is for: small prices are for a million problems."""
    where = f", on {hardware}" if unit in {"seconds", "usd"} and hardware else ""
    if unit == "usd" and amount < 0.001:
        return {"amount": format_quantity(amount * 1e6, unit), "per": "a million problems" + where}
    text = format_quantity(amount, unit).removesuffix(f" {unit[:-1]}").removesuffix(f" {unit}")
    return {"amount": text, "per": "a problem" + where}


def _signed(gap: SupportsFloat) -> str:
    return f"{100 * float(gap):+.1f}".replace("-", "−")
