"""What a run leaves behind: the pool, the answers, the ledger and the summary."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from ttscale.record.files import finite, replacing, write_json, write_parquet
from ttscale.record.pool import Pool, make_pool
from ttscale.record.trees import TREES, write_trees
from ttscale.run.config import dump
from ttscale.run.summary import summarise
from ttscale.run.tables import as_text

if TYPE_CHECKING:
    from ttscale.run.judging import Judge
    from ttscale.run.work import Outcome, Sample, Work
    from ttscale.trace import Problem

REPORT = "report.md"
"""The report's name in a run folder."""

PROBLEMS = "problems.parquet"
"""The problems' name there."""


async def write_outputs(work: Work, judge: Judge, folder: FilePath) -> None:
    """Write the pool, the answers, the trees, the ledger, the summary and the report."""
    pool = await make_run_pool(work, judge)
    pool.write(folder / "pool.parquet")
    work.ledger.write(folder / "ledger.parquet")
    _write_answers(work, folder / "answers.parquet")
    _write_problems(work.problems, folder / PROBLEMS)
    trees = {key: outcome.tree for key, outcome in work.outcomes.items() if outcome.tree}
    write_trees(trees, folder / TREES)
    summary = summarise(work, pool, read_summary(folder))
    write_json(summary, folder / "summary.json")
    _write_report(summary, work, folder / REPORT)


def _write_problems(problems: Iterable[Problem], path: FilePath) -> None:
    """One row for each problem: the question, the reference answer, and the prompt's text."""
    import pyarrow as pa

    schema = pa.schema({name: pa.string() for name in ("id", "question", "reference", "prompt")})
    rows = [
        {"id": p.id, "question": p.question, "reference": p.reference, "prompt": p.root.text}
        for p in problems
    ]
    write_parquet(pa.Table.from_pylist(rows, schema=schema), path)


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


async def make_run_pool(work: Work, judge: Judge) -> Pool:
    """Every distinct finished sample once, whichever arms asked for it.

    Samples of a problem are numbered within their sample set by stream, and their answer classes
    are those of all the problem's answers together.
    """
    rows = []
    for problem in work.problems:
        samples: dict[tuple[bytes, int], Sample] = {}
        for arm in work.arms:
            outcome = work.outcomes.get((arm.label, problem.id))
            for sample in outcome.samples if outcome else ():
                known = samples.get(sample.key)
                if known is None:
                    samples[sample.key] = sample
                else:
                    known.scores.update(sample.scores)
        ordered = sorted(samples.values(), key=lambda sample: (sample.sample_set, sample.key))
        classes = await judge.classes(problem, [sample.answer for sample in ordered])
        rows += _rows(problem, ordered, classes)
    metadata = {
        "name": work.experiment.config.name,
        "config_hash": work.experiment.hash,
        "complete": work.complete,
        "simulated": work.simulated,
        "model": work.experiment.config.model.model,
        "benchmark": work.experiment.config.benchmark.name,
        "oracles": sorted({arm.verifier_name or "" for arm in work.arms if arm.oracle}),
        "searches": sorted({row["sample_set"] for row in rows} & {arm.label for arm in work.arms}),
    }
    return make_pool(rows, metadata)


def _rows(
    problem: Problem, samples: Iterable[Sample], classes: Iterable[int | None]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    n_in_set: dict[str, int] = {}
    for sample, answer_class in zip(samples, classes, strict=True):
        index = n_in_set.get(sample.sample_set, 0)
        n_in_set[sample.sample_set] = index + 1
        rows.append(
            {
                "problem_id": problem.id,
                "sample_index": index,
                "sample_set": sample.sample_set,
                "answer": sample.answer,
                "answer_class": answer_class,
                "correct": sample.correct,
                "n_prompt_tokens": len(problem.root.token_ids),
                "n_generated_tokens": sample.path.n_generated,
                "finish_reason": sample.path.finish,
                "response": sample.path.response,
                **{f"score.{name}": score for name, score in sample.scores.items()},
            }
        )
    return rows


def _write_answers(work: Work, path: FilePath) -> None:
    """One row for each arm and problem: what was answered, and whether it was right."""
    import pyarrow as pa

    outcomes: list[Outcome] = [
        work.outcomes[arm.label, problem.id]
        for arm in work.arms
        for problem in work.problems
        if (arm.label, problem.id) in work.outcomes
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
