"""Samples that lm-evaluation-harness logged: `samples_<task>_<date>.jsonl` of `--log_samples`.

A line is one document under one filter: `resps` holds the responses (several with `repeats`),
`filtered_resps` what the filter left of them, and each metric a verdict. The `results_<date>.json`
beside it names model, version, filters and accuracies. Token counts and ends of generation are in
neither.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from ttscale.errors import InputError, closest
from ttscale.formats.imported import Choices, Imported, Reported
from ttscale.formats.lines import Record, read_lines, read_text, refuse_doubles
from ttscale.formats.lines import field as field_of
from ttscale.formats.lm_eval_filters import NO_ANSWER, Regrader, make_regrader, votes

_NAME = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\d.-]+)")
_REGRADED = " (further repeats: the same filter and metric, applied by ttscale)"
_LIKELIHOODS = (
    "this file holds likelihoods of given texts, not sampled answers",
    "ttscale needs a task of output_type generate_until; a choice by likelihood has no samples",
)


@dataclass(frozen=True)
class _File:
    """One samples file and the results beside it."""

    path: FilePath
    lines: Sequence[Record]
    task: str | None
    results: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> Mapping[str, Any]:
        """The task's configuration as the results have it."""
        found = self.results.get("configs", {}).get(self.task)
        return found if isinstance(found, Mapping) else {}

    def accuracy(self, filter_name: str, metric: str) -> float | None:
        """What lm-eval reports."""
        scores = self.results.get("results", {}).get(self.task, {})
        value = scores.get(f"{metric},{filter_name}") if isinstance(scores, Mapping) else None
        return float(value) if isinstance(value, int | float) else None


class _Read(NamedTuple):
    """A file's samples, the verdicts that lm-eval gave, and what else there was."""

    rows: list[dict[str, Any]]
    verdicts: list[bool]
    left_out: Counter[str]
    notes: list[str]
    regraded: bool


def read(paths: Sequence[FilePath], choices: Choices) -> Imported:
    """Samples of one task; several files are further samples of the same documents.

    Raises InputError for several filters or metrics among which none was chosen, tasks that are not
    the same, a document that stands twice, votes and likelihoods, and verdicts that are neither
    right nor wrong.
    """
    refuse_doubles(paths)
    files = [_open(path) for path in paths]
    _refuse_mixture(files)
    filter_name = _choose_filter(files, choices.filter)
    metric = _choose_metric(files, filter_name, choices.metric)
    rows: list[dict[str, Any]] = []
    reported, left_out, notes = [], Counter[str](), []
    regraded = False
    for file in files:
        found = _read_file(file, filter_name, metric)
        rows += found.rows
        left_out += found.left_out
        notes += found.notes
        regraded = regraded or found.regraded
        there = file.accuracy(filter_name, metric)
        if there is not None:
            here = sum(found.verdicts) / len(found.verdicts)
            name = f"{file.path.name}: {metric}, {filter_name}"
            reported.append(Reported(name, there, here, len(found.verdicts)))
    version = next((v for f in files if (v := f.results.get("lm_eval_version"))), None)
    tool = f"lm_eval {version}" if version else "lm_eval"
    return Imported(
        rows,
        f"{tool}, {metric} after the filter {filter_name}"
        + (
            " (further repeats: the same filter and metric, applied by ttscale)" if regraded else ""
        ),
        tool,
        next((str(m) for f in files if (m := f.results.get("model_name"))), None),
        files[0].task,
        reported,
        left_out,
        list(dict.fromkeys(notes)),
    )


def _open(path: FilePath) -> _File:
    lines = list(read_lines(path))
    if not lines:
        raise InputError("this file has no samples", where=str(path))
    match = _NAME.fullmatch(path.stem)
    task, date = (match["task"], match["date"]) if match else (None, None)
    beside = sorted(path.parent.glob("results_*.json"))
    mine = [other for other in beside if other.stem == f"results_{date}"]
    if not mine and task is None:
        mine = beside if len(beside) == 1 else []
    results = json.loads(read_text(mine[0])) if mine else {}
    if task is None and len(results.get("configs", ())) == 1:
        task = next(iter(results["configs"]))
    return _File(path, lines, task, results)


def _refuse_mixture(files: Sequence[_File]) -> None:
    """One task: by its name, and by every document's hash."""
    tasks = {file.task for file in files if file.task}
    if len(tasks) > 1:
        raise InputError(
            "these files are of different tasks, and a pool is of one benchmark",
            where=", ".join(str(file.path) for file in files),
            got=", ".join(sorted(tasks)),
            hint="import each task into a pool of its own",
        )
    known: dict[object, tuple[object, str]] = {}
    for file in files:
        for line in file.lines:
            doc, digest = line.value.get("doc_id"), line.value.get("doc_hash")
            first = known.setdefault(doc, (digest, line.where))
            if first[0] != digest:
                raise InputError(
                    "one doc_id stands for different documents: these are samples of several tasks",
                    where=f"{line.where}, doc_id {doc}",
                    got=f"another document at {first[1]}",
                    hint="import each task into a pool of its own",
                )


def _choose_filter(files: Sequence[_File], wanted: str | None) -> str:
    """The filter named, or the only one whose rows are samples."""
    names = list(
        dict.fromkeys(str(line.value.get("filter", "none")) for f in files for line in f.lines)
    )
    voting = [name for name in names if any(votes(file.config, name) for file in files)]
    if wanted is not None and wanted not in names:
        raise InputError(
            "there is no such filter in these files",
            where="--filter",
            got=wanted,
            hint=closest(wanted, names),
        )
    if wanted in voting:
        raise InputError(
            "this filter votes over the responses, so its rows are no samples",
            where="--filter",
            got=wanted,
            hint="a filter that looks at one response; ttscale estimates votes from all samples",
        )
    left = [name for name in names if name not in voting] if wanted is None else [wanted]
    if len(left) != 1:
        raise InputError(
            "these samples were filtered in several ways, each with its own answers and verdicts"
            if left
            else "every filter here votes over the responses, so there is no sample",
            where=str(files[0].path),
            got=", ".join(names),
            hint=f"--filter {left[0]}" if left else "a task with a filter that takes the first",
        )
    return left[0]


def _choose_metric(files: Sequence[_File], filter_name: str, wanted: str | None) -> str:
    """The metric named, or the only one."""
    line = next(
        line for f in files for line in f.lines if line.value.get("filter", "none") == filter_name
    )
    names = line.value.get("metrics")
    names = [name for name in names if name in line.value] if isinstance(names, list) else []
    if wanted is None and len(names) == 1:
        return str(names[0])
    if wanted is None or wanted not in names:
        raise InputError(
            "there is no such metric in these files"
            if wanted is not None
            else "several metrics say what is right"
            if names
            else "no metric says what is right",
            where=line.where if wanted is None else "--metric",
            got=wanted or ", ".join(names) or ", ".join(line.value),
            hint=closest(wanted, names) if wanted else (f"--metric {names[0]}" if names else None),
        )
    return wanted


def _read_file(file: _File, filter_name: str, metric: str) -> _Read:
    """The samples of one file: every response where each has a verdict, else the first."""
    lines, left_out = [], Counter[str]()
    seen: dict[object, str] = {}
    for line in file.lines:
        if line.value.get("filter", "none") != filter_name:
            left_out["rows of other filters"] += 1
            continue
        doc = line.value.get("doc_id")
        if doc is None:
            raise InputError("this record has no doc_id", where=line.where, got=list(line.value))
        if doc in seen:
            raise InputError(
                "a document stands twice in this file",
                where=f"{line.where}, doc_id {doc}",
                got=f"it stands at {seen[doc]} too",
                hint="give each run's file once, not several runs in one file",
            )
        seen[doc] = line.where
        lines.append(line)
    if not lines:
        raise InputError(
            "this file has no row of the filter", where=str(file.path), got=filter_name
        )
    notes = []
    n_docs = file.results.get("n-samples", {}).get(file.task, {}).get("effective")
    if isinstance(n_docs, int) and n_docs != len(lines):
        notes.append(f"{file.path.name} holds {len(lines)} of the {n_docs} documents evaluated")
    regrader = make_regrader(file.config, filter_name, metric)
    kept = regrader if regrader and _reproduces(regrader, lines, metric) else None
    rows: list[dict[str, Any]] = []
    verdicts: list[bool] = []
    for line in lines:
        mine, graded = _samples(line, metric, kept, known=bool(file.config))
        rows += mine
        verdicts += graded
        n_left = len(_responses(line)) - len(mine)
        if n_left:
            left_out["responses that lm-eval did not grade"] += n_left
    if left_out["responses that lm-eval did not grade"]:
        notes.append(
            "lm-eval graded one response of each document"
            + ("" if regrader is None else ", and its filter and metric could not be reproduced")
        )
    return _Read(rows, verdicts, left_out, notes, len(rows) > len(verdicts))


def _samples(
    line: Record, metric: str, regrader: Regrader | None, *, known: bool
) -> tuple[list[dict[str, Any]], list[bool]]:
    """A line's samples, and the verdicts among them that are lm-eval's own."""
    responses, filtered = _responses(line), _filtered(line)
    value = line.value.get(metric)
    common = {"problem_id": str(line.value["doc_id"])}

    def sample(response: str, answer: str, right: bool) -> dict[str, Any]:
        return {**common, "response": response, "answer": _answer(answer), "correct": right}

    if isinstance(value, list):
        if not len(value) == len(filtered) == len(responses):
            raise InputError(
                f"{metric} has another number of verdicts than there are responses",
                where=line.where,
                got=f"{len(value)} verdicts, {len(responses)} responses",
            )
        given = [_verdict(each, line, metric) for each in value]
        return [sample(*each) for each in zip(responses, filtered, given, strict=True)], given
    right = _verdict(value, line, metric)
    rows = [sample(responses[0], filtered[0], right)]
    if len(responses) > 1 and not known:
        raise InputError(
            f"{len(responses)} responses and one verdict, and no results_*.json says of which",
            where=line.where,
            hint="keep the samples file beside the results file that lm-eval wrote with it",
        )
    if regrader is not None:
        target = str(line.value.get("target"))
        for response in responses[1:]:
            answer = regrader.extract(response)
            rows.append(sample(response, answer, regrader.is_right(answer, target)))
    return rows, [right]


def _reproduces(regrader: Regrader, lines: Sequence[Record], metric: str) -> bool:
    """Whether the filter and the metric as ttscale applies them give what lm-eval gave."""
    for line in lines:
        answer = regrader.extract(_responses(line)[0])
        right = regrader.is_right(answer, str(line.value.get("target")))
        if answer != _filtered(line)[0] or right != (line.value.get(metric) == 1):
            return False
    return True


def _responses(line: Record) -> list[str]:
    """The responses of a line; those that an endpoint refused are empty."""
    given = field_of(line, "resps", list)
    if len(given) != 1 or not isinstance(given[0], list) or not given[0]:
        raise InputError(_LIKELIHOODS[0], where=line.where, got=given, hint=_LIKELIHOODS[1])
    if not all(isinstance(each, str) or each is None for each in given[0]):
        raise InputError(_LIKELIHOODS[0], where=line.where, got=given, hint=_LIKELIHOODS[1])
    return [each or "" for each in given[0]]


def _filtered(line: Record) -> list[str]:
    """What the filter left, one text for each response it left."""
    given = field_of(line, "filtered_resps", list)
    first = given[0] if given else ""
    return [str(each) for each in first] if isinstance(first, list) and first else [str(first)]


def _verdict(value: object, line: Record, metric: str) -> bool:
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    others = [
        name
        for name in line.value.get("metrics", ())
        if name != metric and line.value.get(name) in (0, 1)
    ]
    raise InputError(
        f"{metric} is neither right (1) nor wrong (0)",
        where=line.where,
        got=value,
        hint=f"--metric {others[0]}" if others else "a metric such as exact_match",
    )


def _answer(text: str) -> str | None:
    """An answer, None for lm-eval's mark of a filter that found nothing."""
    return None if text.strip() in NO_ANSWER else text.strip()
