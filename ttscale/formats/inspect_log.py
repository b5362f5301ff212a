"""Logs of inspect: `.eval`, an archive with a file for each sample, and `.json`, one object.

A sample is one epoch of one problem, with a score from each scorer, the tokens that the provider
counted, and why generation stopped.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from ttscale.errors import InputError, closest
from ttscale.formats.imported import Choices, Imported, Reported
from ttscale.formats.lines import Record, read_text, refuse_doubles
from ttscale.formats.zipped import Archive, opened

_FINISH = {"max_tokens": "length", "model_length": "length"}
"""inspect's words for the end of generation, where the pool has another."""

_VALUES = {"C": 1.0, "I": 0.0, "N": 0.0}
"""What inspect's letters are worth; P, partly right, is neither."""

_KEPT = ("id", "epoch", "scores", "error", "output", "model_usage")
"""What is kept in memory of a sample, whose events may be a thousand times as much."""

_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}


@dataclass(frozen=True)
class _Log:
    """One log: what it says of itself, and its samples."""

    path: FilePath
    header: Mapping[str, Any]
    samples: Sequence[Record]

    @property
    def spec(self) -> Mapping[str, Any]:
        """Task, model, versions."""
        spec: Mapping[str, Any] = self.header["eval"]
        return spec

    def accuracy(self, scorer: str) -> float | None:
        """What inspect reports of a scorer, if epochs were reduced by their mean."""
        for score in (self.header.get("results") or {}).get("scores", ()):
            if score["name"] == scorer and score.get("reducer") in (None, "mean"):
                metric = score.get("metrics", {}).get("accuracy")
                return None if metric is None else float(metric["value"])
        return None


def read(paths: Sequence[FilePath], choices: Choices) -> Imported:
    """Samples of one task and model; several logs are further epochs.

    Raises InputError for several scorers among which none was chosen, logs of other tasks or
    models, a sample that stands twice, and scores that are neither right nor wrong.
    """
    refuse_doubles(paths)
    logs = [_open(path) for path in paths]
    _refuse_mixture(logs)
    scorer = _choose_scorer(logs, choices.metric)
    rows: list[dict[str, Any]] = []
    reported, left_out, notes = [], Counter[str](), []
    n_several = 0
    for log in logs:
        model = str(log.spec.get("model"))
        found = (_row(sample, scorer, model, left_out) for sample in log.samples)
        mine = [row for row in found if row is not None]
        n_several += sum(row["n_prompt_tokens"] is None for row in mine)
        rows += mine
        there = log.accuracy(scorer)
        if there is not None and mine:
            name = f"{log.path.name}: {scorer}"
            reported.append(Reported(name, there, _mean(mine), len(mine)))
        if log.header.get("status") != "success":
            notes.append(f"{log.path.name} is of a run that ended as {log.header.get('status')}")
    if n_several:
        notes.append(
            f"{n_several:,} samples took several calls of the model, or none that was counted: "
            "their generated tokens are those of all calls, their prompt tokens are missing"
        )
    spec = logs[0].spec
    version = spec.get("packages", {}).get("inspect_ai")
    tool = f"inspect_ai {version}" if version else "inspect_ai"
    return Imported(
        rows,
        f"{tool}, the scorer {scorer}",
        tool,
        str(spec.get("model") or "") or None,
        str(spec.get("task") or "") or None,
        reported,
        left_out,
        notes,
        all(log.header.get("status") == "success" for log in logs),
    )


def _open(path: FilePath) -> _Log:
    if path.suffix == ".json":
        try:
            whole = json.loads(read_text(path))
        except ValueError as error:
            raise InputError(
                f"this log is not JSON: {error}",
                where=str(path),
                hint="a log that is still being written is read once it has ended",
            ) from error
        samples = whole.get("samples") if isinstance(whole, dict) else None
        records = [Record(s, f"{path}: sample {i + 1}") for i, s in enumerate(samples or ())]
        return _checked(path, whole, records)
    with opened(path) as archive:
        if "header.json" not in archive.names:
            raise InputError(
                "this log has not ended: its header is missing"
                if "_journal/start.json" in archive.names
                else "this archive is not a log of inspect",
                where=str(path),
                got=", ".join(archive.names[:5]),
                hint="wait for the evaluation, or finish it with `inspect eval-retry`",
            )
        return _checked(path, json.loads(archive.read("header.json")), list(_members(archive)))


def _members(archive: Archive) -> Iterator[Record]:
    for name in archive.names:
        if name.startswith("samples/"):
            sample = json.loads(archive.read(name))
            yield Record({key: sample[key] for key in _KEPT if key in sample}, name)


def _checked(path: FilePath, header: Any, samples: Sequence[Record]) -> _Log:
    if not isinstance(header, dict) or not isinstance(header.get("eval"), dict):
        raise InputError(
            "this is not a log of inspect",
            where=str(path),
            got=", ".join(header) if isinstance(header, dict) else header,
            hint="a .eval or .json file from inspect's log folder",
        )
    if not samples:
        raise InputError(
            "this log holds no samples",
            where=str(path),
            got=f"status {header.get('status')}",
            hint="inspect logs samples unless told --no-log-samples",
        )
    return _Log(path, header, samples)


def _refuse_mixture(logs: Sequence[_Log]) -> None:
    for key in ("task", "model"):
        names = {str(log.spec.get(key)) for log in logs}
        if len(names) > 1:
            raise InputError(
                f"these logs are of different {key}s, and a pool is of one",
                where=", ".join(str(log.path) for log in logs),
                got=", ".join(sorted(names)),
                hint=f"import each {key} into a pool of its own",
            )
    known: dict[object, str] = {}
    for log in logs:
        for sample in log.samples:
            draw = (log.spec.get("eval_id"), sample.value.get("id"), sample.value.get("epoch"))
            if draw in known:
                raise InputError(
                    "a sample stands twice in these logs",
                    where=f"{log.path}, sample {draw[1]}, epoch {draw[2]}",
                    got=f"it stands in {known[draw]} too",
                    hint="give each evaluation once, as .eval or as .json",
                )
            known[draw] = str(log.path)


def _choose_scorer(logs: Sequence[_Log], wanted: str | None) -> str:
    names = list(
        dict.fromkeys(
            name for log in logs for s in log.samples for name in (s.value.get("scores") or ())
        )
    )
    if not names:
        raise InputError(
            "these samples are not scored",
            where=str(logs[0].path),
            hint="`inspect score LOG --scorer match` scores them",
        )
    if wanted is None and len(names) == 1:
        return str(names[0])
    if wanted is None or wanted not in names:
        raise InputError(
            "several scorers say what is right"
            if wanted is None
            else "there is no such scorer in these logs",
            where=str(logs[0].path) if wanted is None else "--metric",
            got=wanted or ", ".join(names),
            hint=f"--metric {names[0]}" if wanted is None else closest(wanted, names),
        )
    return wanted


def _row(sample: Record, scorer: str, model: str, left_out: Counter[str]) -> dict[str, Any] | None:
    """A sample as a row of the pool; None where it was not scored."""
    value = sample.value
    score = (value.get("scores") or {}).get(scorer)
    if value.get("error") and score is None:
        left_out["samples that ended in an error"] += 1
        return None
    if score is None or _is_nan(score.get("value")):
        left_out["samples without a score"] += 1
        return None
    output = value.get("output") or {}
    last = output.get("usage") or {}
    usage = (value.get("model_usage") or {}).get(model, last)
    alone = usage.get("total_tokens") == last.get("total_tokens")
    choices = output.get("choices") or [{}]
    stop = choices[0].get("stop_reason")
    answer = score.get("answer")
    return {
        "problem_id": str(value.get("id")),
        "answer": answer.strip() or None if isinstance(answer, str) else None,
        "correct": _verdict(score.get("value"), sample, scorer),
        "n_prompt_tokens": _n_prompt_tokens(last) if alone else None,
        "n_generated_tokens": usage.get("output_tokens"),
        "finish_reason": _FINISH.get(stop, stop),
        "response": output.get("completion"),
    }


def _n_prompt_tokens(usage: Mapping[str, Any]) -> int | None:
    """Prompt tokens, those that the provider read from its cache or wrote there included."""
    if usage.get("input_tokens") is None:
        return None
    parts = ("input_tokens", "input_tokens_cache_read", "input_tokens_cache_write")
    return sum(int(usage.get(part) or 0) for part in parts)


def _verdict(value: object, sample: Record, scorer: str) -> bool:
    number = value
    if isinstance(value, str):
        number = _VALUES.get(value, _WORDS.get(value.lower()))
        if number is None and value in ("0", "1", "0.0", "1.0"):
            number = float(value)
    if isinstance(number, int | float) and number in (0, 1):
        return bool(number)
    raise InputError(
        f"the scorer {scorer} says neither right nor wrong",
        where=sample.where,
        got=value,
        hint="a scorer whose scores are C and I, 1 and 0, or true and false: --metric NAME",
    )


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _mean(rows: Sequence[Mapping[str, Any]]) -> float:
    """Accuracy as inspect takes it: over the epochs of a problem, then over problems."""
    right: dict[str, list[bool]] = {}
    for row in rows:
        right.setdefault(row["problem_id"], []).append(row["correct"])
    return sum(sum(each) / len(each) for each in right.values()) / len(right)
