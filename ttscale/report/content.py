"""Everything that stands in a report, computed from its sources section by section.

What cannot be computed of a source — an unfinished run, runs that cannot be compared — is left out
and said; the rest of the report stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ttscale.cost import Hardware
from ttscale.errors import InputError
from ttscale.laws.sampled import COVERAGE
from ttscale.laws.study import Study, study
from ttscale.laws.terminal import gain_text
from ttscale.plan.compare import Prices, compare
from ttscale.plan.plan import architectures
from ttscale.plan.sources import read_sources
from ttscale.record.samples import SampleSet
from ttscale.report import tables
from ttscale.report.answer import answer, saturation
from ttscale.report.cost_figures import accuracy_figure, frontier_figure
from ttscale.report.drawing import Drawing, need_matplotlib
from ttscale.report.law_figures import law_figures
from ttscale.report.measured import Measured, measure
from ttscale.report.provenance import facts, find_hardware, warnings
from ttscale.report.reading import Material, read_material
from ttscale.report.run_figures import heat_figure, strategies_figure, tokens_figure
from ttscale.report.tables import Table
from ttscale.report.verifier_figures import verifier_figures

Say = Callable[[str], None]

TAB_NAMES = {"samples": "samples", "tokens": "tokens", "flops": "FLOPs", "bytes": "bytes",
             "seconds": "seconds", "usd": "USD"}  # fmt: skip

FEWEST_FOR_A_CHECK = 4
"""Samples of a problem below which none are held out."""

CHECK_REFITS = 100
"""Refits behind the intervals of a law that is only checked."""


class Group(NamedTuple):
    """A section of figures: alternatives of one another share a place, under their names."""

    id: str
    short: str
    title: str
    texts: Sequence[str]
    figures: Sequence[Sequence[tuple[str, Drawing]]]
    tables: Sequence[Table]


@dataclass(frozen=True)
class Options:
    """How a report is made.

    Attributes
    ----------
    hardware : a known machine or a sheet that prices seconds and USD; the run's own if it is known.
    models : architectures, `NAME` or `recorded=NAME`, in place of what the sources record.
    epsilon : a difference in accuracy too small to pay for.
    n_bootstrap : refits behind the intervals of laws.
    seed : of resamples.
    """

    hardware: str | None = None
    models: Sequence[str] = ()
    epsilon: float = 0.01
    n_bootstrap: int = 300
    seed: int = 0


def content(paths: Sequence[Path], options: Options, say: Say) -> dict[str, Any]:
    """What the report's template names, but for the samples and trees.

    say : told what is being computed.

    Raises InputError for a source that is none, and where matplotlib is missing.
    """
    need_matplotlib()
    for path in paths:
        if [p.resolve() for p in paths].count(path.resolve()) > 1:
            raise InputError("this source is given twice", where=str(path))
    materials = [read_material(path) for path in paths]
    hardware, priced = find_hardware(options.hardware, [m.provenance for m in materials])
    notes: list[str] = []
    measured = _measured(paths, materials, hardware, options, notes, say)
    studies = list(_studies(materials, options, notes, say))
    groups = [
        *_accuracy(measured, materials, priced, say),
        *_laws(studies),
        *_strategies(materials),
        *_verifiers(materials, options, notes, say),
        *_problems(materials),
        *_tokens(materials),
    ]
    found = warnings(materials, measured)
    machine = None if hardware is None else hardware.name
    return {
        "materials": materials,
        "title": _title(materials),
        "about": _about(materials),
        "labels": _labels(materials),
        "answer": None if measured is None else answer(measured, machine),
        "no_answer": "There is nothing to choose between yet.",
        "saturation": [row for each in studies if each.fit_up_to is None
                       for row in saturation(each)],
        "saturation_gain": f"{gain_text(options.epsilon)} per sample",
        "warnings": found,
        "groups": groups,
        "provenance": [facts(each, hardware) for each in materials],
        "notes": [note for note in dict.fromkeys(notes) if note not in found],
    }  # fmt: skip


def drawings(groups: Sequence[Group]) -> list[Drawing]:
    """All figures of a report."""
    return [drawing for group in groups for tabs in group.figures for _, drawing in tabs]


def _measured(
    paths: Sequence[Path],
    materials: Sequence[Material],
    hardware: Hardware | None,
    options: Options,
    notes: list[str],
    say: Say,
) -> Measured | None:
    """What was measured over all sources that have samples; None where nothing can be compared."""
    if not (sampled := [path for path, each in zip(paths, materials, strict=True) if each.sets]):
        return None
    say("comparing what was sampled")
    try:
        sources = read_sources(sampled)
        measured = measure(
            sources, hardware, np.random.default_rng(options.seed),
            epsilon=options.epsilon, models=architectures(options.models),
        )  # fmt: skip
    except InputError as error:
        notes.append(f"nothing is recommended: {error.what}")
        return None
    notes += sources.notes
    notes += [f"no costs in {TAB_NAMES[unit]}: {why}" for unit, why in measured.missing.items()]
    return measured


def _studies(
    materials: Sequence[Material], options: Options, notes: list[str], say: Say
) -> Iterator[Study]:
    """Laws of every independent sample set: of all samples, and of half of them as a check."""
    for each in (s for m in materials for s in m.sets if s.independent):
        n = int(each.counts.n_samples.min())
        say(f"fitting laws to {each.label}")
        rng = np.random.default_rng(options.seed)
        try:
            whole = study(each, epsilon=options.epsilon, n_bootstrap=options.n_bootstrap, rng=rng)
            yield whole
            notes += [*whole.notes, *whole.records[COVERAGE]["notes"]]
            if n >= FEWEST_FOR_A_CHECK:
                refits = min(options.n_bootstrap, CHECK_REFITS)
                yield study(
                    each, epsilon=options.epsilon, fit_up_to=n // 2, n_bootstrap=refits, rng=rng
                )
        except InputError as error:
            notes.append(f"{each.label}: no laws: {error.what}")


def _accuracy(
    measured: Measured | None, materials: Sequence[Material], priced: str, say: Say
) -> Iterator[Group]:
    found = [*tables.curves(materials)]
    figures: list[list[tuple[str, Drawing]]] = []
    if measured is not None:
        say("drawing")
        units = [measured.unit, *(unit for unit in measured.points if unit != measured.unit)]
        figures = [
            [(TAB_NAMES[unit], make(measured, unit)) for unit in units]
            for make in (accuracy_figure, frontier_figure)
        ]
        found.insert(0, tables.frontier(measured))
    if figures or found:
        texts = [priced] if measured is not None and "seconds" in measured.points else []
        yield Group("accuracy", "Accuracy", "Accuracy, and what it costs", texts, figures, found)


def _laws(studies: Sequence[Study]) -> Iterator[Group]:
    several = len({each.samples.label for each in studies}) > 1
    figures, found = [], []
    for number, each in enumerate(studies):
        about = each.samples.label if several else ""
        figures += [[(about, drawing)] for drawing in law_figures(each, f"{number}", about)]
        if each.fit_up_to is None:
            found.append(tables.laws(each))
    if figures:
        yield Group(
            "laws", "Laws", "Laws, and what they were not shown",
            ["A law is chosen by how it predicts budgets that were held out, and believed as far "
             "as its interval says."],
            figures, found,
        )  # fmt: skip


def _strategies(materials: Sequence[Material]) -> Iterator[Group]:
    figures, found = [], []
    for number, each in enumerate(materials):
        if not any(s["accuracy"] is not None for s in each.summary.get("strategies", ())):
            continue
        about = _of(each, materials)
        figures.append([(about, strategies_figure(each.summary, f"{number}", about))])
        found.append(tables.strategies(each, about))
    if figures:
        yield Group("strategies", "Strategies", "Strategy by strategy", [], figures, found)


def _verifiers(
    materials: Sequence[Material], options: Options, notes: list[str], say: Say
) -> Iterator[Group]:
    sets = [s for m in materials for s in m.sets if s.independent and s.pool is not None]
    scored = [s for s in sets if s.pool is not None and s.pool.score_names]
    if not scored:
        return
    say("comparing verifiers")
    try:
        record = compare(scored, prices=Prices(), rng=np.random.default_rng(options.seed)).to_json()
    except InputError as error:
        notes.append(f"verifiers are not compared: {error.what}")
        return
    notes += record["notes"]
    yield Group(
        "verifiers", "Verifiers", "Verifiers on the same samples", [],
        [[("", drawing)] for drawing in verifier_figures(record)], tables.verifiers(record),
    )  # fmt: skip


def _problems(materials: Sequence[Material]) -> Iterator[Group]:
    figures = []
    for number, each in enumerate(materials):
        if samples := _main_set(each):
            about = _of(each, materials)
            figures.append([(about, heat_figure(samples, each.run.answers, f"{number}", about))])
    if figures:
        yield Group("problems", "Problems", "Problem by problem", [], figures, [])


def _tokens(materials: Sequence[Material]) -> Iterator[Group]:
    figures: list[list[tuple[str, Drawing]]] = []
    found: list[Table] = []
    for number, each in enumerate(materials):
        ledger, about = each.run.ledger, _of(each, materials)
        if ledger is not None and ledger.num_rows:
            figures.append([(about, tokens_figure(ledger, each.trees, f"{number}", about))])
            found += tables.tokens(each, about)
    if figures:
        yield Group("tokens", "Tokens", "Where the tokens went", [], figures, found)


def _main_set(material: Material) -> SampleSet | None:
    """The independent samples with the most rows, else any."""
    ranked = sorted(
        material.sets, key=lambda each: (each.independent, int(each.counts.n_samples.sum()))
    )
    return ranked[-1] if ranked else None


def _of(material: Material, materials: Sequence[Material]) -> str:
    """Whose a figure is, where there are several runs."""
    return str(material.path) if len(materials) > 1 else ""


def _title(materials: Sequence[Material]) -> str:
    names = [str(each.summary.get("name") or each.path.name) for each in materials]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _about(materials: Sequence[Material]) -> str:
    """Model, benchmark and size, of each distinct source."""
    lines = []
    for each in materials:
        samples = _main_set(each)
        metadata = {} if samples is None else samples.metadata
        model = each.summary.get("model") or metadata.get("model")
        benchmark = each.summary.get("benchmark") or metadata.get("benchmark")
        parts = [" on ".join(str(part) for part in (model, benchmark) if part) or str(each.path)]
        if samples is not None:
            n = samples.counts.n_samples
            most = f"{n.min():,}" if n.min() == n.max() else f"{n.min():,}–{n.max():,}"
            parts.append(f"{len(n):,} problems × {most} samples")
        lines.append(", ".join(parts))
    return "; ".join(dict.fromkeys(lines))


def _labels(materials: Sequence[Material]) -> list[str]:
    """What must stand above all numbers: which of them were not measured here."""
    labels = []
    simulated = [str(each.path) for each in materials if each.simulated]
    if len(simulated) == len(materials):
        labels.append("SIMULATED: all numbers here come from a simulation.")
    elif simulated:
        labels.append(f"SIMULATED: {', '.join(simulated)}; the other runs are measured, and the "
                      "two do not compare.")  # fmt: skip
    imported = {s.imported: str(m.path) for m in materials for s in m.sets if s.imported}
    labels += [f"IMPORTED: {path} was written by {tool}." for tool, path in imported.items()]
    return labels
