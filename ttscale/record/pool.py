"""The pool: one row for each sampled answer, from whoever sampled it.

Pools are what estimators, laws and plans work on. They are exchanged as Parquet (the run's metadata
in the schema), as JSONL, or, smallest, as a counts file: CSV `problem_id,n_samples,n_correct`.

Columns
-------
problem_id : str.
sample_index : int, the order within the problem and the sample set.
sample_set : str; rows are independent draws of one distribution only within one sample set.
answer : str or null (an abstention).
answer_class : int or null: equal numbers are equivalent answers of one problem.
correct : bool or null (ungradable: the grader could not tell).
n_prompt_tokens, n_generated_tokens : int.
finish_reason : str; `length` means truncated.
response : str, the generated text; may be absent.
score.<verifier> : float, NaN where there is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ttscale.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

METADATA = b"ttscale"
"""Key of the run's metadata in a Parquet file's schema."""

REQUIRED = ("problem_id", "correct")
COUNTS = ("problem_id", "n_samples", "n_correct")


class Counts(NamedTuple):
    """Samples and right ones of each problem.

    Attributes
    ----------
    problem_ids : problems in order of first appearance, length P.
    n_samples, n_correct, n_ungradable : int arrays, shape (P,). An ungradable answer counts as a
        sample that is not right, and here.
    """

    problem_ids: tuple[str, ...]
    n_samples: NDArray[np.int64]
    n_correct: NDArray[np.int64]
    n_ungradable: NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """Sampled answers as an Arrow table, and what is known about how they were made."""

    table: pa.Table
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def sample_sets(self) -> tuple[str, ...]:
        """Names of the sample sets, in order of first appearance."""
        if "sample_set" not in self.table.column_names:
            return ("",)
        return tuple(self.table["sample_set"].unique().to_pylist()) or ("",)

    @property
    def score_names(self) -> tuple[str, ...]:
        """Verifiers whose scores the pool holds."""
        names: Sequence[str] = self.table.column_names
        return tuple(name.removeprefix("score.") for name in names if name.startswith("score."))

    def select(self, sample_set: str) -> Pool:
        """The rows of one sample set."""
        if "sample_set" not in self.table.column_names:
            return self
        import pyarrow.compute as pc

        return Pool(
            self.table.filter(pc.equal(self.table["sample_set"], sample_set)), self.metadata
        )

    def problems(self) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Problem ids in order of first appearance, and each row's index into them, shape (n,)."""
        encoded = self.table["problem_id"].combine_chunks().dictionary_encode()
        ids = tuple(map(str, encoded.dictionary.to_pylist()))
        return ids, np.asarray(encoded.indices, dtype=np.int64)

    def correct(self) -> NDArray[np.float64]:
        """1 right, 0 wrong, NaN ungradable; shape (n,)."""
        import pyarrow as pa

        column = self.table["correct"].cast(pa.float64())
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)

    def classes(self) -> NDArray[np.int64]:
        """Answer classes, −1 for an abstention; shape (n,)."""
        import pyarrow.compute as pc

        column = pc.fill_null(self.table["answer_class"], -1)
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.int64)

    def scores(self, verifier: str) -> NDArray[np.float64]:
        """A verifier's scores, NaN where there is none; shape (n,)."""
        column = self.table[f"score.{verifier}"]
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)

    def counts(self) -> Counts:
        """Samples and right ones of each problem."""
        ids, rows = self.problems()
        correct = self.correct()
        n = len(ids)
        return Counts(
            ids,
            np.bincount(rows, minlength=n),
            np.bincount(rows, weights=np.nan_to_num(correct), minlength=n).astype(np.int64),
            np.bincount(rows, weights=np.isnan(correct), minlength=n).astype(np.int64),
        )

    def write(self, path: FilePath) -> None:
        """Write as Parquet, the metadata in the schema."""
        from ttscale.record.files import write_parquet

        schema = {METADATA: json.dumps(self.metadata).encode()}
        write_parquet(self.table.replace_schema_metadata(schema), path)

    def write_lines(self, path: FilePath) -> None:
        """Write as JSONL, the metadata in the file that `metadata_file` names."""
        from ttscale.record.files import finite, replacing, write_json

        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            for batch in self.table.to_batches(max_chunksize=4096):
                for row in batch.to_pylist():
                    file.write(json.dumps(finite(row), ensure_ascii=False) + "\n")
        write_json(dict(self.metadata), metadata_file(path))


def metadata_file(path: FilePath) -> FilePath:
    """Where a JSONL pool's metadata lies: beside it."""
    return path.with_suffix(".metadata.json")


def make_pool(rows: Iterable[Mapping[str, Any]], metadata: Mapping[str, Any] | None = None) -> Pool:
    """A pool of rows; a score that a row does not have is NaN."""
    import pyarrow as pa

    rows = list(rows)
    fields = {
        "problem_id": pa.string(),
        "sample_index": pa.int64(),
        "sample_set": pa.string(),
        "answer": pa.string(),
        "answer_class": pa.int64(),
        "correct": pa.bool_(),
        "n_prompt_tokens": pa.int64(),
        "n_generated_tokens": pa.int64(),
        "finish_reason": pa.string(),
        "response": pa.string(),
    }
    rows = [{**row, "sample_set": row.get("sample_set") or ""} for row in rows]
    scores = sorted({key for row in rows for key in row if key.startswith("score.")})
    columns = {
        name: pa.array([row.get(name) for row in rows], type=kind) for name, kind in fields.items()
    }
    nan = float("nan")
    for name in scores:
        columns[name] = pa.array([row.get(name, nan) for row in rows], type=pa.float64())
    return Pool(pa.table(columns), dict(metadata or {}))


def parquet_files(path: FilePath) -> list[FilePath]:
    """The Parquet files of a pool: a run's, a folder's in order of their names, or the file."""
    if not path.is_dir():
        return [path] if path.suffix == ".parquet" and path.is_file() else []
    if (path / "pool.parquet").is_file():
        return [path / "pool.parquet"]
    is_run = (path / "config.yaml").exists()
    return [] if is_run else sorted(path.rglob("*.parquet"))


def read_pool(path: FilePath) -> Pool:
    """Read a pool from a run folder, a folder of Parquet files, a Parquet or a JSONL file.

    Raises InputError for what is not a pool.
    """
    files = parquet_files(path)
    if path.is_dir() and not files:
        raise InputError(
            "this folder holds no pool",
            where=str(path),
            hint="give a run's folder (it holds pool.parquet once the run has ended or was "
            "interrupted), a pool, a folder of Parquet files, or a counts file",
        )
    if not path.exists():
        raise InputError("there is no such file", where=str(path))
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix in {".jsonl", ".json"}:
            table = _read_lines(path)
        else:
            tables = [pq.read_table(file) for file in files or [path]]
            table = pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        raise InputError("this file is not a pool", where=str(path), got=str(error)) from error
    check_columns(table.column_names, path)
    if table.num_rows == 0:
        raise InputError("this pool has no rows", where=str(path))
    table = typed(table, path)
    raw = (table.schema.metadata or {}).get(METADATA)
    if raw is None and path.suffix != ".parquet" and metadata_file(path).is_file():
        raw = metadata_file(path).read_bytes()
    return Pool(table, json.loads(raw) if raw else {})


def check_columns(names: Sequence[str], path: FilePath) -> None:
    """Raises InputError for a pool without the columns that all have."""
    for name in REQUIRED:
        if name not in names:
            raise InputError(
                f"a pool needs a column {name}",
                where=str(path),
                got=", ".join(names) or "no columns",
                hint="see ttscale.record.pool for the columns",
            )


def _read_lines(path: FilePath) -> pa.Table:
    """A JSONL file, however long its lines are."""
    import pyarrow.json as pj

    block_size = min(max(1 << 20, path.stat().st_size), 1 << 30)
    return pj.read_json(path, read_options=pj.ReadOptions(block_size=block_size))


def typed(table: pa.Table, path: FilePath) -> pa.Table:
    """The table with the columns that are computed with in their types, or InputError."""
    import pyarrow as pa
    import pyarrow.compute as pc

    problem_ids = table["problem_id"].cast(pa.string())
    table = table.set_column(table.column_names.index("problem_id"), "problem_id", problem_ids)
    if "sample_set" in table.column_names:
        names = pc.fill_null(table["sample_set"].cast(pa.string()), "")
        table = table.set_column(table.column_names.index("sample_set"), "sample_set", names)
    kinds = {"correct": pa.bool_(), "answer_class": pa.int64()}
    kinds |= {name: pa.float64() for name in table.column_names if name.startswith("score.")}
    for name, kind in kinds.items():
        if name not in table.column_names:
            continue
        column = table[name]
        try:
            cast = column.cast(pa.float64()).cast(kind) if name == "correct" else column.cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise InputError(
                f"{name} is not a column of {'true and false' if name == 'correct' else 'numbers'}",
                where=str(path),
                got=column.slice(0, 3).to_pylist(),
            ) from error
        table = table.set_column(table.column_names.index(name), name, cast)
    return table


def read_counts(path: FilePath) -> Counts:
    """Read a counts file (CSV `problem_id,n_samples,n_correct`), or a pool's counts.

    Raises InputError for a missing column, a doubled problem, a count that is negative or not a
    whole number, and more right ones than samples.
    """
    if path.suffix != ".csv":
        return read_pool(path).counts()
    if not path.is_file():
        raise InputError("there is no such file", where=str(path))
    import pyarrow as pa
    import pyarrow.csv as pc

    try:
        table = pc.read_csv(
            path, convert_options=pc.ConvertOptions(column_types={"problem_id": pa.string()})
        )
    except pa.ArrowInvalid as error:
        raise InputError("this file is not CSV", where=str(path), got=str(error)) from error
    for name in COUNTS:
        if name not in table.column_names:
            raise InputError(
                f"a counts file needs a column {name}",
                where=str(path),
                got=", ".join(table.column_names),
                hint="columns " + ",".join(COUNTS),
            )
    if table.num_rows == 0:
        raise InputError("this counts file has no rows", where=str(path))
    ids = tuple(map(str, table["problem_id"].to_pylist()))
    if len(set(ids)) < len(ids):
        double = next(name for name in ids if ids.count(name) > 1)
        raise InputError("a problem stands twice in this counts file", where=str(path), got=double)
    n_samples, n_correct = (_whole(table, name, path) for name in COUNTS[1:])
    if (bad := np.flatnonzero(n_correct > n_samples)).size:
        row = int(bad[0])
        raise InputError(
            "more right answers than samples",
            where=f"{path}, problem {ids[row]}",
            got=f"n_samples={n_samples[row]}, n_correct={n_correct[row]}",
        )
    return Counts(ids, n_samples, n_correct, np.zeros(len(ids), dtype=np.int64))


def _whole(table: pa.Table, name: str, path: FilePath) -> NDArray[np.int64]:
    """A column of counts, checked."""
    try:
        values = np.asarray(table[name].to_numpy(), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} is not a column of numbers",
            where=str(path),
            got=table[name].to_pylist()[:3],
        ) from error
    if (bad := np.flatnonzero(~(values >= 0) | (values != np.floor(values)))).size:
        row = int(bad[0])
        raise InputError(
            f"{name} is not a count", where=f"{path}, row {row + 2}", got=float(values[row])
        )
    return values.astype(np.int64)
