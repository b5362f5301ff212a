"""Pools out of ttscale: a Parquet file, a JSONL file, or a Hugging Face dataset folder.

All three say how the samples came about: Parquet in its schema, JSONL in a `.metadata.json` beside
it, the dataset in its card (and in the schema of its file, so `ttscale fit` reads that too).
"""

from __future__ import annotations

import json
from pathlib import Path as FilePath
from typing import Any

from ttscale.errors import InputError, TTScaleError, closest
from ttscale.formats.card import card
from ttscale.record.files import replacing
from ttscale.record.pool import Pool, metadata_file, read_pool

TARGETS = ("parquet", "jsonl", "hf")
SUFFIXES = (".parquet", ".jsonl")
DATA = "data"
"""Folder of a dataset's files."""


def check_pool_name(path: FilePath) -> None:
    """Raises InputError for a path that no pool can be written to."""
    if path.suffix not in SUFFIXES:
        raise InputError(
            "a pool is a .parquet or a .jsonl file",
            where="--out",
            got=str(path),
            hint=str(path.with_suffix(".parquet")),
        )
    if path.is_dir():
        raise InputError("this is a folder", where="--out", got=str(path))
    if not path.parent.is_dir():
        raise InputError("there is no such folder", where="--out", got=str(path.parent))


def write_pool(pool: Pool, path: FilePath) -> None:
    """Write a pool as its path's ending says; the same content gives the same file."""
    check_pool_name(path)
    if path.suffix == ".parquet":
        pool.write(path)
    else:
        pool.write_lines(path)


def export(source: FilePath, to: str, out: FilePath) -> Pool:
    """Write a run's or a file's pool in another form; returns the pool.

    Raises InputError for an unknown form, a path of another kind, and what is not a pool.
    """
    if to not in TARGETS:
        raise InputError("there is no such form", where="--to", got=to, hint=closest(to, TARGETS))
    if to != "hf" and out.suffix != f".{to}":
        raise InputError(
            f"{to} goes into a .{to} file",
            where="--out",
            got=str(out),
            hint=str(out.with_suffix(f".{to}")),
        )
    pool = read_pool(source)
    if out.exists() and out.resolve() in (source.resolve(), (source / "pool.parquet").resolve()):
        raise InputError("this is the pool itself", where="--out", got=str(out))
    if to == "hf":
        _write_dataset(pool, source, out)
    else:
        write_pool(pool, out)
    return pool


def show(pool: Pool, out: FilePath, *, as_json: bool) -> None:
    """Say what was written, on stdout."""
    n_problems = len(pool.counts().problem_ids)
    if as_json:
        said: dict[str, Any] = {
            "out": str(out),
            "n_problems": n_problems,
            "n_samples": len(pool),
            "metadata": dict(pool.metadata),
        }
        print(json.dumps(said, ensure_ascii=False))
        return
    beside = [] if out.suffix != ".jsonl" else [f"; {metadata_file(out).name} says what it is"]
    print(f"{out}: {n_problems:,} problems, {len(pool):,} samples" + "".join(beside))


def _write_dataset(pool: Pool, source: FilePath, out: FilePath) -> None:
    """The folder that `datasets.load_dataset(folder)` reads: a card, and Parquet files by name."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            "this folder is not empty, and what is in it would mix with the dataset",
            where="--out",
            got=str(out),
            hint="name a folder that does not exist yet",
        )
    import pyarrow.parquet as pq

    from ttscale.record.files import write_parquet

    tables = {
        name: pq.read_table(source / f"{name}.parquet")
        for name in ("answers", "ledger")
        if (source / f"{name}.parquet").is_file()
    }
    config = source / "config.yaml"
    text = card(
        pool,
        config.read_text(encoding="utf-8") if config.is_file() else None,
        {"samples": pool.table, **tables},
    )
    try:
        (out / DATA).mkdir(parents=True)
    except OSError as error:
        raise TTScaleError(
            f"the folder cannot be made: {error.strerror}\n  where: {out}"
        ) from error
    pool.write(out / DATA / "samples.parquet")
    for name, table in tables.items():
        write_parquet(table, out / DATA / f"{name}.parquet")
    with replacing(out / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
