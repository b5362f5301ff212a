"""A comparison of verifiers as tables on a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ttscale.plan.compare.comparison import Comparison
from ttscale.text import shown

WIDTH = 100  # columns a table takes where the terminal has fewer, or is not one
MOST_KS = 6
MOST_PAIRS = 20


def show(comparison: Comparison, *, as_json: bool) -> None:
    """Print a comparison to stdout, as one JSON object or as tables."""
    record = comparison.to_json()
    if as_json:
        print(json.dumps(record, ensure_ascii=False))
    else:
        console = Console(width=max(Console().width, WIDTH), markup=False, emoji=False)
        console.print(tables(record), highlight=False)


def tables(record: Mapping[str, Any]) -> Group:
    """Pools, verifiers, curves, pairs, calibration, ceilings and notes, of `to_json`'s record."""
    record = shown(record)
    parts: list[RenderableType] = [Text(_title(pool, record)) for pool in record["pools"]]
    parts += [Text(), _verifiers(record)]
    for pool in record["pools"]:
        parts += [Text(), _curves(pool, record)]
    if record["pairs"]:
        title = f"Differences at k = {record['k']}"
        parts += [Text(), _pairs(record, record["pairs"], title, same_k=True)]
    if record["equal_cost"] is not None:
        cost = f"{record['equal_cost']['cost_per_problem']:.4g} {record['cost_unit']}"
        title = f"Differences at equal total cost: {cost} a problem"
        parts += [Text(), _pairs(record, record["equal_cost"]["pairs"], title, same_k=False)]
    parts += [Text(), _calibration(record["verifiers"])]
    for verifier in record["verifiers"]:
        if verifier["ceiling"] is not None:
            parts += [Text(), _ceiling(verifier)]
    level = f"{100 * record['level']:.3g}"
    parts += [
        Text(),
        Text(f"{level} % intervals over problems; p-values for pairs, corrected for their number."),
        *(Text(f"Note: {note}.") for note in record["notes"]),
    ]
    return Group(*parts)


def _title(pool: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    low, high = pool["n_samples"]
    size = f"{low}" if low == high else f"{low} to {high}"
    of = " on ".join(str(pool[key]) for key in ("model", "benchmark") if pool[key])
    origin = " (simulated)" if pool["simulated"] else ""
    origin += " (imported)" if pool["imported"] else ""
    return (
        f"{pool['label']}{origin}{': ' + of if of else ''}, {record['n_problems']} problems × "
        f"{size} samples; of {pool['n_rows']} samples {pool['n_correct']:.0f} are right, "
        f"{pool['n_truncated']} truncated, {pool['n_ungradable']} ungradable"
    )


def _verifiers(record: Mapping[str, Any]) -> Table:
    k, unit = record["k"], record["cost_unit"]
    table = _table(f"Verifiers, choosing among k = {k}; {unit} of a problem")
    _columns(table, "verifier", "AUROC within", "overall", f"best of {k}", "efficiency",
             "highest at", unit)  # fmt: skip
    for verifier in record["verifiers"]:
        point = _at(verifier["curve"], k)
        turning = verifier["turning_point"]
        turn = f"{turning['k']} ({turning['k_low']}–{turning['k_high']})"
        table.add_row(
            verifier["name"] + (" (oracle)" if verifier["oracle"] else ""),
            _with_ends(verifier, "auroc_within"),
            _number(verifier["auroc"]),
            _interval(point["best_of"], point["low"], point["high"]),
            _number(verifier["efficiency"]),
            turn + (" ↓" if turning["turns_down"] else ""),
            _cost(verifier["cost_per_problem"]),
        )
    return table


def _curves(pool: Mapping[str, Any], record: Mapping[str, Any]) -> Table:
    mine = [each for each in record["verifiers"] if each["pool"] == pool["label"]]
    several = f", {pool['label']}" if len(record["pools"]) > 1 else ""
    ks = [point["k"] for point in pool["oracle"]]
    powers = {2**i for i in range(40)} | {ks[-1], record["k"]}
    places = [place for place, k in enumerate(ks) if k in powers]
    while len(places) > MOST_KS:  # every other one, but for the last and the one of the tables
        own = ks.index(record["k"])
        places = [p for i, p in enumerate(places) if i % 2 == 0 or p in {own, len(ks) - 1}]
    table = _table(f"Accuracy by k: best of k / weighted vote{several}")
    _columns(table, "k", *(str(ks[place]) for place in places))
    for name in ("random", "majority", "oracle"):
        if pool[name]:
            table.add_row(name, *(_number(pool[name][place]["estimate"]) for place in places))
    for each in mine:
        points = (each["curve"][place] for place in places)
        table.add_row(
            each["name"], *(f"{_number(p['best_of'])} / {_number(p['weighted'])}" for p in points)
        )
    return table


def _pairs(
    record: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]], title: str, *, same_k: bool
) -> Table:
    """Of many pairs those with a baseline, and those of the verifier that is best at this k."""
    chosen = pairs
    if len(pairs) > MOST_PAIRS:
        rivals = [each for each in record["verifiers"] if not each["oracle"]]
        rivals.sort(key=lambda each: _at(each["curve"], record["k"])["best_of"] or 0.0)
        named = {"random", "majority", *(each["name"] for each in rivals[-1:])}
        chosen = [pair for pair in pairs if named & {pair["a"], pair["b"]}]
        title += f" ({len(pairs) - len(chosen)} more in --json)"
    table = _table(title)
    _columns(table, "a", "b", *([] if same_k else ["k of a", "k of b"]), "a − b", "p", "raw p")
    for column in table.columns[:2]:
        column.justify, column.no_wrap, column.overflow = "left", False, "fold"
    for pair in chosen:
        table.add_row(
            pair["a"],
            pair["b"],
            *([] if same_k else [str(pair["k_a"]), str(pair["k_b"])]),
            f"{pair['difference']:+.3f} [{pair['low']:+.3f}, {pair['high']:+.3f}]",
            f"{pair['p_value']:.3g}",
            f"{pair['raw_p_value']:.3g}",
        )
    return table


def _calibration(verifiers: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("Calibration: as stated, and scaled on other problems")
    _columns(table, "verifier", "scaling", "Brier", "calibration error", "without its bias")
    table.columns[1].justify = "left"
    for verifier in verifiers:
        for name, found in verifier["calibration"].items():
            table.add_row(
                verifier["name"],
                name,
                _number(found["brier"]),
                _number(found["ece"]),
                _number(found["ece_debiased"]),
            )
    return table


def _ceiling(verifier: Mapping[str, Any]) -> Table:
    ceiling = verifier["ceiling"]
    table = _table(f"{verifier['name']} accepts or rejects: drawing until one is accepted")
    table.show_header = False
    _columns(table, "", "")
    table.columns[1].justify = "left"
    for label, key in (
        ("accepts right answers", "completeness"),
        ("rejects wrong answers", "soundness"),
        ("ceiling of accuracy", "accuracy"),
    ):
        found = ceiling[key]
        table.add_row(label, _interval(found["value"], found["low"], found["high"]))
    last = ceiling["accept_first"][-1]
    observed = _interval(last["estimate"], last["low"], last["high"])
    table.add_row(
        f"within {last['k']} attempts", f"{observed}; closed form {_number(last['predicted'])}"
    )
    for best in ceiling["best_attempts"]:
        attempts = "without limit" if best["unlimited"] else f"{best['attempts']:.0f}"
        seen = best["observed"]
        table.add_row(
            f"best attempts, a wrong answer costing {-best['wrong']:g}",
            f"{attempts}; in the pool {seen['attempts']} ({seen['low']}–{seen['high']})",
        )
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)


def _columns(table: Table, first: str, *others: str) -> None:
    table.add_column(first, overflow="fold")
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)


def _at(curve: Sequence[Mapping[str, Any]], k: int) -> Mapping[str, Any]:
    return next(point for point in curve if point["k"] == k)


def _with_ends(record: Mapping[str, Any], name: str) -> str:
    return _interval(record[name], record[f"{name}_low"], record[f"{name}_high"])


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    ends = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
    return _number(value) + ends


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _cost(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
