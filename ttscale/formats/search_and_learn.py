"""Completions of search-and-learn: `best_of_n_completions.jsonl`, `beam_search_…`, `dvts_…`.

A line is one problem with its `completions`, the reward model's `scores` of every step, and for
best-of-n the `completion_tokens`. No completion has a verdict there, so ttscale grades them: the
last boxed answer against `answer`, by math-verify.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any, get_args

from ttscale.aggregate import Aggregate, aggregate
from ttscale.errors import InputError
from ttscale.formats.imported import Choices, Imported
from ttscale.formats.lines import Record, field, read_lines, refuse_doubles
from ttscale.loops import complete

_SEARCHES = ("beam_search", "dvts")
_AGGREGATES = tuple(how for how in get_args(Aggregate) if how != "model")
_WORKERS = 2


def read(paths: Sequence[FilePath], choices: Choices) -> Imported:
    """Every completion, graded, with the scores aggregated in each usual way.

    Several files are further samples of the same problems. Raises InputError for a problem that
    stands twice in a file, without completions or answer, or with another number of scores.
    """
    refuse_doubles(paths)
    for path in paths:
        if not choices.search and path.stem.startswith(_SEARCHES):
            raise InputError(
                "these completions are the ends of a search, not independent samples: no curve "
                "over other budgets follows from them",
                where=str(path),
                hint="--search imports them as what they are",
            )
    problems = [record for path in paths for record in _problems(path)]
    left_out: Counter[str] = Counter()
    rows = complete(_graded(problems, left_out))
    votes = sorted({name for each in problems for name in each.value if name.startswith("pred")})
    notes = []
    if left_out["token counts of 0 and below"]:
        notes.append("a count of tokens that is not above 0 says nothing: it stays missing")
    if votes:
        notes.append(
            f"{', '.join(votes)} are choices among the completions, not samples; ttscale estimates "
            "votes and best-of-k from all completions"
        )
    return Imported(
        rows,
        "ttscale: the last boxed answer, by math-verify",
        "search-and-learn",
        left_out=left_out,
        notes=notes,
    )


def _problems(path: FilePath) -> list[Record]:
    found: dict[str, Record] = {}
    for record in read_lines(path):
        field(record, "completions", list)
        name = _problem_id(record)
        if name in found:
            raise InputError(
                "a problem stands twice in this file",
                where=f"{record.where}, problem {name}",
                got=f"it stands at {found[name].where} too",
                hint="give each run's file once, not several in one",
            )
        found[name] = record
    return list(found.values())


def _problem_id(record: Record) -> str:
    return str(record.value.get("unique_id") or field(record, "problem", str))


async def _graded(problems: Sequence[Record], left_out: Counter[str]) -> list[dict[str, Any]]:
    from ttscale.benchmark.config import BenchmarkConfig
    from ttscale.benchmark.grading import Grader
    from ttscale.benchmark.item import Item

    config = BenchmarkConfig(path="search-and-learn", grader="math", extract="boxed")
    facts = [_facts(record, left_out) for record in problems]
    async with Grader(config, workers=_WORKERS) as grader:
        for record, mine in zip(problems, facts, strict=True):
            reference = str(field(record, "answer", (str, int, float)))
            item = Item(_problem_id(record), "", reference)
            answers = [await grader.extract(row["response"]) for row in mine]
            grades = await grader.grade(item, answers)
            classes = await grader.classes(answers, item)
            for row, answer, number, grade in zip(mine, answers, classes, grades, strict=True):
                row.update(answer=answer, answer_class=number, correct=grade.correct)
    return [row for mine in facts for row in mine]


def _facts(record: Record, left_out: Counter[str]) -> list[dict[str, Any]]:
    """A problem's completions as rows, not yet graded."""
    field(record, "answer", (str, int, float))
    tokens, scores = _tokens(record, left_out), _scores(record)
    return [
        {
            "problem_id": _problem_id(record),
            "response": str(completion),
            "n_generated_tokens": n,
            **each,
        }
        for completion, n, each in zip(record.value["completions"], tokens, scores, strict=True)
    ]


def _tokens(record: Record, left_out: Counter[str]) -> list[int | None]:
    """Generated tokens of each completion; searches write 0 or −1, having counted nothing."""
    n = len(record.value["completions"])
    given = record.value.get("completion_tokens")
    if not isinstance(given, list):
        return [None] * n
    _check_length(given, "completion_tokens", record)
    tokens = [each if isinstance(each, int) and each > 0 else None for each in given]
    left_out.update({"token counts of 0 and below": n_missing}
                    if (n_missing := tokens.count(None)) else {})  # fmt: skip
    return tokens


def _scores(record: Record) -> list[dict[str, float]]:
    """`score.prm(aggregate=…)` of each completion, from its steps' scores."""
    given = record.value.get("scores")
    if given is None:
        return [{} for _ in record.value["completions"]]
    _check_length(given, "scores", record)
    found = []
    for steps in given:
        each = steps if isinstance(steps, list) else [steps]
        if not all(isinstance(step, int | float) for step in each):
            raise InputError("a score is a number", where=f"{record.where}: scores", got=steps)
        numbers = [float(step) for step in each]
        found.append(
            {f"score.prm(aggregate={how})": aggregate(numbers, how) for how in _AGGREGATES}
        )
    return found


def _check_length(given: object, name: str, record: Record) -> None:
    n = len(record.value["completions"])
    if not isinstance(given, list) or len(given) != n:
        raise InputError(
            f"{name} has not one entry for each completion",
            where=record.where,
            got=f"{n} completions, {len(given) if isinstance(given, list) else given!r} {name}",
        )
