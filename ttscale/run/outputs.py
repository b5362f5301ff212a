"""What a run leaves behind: the pool, the answers, the ledger and the summary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from ttscale.record.files import finite, replacing, write_json, write_parquet
from ttscale.record.pool import METADATA
from ttscale.record.problems import PROBLEMS
from ttscale.record.tally import tally
from ttscale.record.trees import TREES
from ttscale.run.config import dump
from ttscale.run.summary import exact_tokens, flops_by_arm, seconds_by_arm, summarise
from ttscale.run.tables import as_text

if TYPE_CHECKING:
    from ttscale.run.books import Books
    from ttscale.run.work import Outcome, Work

REPORT = "report.md"
"""The report's name in a run folder."""


def write_outputs(work: Work, books: Books, folder: FilePath) -> None:
    """Write the pool, the ledger, trees, problems, the answers, the summary and the report."""
    books.close()
    order, config = work.problem_ids, work.experiment.config
    sets = tally(books.read("pool", order))
    labels = {arm.label for arm in work.arms}
    metadata = {
        "name": config.name,
        "config_hash": work.experiment.hash,
        "complete": work.complete,
        "simulated": work.simulated,
        "exact_tokens": exact_tokens(work.provenance),
        "model": config.model.model,
        "benchmark": config.benchmark.name,
        "oracles": sorted({arm.verifier_name or "" for arm in work.arms if arm.oracle}),
        "searches": sorted(labels.intersection(sets)),
    }
    in_schema = {METADATA: json.dumps(metadata).encode()}
    books.write("pool", order, folder / "pool.parquet", in_schema)
    for name, file in (("ledger", "ledger.parquet"), ("trees", TREES), ("problems", PROBLEMS)):
        books.write(name, order, folder / file, {})
    _write_answers(work, folder / "answers.parquet")
    flops = flops_by_arm(books.read("ledger", order))
    shares = seconds_by_arm(books.read("ledger", order))
    summary = summarise(work, sets, books.totals, flops, shares, read_summary(folder))
    write_json(summary, folder / "summary.json")
    _write_report(summary, work, folder / REPORT)


def _write_report(summary: Mapping[str, Any], work: Work, path: FilePath) -> None:
    """The tables and where they come from, as Markdown."""
    provenance = json.dumps(finite(dict(work.provenance)), indent=2, ensure_ascii=False)
    text = (
        f"# {summary['name']}\n\n```\n{as_text(summary).strip()}\n```\n\n"
        f"## Where it comes from\n\n```json\n{provenance}\n```\n\n"
        f"## Configuration\n\n```yaml\n{dump(work.experiment)}```\n"
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_summary(folder: FilePath) -> dict[str, Any] | None:
    """The summary an earlier session left, None if there is none that can be read."""
    try:
        summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return summary


def _write_answers(work: Work, path: FilePath) -> None:
    """One row for each arm and problem: what was answered, and whether it was right."""
    import pyarrow as pa

    outcomes: list[Outcome] = [
        work.outcomes[arm.label, problem_id]
        for arm in work.arms
        for problem_id in work.problem_ids
        if (arm.label, problem_id) in work.outcomes
    ]
    kinds = {
        "arm": pa.string(),
        "problem_id": pa.string(),
        "status": pa.string(),
        "answer": pa.string(),
        "correct": pa.bool_(),
        "score": pa.float64(),
        "tied": pa.int64(),
        "abstained": pa.int64(),
        "n_generated_tokens": pa.int64(),
        "held_tokens": pa.float64(),
        "error": pa.string(),
    }
    columns = {
        name: pa.array([getattr(outcome, name) for outcome in outcomes], type=kind)
        for name, kind in kinds.items()
    }
    notes = [json.dumps(outcome.notes, sort_keys=True) for outcome in outcomes]
    write_parquet(pa.table({**columns, "notes": notes}), path)
