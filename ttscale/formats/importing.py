"""From other tools' files to a pool, and what is said about it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from ttscale.errors import InputError, closest
from ttscale.formats import inspect_log, large_language_monkeys, lm_eval, mapped, search_and_learn
from ttscale.formats.imported import Choices, Imported, make_imported_pool
from ttscale.record.pool import Pool
from ttscale.text import shown

Reader = Callable[[Sequence[FilePath], Choices], Imported]

FORMATS: Mapping[str, Reader] = {
    "lm-eval": lm_eval.read,
    "inspect": inspect_log.read,
    "search-and-learn": search_and_learn.read,
    "large-language-monkeys": large_language_monkeys.read,
    "table": mapped.read,
}
"""Readers by the names that `ttscale import` takes."""

_OPTIONS = {
    "filter": ("--filter", ("lm-eval",)),
    "metric": ("--metric", ("lm-eval", "inspect")),
    "columns": ("--map", ("table",)),
}
"""Choices that some formats alone offer."""

_NEEDED_FOR = {
    "answer_class": "votes",
    "n_generated_tokens": "budgets in tokens",
    "n_prompt_tokens": "prices in FLOPs, seconds, USD, joules",
    "finish_reason": "counting truncated answers",
}


class Import(NamedTuple):
    """A pool, and what was read for it."""

    pool: Pool
    imported: Imported


def import_files(format_name: str, files: Sequence[FilePath], choices: Choices) -> Import:
    """Read files of one format into a pool.

    Raises InputError for an unknown format, a choice that it does not offer, and whatever is wrong
    with the files.
    """
    if format_name not in FORMATS:
        raise InputError(
            "there is no such format",
            where="FORMAT",
            got=format_name,
            hint=closest(format_name, FORMATS),
        )
    for name, (option, formats) in _OPTIONS.items():
        if getattr(choices, name) and format_name not in formats:
            raise InputError(
                f"{option} says nothing about files of this format",
                where=option,
                got=format_name,
                hint=f"it is for {', '.join(formats)}",
            )
    for file in files:
        if not file.exists():
            pair = "=" in file.name
            raise InputError(
                "there is no such file",
                where=str(file),
                hint=f"--map before every pair: --map {file}" if pair else None,
            )
    imported = FORMATS[format_name](files, choices)
    return Import(make_imported_pool(imported, format_name, files, choices), imported)


def record(done: Import, out: FilePath) -> dict[str, Any]:
    """The object that `ttscale import --json` prints; docs/import.md explains its keys."""
    pool, imported = done
    counts = pool.counts()
    n = counts.n_samples
    return {
        "pool": str(out),
        **{key: pool.metadata[key] for key in ("model", "benchmark", "imported")},
        "n_problems": len(n),
        "n_samples": int(n.sum()),
        "n_samples_per_problem": [int(n.min()), int(n.max())],
        "n_correct": int(counts.n_correct.sum()),
        "n_ungradable": int(counts.n_ungradable.sum()),
        "accuracy": float((counts.n_correct / n).mean()),
        "reported": [{**each._asdict(), "agrees": each.agrees} for each in imported.reported],
        "columns": list(pool.table.column_names),
        "missing": missing(pool),
        "notes": list(pool.metadata["imported"]["notes"]),
    }


def missing(pool: Pool) -> dict[str, str]:
    """Columns that the files have nothing for, and what cannot be said without them."""
    names = pool.table.column_names
    return {name: use for name, use in _NEEDED_FOR.items() if name not in names}


def show(done: Import, out: FilePath, *, as_json: bool) -> None:
    """Say what was imported, on stdout."""
    said = record(done, out)
    print(json.dumps(said, ensure_ascii=False) if as_json else as_text(shown(said)))


def as_text(said: Mapping[str, Any]) -> str:
    """The record for a reader."""
    low, high = said["n_samples_per_problem"]
    per_problem = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    about = " on ".join(filter(None, (said["model"], said["benchmark"])))
    lines = [
        f"{said['pool']}{': ' + about if about else ''}, {said['n_problems']:,} problems × "
        f"{per_problem} samples, imported",
        f"accuracy {said['accuracy']:.4f}, graded by {said['imported']['graded_by']}",
    ]
    for each in said["reported"]:
        here = "the same here" if each["agrees"] else f"here they give {each['here']:.4f}"
        of = f"of {each['n_samples']:,} samples"
        lines.append(f"reported: {each['there']:.4f} {of} ({each['name']}); {here}")
    if said["n_ungradable"]:
        lines.append(f"ungradable: {said['n_ungradable']:,} samples, which count as wrong")
    lines += [f"left out: {n:,} {what}" for what, n in said["imported"]["left_out"].items()]
    lines += [f"missing: {name}, for {use}" for name, use in said["missing"].items()]
    lines += [f"note: {note}" for note in said["notes"]]
    return "\n".join(lines)
