"""A run's settled problems, kept on disk while it works, so that its memory does not grow."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ttscale.errors import TTScaleError
from ttscale.record.files import replacing
from ttscale.record.ledger import Ledger, Totals
from ttscale.record.pool import make_pool
from ttscale.record.problems import problem_table
from ttscale.record.trees import tree_table
from ttscale.run.settle import Settled

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP, GROUP_BYTES = 1 << 17, 32 << 20
"""Rows that are read, counted and written together, and their bytes: what comes first."""


class Books:
    """Settled problems: their rows on disk, their sums in memory. A context manager.

    Parameters
    ----------
    folder : the run's; a hidden folder in it holds the rows until the block ends.
    score_names : verifiers whose scores samples may have.
    """

    def __init__(self, folder: FilePath, score_names: Sequence[str]) -> None:
        import pyarrow as pa

        self._folder = folder / ".settled"
        pool = make_pool([]).table.schema
        for name in sorted(set(score_names)):
            pool = pool.append(pa.field(f"score.{name}", pa.float64()))
        self._schemas = {
            "pool": pool,
            "ledger": Ledger().table().schema,
            "trees": tree_table("", {}).schema,
            "problems": problem_table([]).schema,
        }
        self._sinks: dict[str, pa.ipc.RecordBatchFileWriter] = {}
        self._places: dict[str, dict[str, int]] = {name: {} for name in self._schemas}
        self.scored: set[str] = set()
        """Columns of scores that some sample has."""
        self.totals: defaultdict[tuple[str, str, bool], Totals] = defaultdict(Totals)
        """Sums of the ledger by arm, kind and whether it was replayed."""

    def __enter__(self) -> Self:
        import pyarrow as pa

        shutil.rmtree(self._folder, ignore_errors=True)
        try:
            self._folder.mkdir()
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            for name, schema in self._schemas.items():
                path = str(self._folder / f"{name}.arrow")
                self._sinks[name] = pa.ipc.new_file(path, schema, options=options)
        except OSError as error:
            raise _trouble(self._folder, error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, settled: Settled) -> None:
        """Keep one problem's rows. Raises TTScaleError when the disk is full."""
        for name in self._schemas:
            rows: pa.Table = getattr(settled, name)
            batches = _with_columns(rows, self._schemas[name]).combine_chunks().to_batches()
            assert len(batches) <= 1, "chunks were combined"
            if not batches:
                continue
            try:
                self._sinks[name].write_batch(batches[0])
            except OSError as error:
                raise _trouble(self._folder, error) from error
            self._places[name][settled.problem_id] = len(self._places[name])
        self.scored.update(n for n in settled.pool.column_names if n.startswith("score."))
        self._count(settled.ledger)

    def _count(self, ledger: pa.Table) -> None:
        fields = Totals._fields[1:]
        sums = ledger.group_by(["arm", "kind", "replayed"]).aggregate(
            [([], "count_all"), *((name, "sum") for name in fields)]
        )
        for row in sums.to_pylist():
            key = row["arm"], row["kind"], row["replayed"]
            new = (row["count_all"], *(row[f"{name}_sum"] for name in fields))
            self.totals[key] = Totals(*map(sum, zip(self.totals[key], new, strict=True)))

    def close(self) -> None:
        """End writing; the rows can be read from now on."""
        for sink in self._sinks.values():
            sink.close()
        self._sinks.clear()

    def read(self, name: str, order: Sequence[str]) -> Iterator[pa.Table]:
        """The rows of one kind, such as `pool`, by problem in this order, some at a time."""
        import pyarrow as pa

        assert not self._sinks, "what is still written cannot be read"
        schema, places = self._schemas[name], self._places[name]
        empty = [c for c in schema.names if c.startswith("score.") and c not in self.scored]
        with pa.memory_map(str(self._folder / f"{name}.arrow")) as file:
            reader = pa.ipc.open_file(file)
            held, n_rows, n_bytes = [], 0, 0
            for problem_id in order:
                if problem_id in places:
                    held.append(reader.get_batch(places[problem_id]))
                    n_rows += held[-1].num_rows
                    n_bytes += held[-1].nbytes
                if n_rows >= ROW_GROUP or n_bytes >= GROUP_BYTES:
                    yield pa.Table.from_batches(held, schema).drop_columns(empty)
                    held, n_rows, n_bytes = [], 0, 0
            yield pa.Table.from_batches(held, schema).drop_columns(empty)

    def write(
        self, name: str, order: Sequence[str], path: FilePath, metadata: dict[bytes, bytes]
    ) -> None:
        """Write the rows of one kind as Parquet, whole or not at all."""
        import pyarrow.parquet as pq

        tables = self.read(name, order)
        first = next(tables).replace_schema_metadata(metadata)
        with (
            replacing(path) as temporary,
            pq.ParquetWriter(temporary, first.schema, compression="zstd") as writer,
        ):
            writer.write_table(first)
            for table in tables:
                if table.num_rows:
                    writer.write_table(table.replace_schema_metadata(metadata))


def _with_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the schema's columns; a score that is not there is NaN."""
    import pyarrow as pa

    nan = pa.array([float("nan")] * table.num_rows, pa.float64())
    there = table.column_names
    columns = {name: table[name] if name in there else nan for name in schema.names}
    return pa.table(columns, schema=schema)


def _trouble(folder: FilePath, error: OSError) -> TTScaleError:
    return TTScaleError(
        f"a file could not be written: {error.strerror or error}\n  where: {folder}\n"
        "  try:   make room on the disk and start the same command again; the journal is kept"
    )
