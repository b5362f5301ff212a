"""Samples that lm-evaluation-harness logged: `samples_<task>_<date>.jsonl` of `--log_samples`.

A line is one document under one filter: `resps` holds the responses (several with `repeats`),
`filtered_resps` what the filter left of them, and each metric a verdict. The `results_<date>.json`
beside it names model, version, filters and accuracies. Token counts and ends of generation are in
neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from ttscale.errors import InputError
from ttscale.formats.imported import Choices, Imported, Reported
from ttscale.formats.lines import Record, field
from ttscale.formats.lm_eval_files import LogFile, choose_filter, choose_metric, open_files
from ttscale.formats.lm_eval_filters import NO_ANSWER, Regrader, make_regrader

_REGRADED = " (further repeats: the same filter and metric, applied by ttscale)"
_LIKELIHOODS = (
    "this file holds likelihoods of given texts, not sampled answers",
    "ttscale needs a task of output_type generate_until; a choice by likelihood has no samples",
)


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
    files = open_files(paths)
    filter_name = choose_filter(files, choices.filter)
    metric = choose_metric(files, filter_name, choices.metric)
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
        f"{tool}, {metric} after the filter {filter_name}" + (_REGRADED if regraded else ""),
        tool,
        next((str(m) for f in files if (m := f.results.get("model_name"))), None),
        files[0].task,
        reported,
        left_out,
        list(dict.fromkeys(notes)),
    )


def _read_file(file: LogFile, filter_name: str, metric: str) -> _Read:
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
    if file.n_documents not in (None, len(lines)):
        notes.append(
            f"{file.path.name} holds {len(lines)} of the {file.n_documents} documents evaluated"
        )
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
    given = field(line, "resps", list)
    if len(given) != 1 or not isinstance(given[0], list) or not given[0]:
        raise InputError(_LIKELIHOODS[0], where=line.where, got=given, hint=_LIKELIHOODS[1])
    if not all(isinstance(each, str) or each is None for each in given[0]):
        raise InputError(_LIKELIHOODS[0], where=line.where, got=given, hint=_LIKELIHOODS[1])
    return [each or "" for each in given[0]]


def _filtered(line: Record) -> list[str]:
    """What the filter left, one text for each response it left."""
    given = field(line, "filtered_resps", list)
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
