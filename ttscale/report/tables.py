"""The tables of a report: names of columns, and rows of texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ttscale.cost import format_quantity
from ttscale.laws.study import Study
from ttscale.report.cost_figures import frontier_rows
from ttscale.report.measured import Measured
from ttscale.report.reading import Material

Record = Mapping[str, Any]
WORDS = {"strategy", "selector", "curve", "verifier", "kind", "law", "parameters", "a", "b"}
"""Columns that are set to the left; numbers are set to the right."""


@dataclass(frozen=True)
class Table:
    """A table; `open` is whether it is unfolded at first."""

    title: str
    rows: Sequence[Mapping[str, str]]
    open: bool = False

    @property
    def names(self) -> list[str]:
        """Of the columns."""
        return list(self.rows[0]) if self.rows else []

    @property
    def numeric(self) -> list[str]:
        """Columns of numbers."""
        return [name for name in self.names if name not in WORDS]


def frontier(measured: Measured) -> Table:
    """The numbered points of the frontier, in the unit that decides."""
    rows = [
        {
            "": str(row["number"]),
            "selector": row["name"],
            "n": f"{row['n']:,}" if row["n"] else "–",
            "cost a problem": row["cost"],
            "right": _interval(row["accuracy"], row["low"], row["high"]),
        }
        for row in frontier_rows(measured, measured.unit)
    ]
    return Table("The frontier, numbered as in the figure", rows, open=True)


def curves(materials: Sequence[Material]) -> Iterator[Table]:
    """pass@k and maj@k of every independent sample set, and how samples ended."""
    for each in materials:
        for entry in each.summary.get("samples", ()):
            rows = [
                {"k": f"{c['k']:,}", "pass@k": _point(c), "maj@k": _point(v)}
                for c, v in zip(entry["pass_at_k"], entry["majority_at_k"], strict=True)
            ]
            if rows:
                yield Table(f"pass@k and maj@k: {entry['name']}, {each.path}", rows)


def laws(study: Study) -> Table:
    """Every fitted law: how it predicted what was held out, its weight, and its parameters."""
    rows = []
    for selector, record in study.records.items():
        for law in record["laws"]:
            parameters = (law["parameters"] or {}).items()
            rows.append(
                {
                    "curve": selector,
                    "law": law["family"] + (" ←" if law["selected"] else ""),
                    "held-out error": _digits(law["heldout_error"]),
                    "weight": _digits(law["weight"]),
                    "parameters": ", ".join(f"{k} {_digits(v['value'])}" for k, v in parameters),
                }
            )
    return Table(f"All laws of {study.samples.label}", rows)


def strategies(material: Material, about: str) -> Table:
    """What every strategy got right, spent, and how its answers ended."""
    rows = []
    for each in material.summary["strategies"]:
        flops = each.get("flops_per_problem")
        row = {
            "strategy": each["label"] + (" (oracle)" if each["oracle"] else ""),
            "right": _interval(each["accuracy"], each["low"], each["high"]),
            "tokens a problem": f"{each['generated_tokens_per_problem']:,.1f}",
        }
        if flops:
            row["FLOPs a problem"] = format_quantity(sum(flops.values()), "flops")
        row |= {
            name: f"{each['n_' + name.replace(' ', '_')]:,}"
            for name in ("no answer", "ungradable", "tied", "failed", "out of budget")
        }
        rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    even = [{name: row.get(name, "–") for name in names} for row in rows]
    return Table("All strategies" + (f", {about}" if about else ""), even, open=True)


def tokens(material: Material, about: str) -> Iterator[Table]:
    """Ledger totals by kind."""
    names = {
        "sequences": "n_sequences",
        "prompt": "n_prompt_tokens",
        "shared": "n_shared_tokens",
        "cached": "n_cached_tokens",
        "generated": "n_generated_tokens",
        "paid": "n_paid_generated_tokens",
    }
    rows = [
        {"kind": kind, **{name: f"{totals[key]:,}" for name, key in names.items()}}
        for kind, totals in material.summary.get("tokens", {}).items()
    ]
    if rows:
        title = (
            "Tokens by kind (shared: ideal prefix reuse; cached: what the engine reported; paid: "
        )
        title += "not replayed from another strategy or run)"
        yield Table(title + (f", {about}" if about else ""), rows)


def verifiers(record: Record) -> list[Table]:
    """Every verifier's numbers, and the paired differences."""
    k = record["k"]
    rows = []
    for each in record["verifiers"]:
        at = next(point for point in each["curve"] if point["k"] == k)
        calibrated: Record = next(iter(each["calibration"].values()), {})
        rows.append(
            {
                "verifier": each["name"] + (" (oracle)" if each["oracle"] else ""),
                f"best of {k}": _interval(at["best_of"], at["low"], at["high"]),
                "share of the gap to coverage": _interval(
                    each["efficiency"], each["efficiency_low"], each["efficiency_high"]
                ),
                "AUROC": _bare(each, "auroc"),
                "AUROC within": _bare(each, "auroc_within"),
                "calibration error": _digits(calibrated.get("ece_debiased")),
                f"cost a score, {record['cost_unit']}": _digits(each["cost_per_score"]),
                "missing": f"{each['n_missing']:,}",
            }
        )
    found = [Table("All verifiers", rows, open=True)]
    pairs = [(f"Differences at k = {k}", record["pairs"])]
    if record["equal_cost"] is not None:
        cost = f"{record['equal_cost']['cost_per_problem']:,.4g} {record['cost_unit']}"
        pairs.append((f"Differences at {cost} a problem, generation and verification together",
                      record["equal_cost"]["pairs"]))  # fmt: skip
    for title, each_pair in pairs:
        if each_pair:
            found.append(Table(title, [_pair(pair) for pair in each_pair]))
    return found


def _pair(pair: Record) -> dict[str, str]:
    low, high = pair["low"], pair["high"]
    return {
        "a": pair["a"],
        "b": pair["b"],
        "k of a": f"{pair['k_a']:,}",
        "k of b": f"{pair['k_b']:,}",
        "a − b, points": f"{100 * pair['difference']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]",
        "p, corrected": _digits(pair["p_value"]),
    }


def _point(point: Record) -> str:
    return _interval(point["estimate"], point["low"], point["high"])


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "–"
    text = f"{100 * value:.1f} %"
    return text if low is None or high is None else f"{text} [{100 * low:.1f}, {100 * high:.1f}]"


def _bare(each: Record, name: str) -> str:
    value, low, high = (each[key] for key in (name, f"{name}_low", f"{name}_high"))
    if value is None:
        return "–"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _digits(number: float | None) -> str:
    return "–" if number is None else f"{number:,.3g}"
