"""Where a report's numbers come from, and what a reader must know before believing them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ttscale.cost import Hardware
from ttscale.cost.catalog import hardware_names
from ttscale.report.measured import Measured
from ttscale.report.reading import Material

FACTS = ("engine", "model", "dtype", "device", "platform", "seed", "config_hash", "command")
FEW_PROBLEMS = 20
MUCH = 0.05
"""The share of truncated or answerless samples that is worth a warning."""


def find_hardware(
    wanted: str | None, provenances: Sequence[Mapping[str, Any]]
) -> tuple[Hardware | None, str]:
    """The machine that prices seconds and USD, and a sentence about it.

    The one asked for; else a known one whose name the runs' device bears; else none.
    """
    devices = list(dict.fromkeys(str(each["device"]) for each in provenances if each.get("device")))
    ran = f"; the samples were drawn on {', '.join(devices)}" if devices else ""
    if wanted is not None:
        sheet = Hardware.load(wanted)
        return sheet, f"Seconds and USD are priced for {sheet.name}{ran}. {_standing(sheet)}"
    for device in devices:
        words = device.lower().replace("-", " ").replace(",", " ").split()
        for name in hardware_names():
            if name.lower() in words:
                sheet = Hardware.load(name)
                return sheet, f"Seconds and USD are priced for {sheet.name}. {_standing(sheet)}"
    return None, "There are no seconds and USD: --hardware names a machine to price them on."


def _standing(sheet: Hardware) -> str:
    """What the sheet's figures are worth."""
    kinds: dict[str, list[str]] = {}
    for figure, standing in sheet.standing.items():
        kinds.setdefault(standing, []).append(figure)
    parts = [f"{', '.join(figures)}: {standing}" for standing, figures in kinds.items()]
    rent = "" if sheet.usd_per_hour is None else f" at {sheet.usd_per_hour:g} USD an hour"
    return f"Its figures are {'; '.join(parts)}{rent}. Seconds are the machine's, no latency."


def warnings(materials: Sequence[Material], measured: Measured | None) -> list[str]:
    """What stands under the answer, the gravest first."""
    found: list[str] = []
    for each in materials:
        where = f"{each.path}: " if len(materials) > 1 else ""
        found += [where + text for text in (*each.missing, *_of_a_run(each))]
    if measured is not None and len(measured.sources.problem_ids) < FEW_PROBLEMS:
        n = len(measured.sources.problem_ids)
        found.append(f"{n} problems are few: intervals are rough")
    return found


def _of_a_run(material: Material) -> Iterator[str]:
    summary = material.summary
    for entry in summary.get("samples", ()):
        n = entry["n_samples"]
        for key, what in (
            ("n_truncated", "were truncated at the token limit, and may have been on their way"),
            ("n_without_answer", "give no answer, and count as wrong"),
            ("n_ungradable", "are ungradable, and count as wrong"),
            ("n_empty", "are empty"),
        ):
            count = entry[key]
            if count and (count / max(n, 1) >= MUCH or key == "n_ungradable"):
                yield f"{count:,} of {n:,} {entry['name']} ({100 * count / n:.0f} %) {what}"
    for entry in summary.get("strategies", ()):
        if entry["n_failed"]:
            yield f"{entry['label']} failed on {entry['n_failed']:,} problems"
        for error in entry["errors"]:
            yield f"{entry['label']}: {error}"
        if entry["n_out_of_budget"]:
            yield f"the budget ended {entry['label']} on {entry['n_out_of_budget']:,} problems"
    yield from summary.get("warnings", ())


def facts(material: Material, hardware: Hardware | None) -> dict[str, Any]:
    """The table of one source, and its files."""
    about, summary = material.provenance, material.summary
    rows = [("source", str(material.path))]
    rows += [(name.replace("_", " "), str(about[name])) for name in FACTS if about.get(name)]
    for name in ("software", "versions"):
        if about.get(name):
            rows.append((name, ", ".join(f"{k} {v}" for k, v in about[name].items())))
    if summary.get("seconds"):
        rate = summary.get("tokens_per_second")
        speed = f", {rate:,.0f} generated tokens/s" if rate else ""
        rows.append(("sampling", f"{summary['seconds']:,.1f} s{speed}"))
    for each in material.sets:
        rescored = each.metadata.get("rescored")
        if rescored:
            rows.append(("scored afterwards", ", ".join(rescored)))
            break
    if hardware is not None:
        rows.append(("priced for", f"{hardware.name}. {hardware.source}".strip()))
    files = []
    if material.config:
        files.append(("Configuration", material.config))
    if about:
        text = json.dumps(about, indent=2, ensure_ascii=False)
        files.append(("Provenance", text))
    return {"title": str(summary.get("name") or material.path.name), "facts": rows, "files": files}
