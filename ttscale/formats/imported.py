"""What a reader found in other tools' files, and the pool that becomes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from ttscale.benchmark.grading import plain
from ttscale.errors import InputError, closest
from ttscale.record.pool import Pool, make_pool

SAMPLES = "samples"
"""Name of a sample set whose distribution the files do not tell apart."""

LONGEST_ANSWER = 200
"""Characters beyond which a whole response is no answer."""

ALWAYS = ("problem_id", "sample_index", "sample_set", "correct")
"""Columns that every pool has; another one without a value is left out."""


class Reported(NamedTuple):
    """An accuracy that a tool reports itself, and the same over the samples it is of."""

    name: str
    there: float
    here: float
    n_samples: int

    @property
    def agrees(self) -> bool:
        """Equal but for rounding."""
        return abs(self.there - self.here) < 1e-6


@dataclass(frozen=True)
class Choices:
    """What the user says about the files.

    Attributes
    ----------
    filter, metric : which of several the verdict is taken from (lm-eval; inspect's scorer).
    columns : from the pool's names to the file's (a table).
    extract : rule that takes answers out of responses where the files hold none.
    model, benchmark : names that the files do not say.
    search : whether the samples are the ends of a search.
    """

    filter: str | None = None
    metric: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    extract: str | None = None
    model: str | None = None
    benchmark: str | None = None
    search: bool = False


@dataclass(frozen=True)
class Imported:
    """Samples as they were read.

    Attributes
    ----------
    rows : as `make_pool` takes them; a missing `sample_index` or `answer_class` is filled in.
    graded_by : who said what is right.
    tool : name and version of what wrote the files.
    model, benchmark : as the files name them.
    reported : accuracies that the tool reports.
    left_out : what was not imported, and how many of it.
    notes : what a reader of the numbers must know.
    complete : whether the files say that nothing is missing; None where they do not say.
    """

    rows: Sequence[Mapping[str, Any]]
    graded_by: str
    tool: str | None = None
    model: str | None = None
    benchmark: str | None = None
    reported: Sequence[Reported] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()
    complete: bool | None = None


def make_imported_pool(
    imported: Imported, format_name: str, files: Sequence[FilePath], choices: Choices
) -> Pool:
    """The pool of what was read, labelled as imported.

    Raises InputError where nothing is left and for a sample that stands twice.
    """
    if not imported.rows:
        raise InputError(
            "there is no sample to import",
            where=", ".join(map(str, files)),
            got="; ".join(f"{n:,} {what}" for what, n in imported.left_out.items()) or "no rows",
        )
    rows = _numbered([{"sample_set": SAMPLES, **row} for row in imported.rows])
    notes = list(imported.notes)
    if _are_whole_responses(rows):
        rows = [{**row, "answer": None} for row in rows]
        if choices.extract is None:
            notes.append(
                "the answers are whole responses, which do not vote; --extract takes answers out"
            )
    if choices.extract is not None:
        rows = _with_answers(rows, choices.extract)
    if all(row.get("answer_class") is None for row in rows):
        for row, number in zip(rows, _classes(rows), strict=True):
            row["answer_class"] = number
    table = make_pool(rows).table
    empty = [
        name
        for name in table.column_names
        if name not in ALWAYS and table[name].null_count == len(table)
    ]
    model, benchmark = choices.model or imported.model, choices.benchmark or imported.benchmark
    metadata = {
        "name": benchmark or files[0].stem,
        "model": model,
        "benchmark": benchmark,
        "simulated": False,
        "imported": {
            "format": format_name,
            "tool": imported.tool,
            "files": [file.name for file in files],
            "graded_by": imported.graded_by,
            "left_out": {what: n for what, n in imported.left_out.items() if n},
            "notes": notes,
        },
        "searches": sorted({row["sample_set"] for row in rows}) if choices.search else [],
    }
    if imported.complete is not None:
        metadata["complete"] = imported.complete
    return Pool(table.drop_columns(empty), metadata)


def _numbered(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Samples of a problem numbered from 0 in their order, unless the files number them."""
    if all(row.get("sample_index") is not None for row in rows):
        names = ("sample_set", "problem_id", "sample_index")
        counted = Counter(tuple(row[name] for name in names) for row in rows)
        double, n = counted.most_common(1)[0]
        if n > 1:
            raise InputError(
                "a sample stands twice in these files",
                where=f"problem {double[1]}, sample {double[2]}",
                got=f"{n} rows",
                hint="import each run once; leave sample_index out where it does not tell samples "
                "of a problem apart",
            )
        return list(rows)
    seen: Counter[tuple[str, str]] = Counter()
    numbered = []
    for row in rows:
        key = (row["sample_set"], row["problem_id"])
        numbered.append({**row, "sample_index": seen[key]})
        seen[key] += 1
    return numbered


def _are_whole_responses(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether what the files call answers are the responses, and these more than an answer."""
    texts = [
        (row["answer"], (row.get("response") or "").strip())
        for row in rows
        if row.get("answer") is not None
    ]
    return all(answer == response for answer, response in texts) and any(
        "\n" in answer or len(answer) > LONGEST_ANSWER for answer, _ in texts
    )


def _with_answers(rows: Sequence[dict[str, Any]], rule: str) -> list[dict[str, Any]]:
    """Answers taken out of the responses by one of ttscale's rules."""
    from ttscale.benchmark.extract import RULES

    if rule not in RULES:
        raise InputError(
            "there is no such rule", where="--extract", got=rule, hint=closest(rule, RULES)
        )
    if any(row.get("answer") is not None for row in rows):
        raise InputError(
            "these files hold answers already",
            where="--extract",
            got=next(row["answer"] for row in rows if row.get("answer") is not None),
            hint="leave --extract out",
        )
    if all(row.get("response") is None for row in rows):
        raise InputError("there are no responses to take answers from", where="--extract", got=rule)
    take = RULES[rule]
    return [
        {**row, "answer": (take(row.get("response") or "") or "").strip() or None} for row in rows
    ]


def _classes(rows: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """Classes of equal answers: the same number, or the same text but for space around it.

    No reference answer is looked at: merging what was graded right would help a vote.
    """
    known: dict[str, dict[object, int]] = {}
    classes: list[int | None] = []
    for row in rows:
        answer = row.get("answer")
        if answer is None:
            classes.append(None)
            continue
        text = plain.mathematics(answer)
        number = plain.number(text)
        mine = known.setdefault(row["problem_id"], {})
        classes.append(mine.setdefault(text if number is None else number.value, len(mine)))
    return classes
