"""lm-eval's files: a log of samples and the results beside it, and what is chosen of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from ttscale.errors import InputError, closest
from ttscale.formats.lines import Record, read_lines, read_text, refuse_doubles
from ttscale.formats.lm_eval_filters import votes

_NAME = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\d.-]+)")


@dataclass(frozen=True)
class LogFile:
    """One samples file and the results beside it.

    Attributes
    ----------
    path, lines : the file and its rows.
    task : by the file's name, or by the results.
    results : the content of results_<date>.json; empty where there is none.
    """

    path: FilePath
    lines: Sequence[Record]
    task: str | None
    results: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> Mapping[str, Any]:
        """The task's configuration as the results have it."""
        return self._of_task("configs")

    @property
    def n_documents(self) -> int | None:
        """How many documents were evaluated, by the results."""
        n = self._of_task("n-samples").get("effective")
        return n if isinstance(n, int) else None

    def accuracy(self, filter_name: str, metric: str) -> float | None:
        """What lm-eval reports."""
        value = self._of_task("results").get(f"{metric},{filter_name}")
        return float(value) if isinstance(value, int | float) else None

    def _of_task(self, part: str) -> Mapping[str, Any]:
        tasks = self.results.get(part)
        found = tasks.get(self.task) if isinstance(tasks, Mapping) else None
        return found if isinstance(found, Mapping) else {}


def open_files(paths: Sequence[FilePath]) -> list[LogFile]:
    """The files of one task and model.

    Raises InputError for a file given twice, for several tasks or models, and for what is no JSONL.
    """
    refuse_doubles(paths)
    files = [_open(path) for path in paths]
    for what, names in (
        ("task", {file.task for file in files if file.task}),
        ("model", {str(m) for file in files if (m := file.results.get("model_name"))}),
    ):
        if len(names) > 1:
            raise InputError(
                f"these files are of different {what}s, and a pool is of one",
                where=", ".join(str(file.path) for file in files),
                got=", ".join(sorted(names)),
                hint=f"import each {what} into a pool of its own",
            )
    _refuse_other_documents(files)
    return files


def _open(path: FilePath) -> LogFile:
    lines = list(read_lines(path))
    if not lines:
        raise InputError("this file has no samples", where=str(path))
    match = _NAME.fullmatch(path.stem)
    task, date = (match["task"], match["date"]) if match else (None, None)
    beside = sorted(path.parent.glob("results_*.json"))
    mine = [other for other in beside if other.stem == f"results_{date}"]
    if not mine and task is None and len(beside) == 1:
        mine = beside
    results = _results(mine[0]) if mine else {}
    if task is None and len(results.get("configs", ())) == 1:
        task = next(iter(results["configs"]))
    return LogFile(path, lines, task, results)


def _results(path: FilePath) -> Mapping[str, Any]:
    try:
        found = json.loads(read_text(path))
    except ValueError as error:
        raise InputError(f"this file is not JSON: {error}", where=str(path)) from error
    return found if isinstance(found, Mapping) else {}


def _refuse_other_documents(files: Sequence[LogFile]) -> None:
    """Every doc_id has one hash."""
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


def choose_filter(files: Sequence[LogFile], wanted: str | None) -> str:
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


def choose_metric(files: Sequence[LogFile], filter_name: str, wanted: str | None) -> str:
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
