"""Pools in many Parquet files, and pools too large to be read whole.

A folder of Parquet files is one pool. Beyond `LARGE` rows a pool is read a batch at a time and
reduced to counts of each problem (`ttscale.record.tally`): memory grows with the problems and their
distinct answers, and by one bit for every sample, by which samples that stand twice are found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ttscale.errors import InputError
from ttscale.record.pool import METADATA, check_columns, typed
from ttscale.record.tally import Tally, tally

if TYPE_CHECKING:
    import pyarrow as pa

LARGE = 5_000_000
"""Rows from which on a pool is reduced to counts."""

BATCH = 1 << 20
"""Rows that are read at once."""

MAX_SPREAD = 64
"""Bits for each row that finding doubles may take: more if samples are not numbered from 0."""

COUNTED = (
    "problem_id",
    "sample_set",
    "answer_class",
    "correct",
    "n_generated_tokens",
    "finish_reason",
)


class Reduced(NamedTuple):
    """A large pool as counts.

    Attributes
    ----------
    sets : the counts of each sample set.
    metadata : what the files say about how they were made.
    left_out : columns of scores, which counts do not hold.
    """

    sets: dict[str, Tally]
    metadata: Mapping[str, Any]
    left_out: tuple[str, ...]


def reduce(paths: Sequence[FilePath], where: FilePath) -> Reduced:
    """Read a pool's Parquet files a batch at a time, and keep counts.

    Raises InputError for what is not a pool, for samples that stand twice, for files of different
    models or benchmarks, and for a pool that mixes benchmarks.
    """
    metadata = common_metadata(paths, where)
    seen = _Seen(paths)
    sets = tally(_batches(paths, where, seen))
    seen.refuse_doubles(where)
    names = _columns(paths)
    scores = tuple(name.removeprefix("score.") for name in names if name.startswith("score."))
    return Reduced(sets, metadata, scores)


def n_rows(paths: Sequence[FilePath]) -> int:
    """Rows of Parquet files, by their footers. Raises InputError for another kind of file."""
    return sum(_footer(path).num_rows for path in paths)


def common_metadata(paths: Sequence[FilePath], where: FilePath) -> dict[str, Any]:
    """The run's metadata of the first file, of which the others say the same."""
    import pyarrow.parquet as pq

    found: list[dict[str, Any]] = []
    for path in paths:
        raw = (pq.read_schema(path).metadata or {}).get(METADATA)
        found.append(json.loads(raw) if raw else {})
        for key in ("model", "benchmark", "simulated"):
            if found[-1].get(key) != found[0].get(key):
                raise InputError(
                    f"the files of one pool have one {key}",
                    where=str(where),
                    got=f"{found[0].get(key)} in {paths[0].name}, {found[-1].get(key)} in "
                    f"{path.name}",
                    hint="a folder for each",
                )
    return found[0] if found else {}


def _batches(paths: Sequence[FilePath], where: FilePath, seen: _Seen) -> Iterator[pa.Table]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    benchmarks: set[str] = set()
    for path in paths:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        check_columns(names, path)
        wanted = [n for n in (*COUNTED, "sample_index", "benchmark") if n in names]
        for batch in file.iter_batches(BATCH, columns=wanted):
            table = typed(pa.Table.from_batches([batch]), path)
            if "benchmark" in wanted:
                benchmarks.update(map(str, table["benchmark"].unique().to_pylist()))
                refuse_mixture(benchmarks, where)
            seen.add(table)
            yield table.select([name for name in COUNTED if name in wanted])


def refuse_mixture(benchmarks: set[str], where: FilePath) -> None:
    """A pool with a column `benchmark` holds one of them. Raises InputError."""
    if len(benchmarks) > 1:
        raise InputError(
            "this pool mixes benchmarks, and a law or a plan speaks about one",
            where=str(where),
            got=", ".join(sorted(benchmarks)),
            hint="write one pool for each value of the column benchmark",
        )


class _Seen:
    """Which samples have been met: a bit for each problem and index, nothing where they are not
    numbered from 0 or so."""

    def __init__(self, paths: Sequence[FilePath]) -> None:
        self._n_rows = 0
        self._most = MAX_SPREAD * n_rows(paths)
        self._stride = _largest_index(paths) + 1
        self._codes: dict[str, int] = {}
        self._bits = np.zeros(0, dtype=np.uint8)
        self._checked = self._stride > 0

    def add(self, table: pa.Table) -> None:
        """Note the samples of a batch."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not self._checked:
            return
        names = table["problem_id"]
        if "sample_set" in table.column_names:
            names = pc.binary_join_element_wise(table["sample_set"], names, "\x1f")
        encoded = names.combine_chunks().dictionary_encode()
        codes = [
            self._codes.setdefault(name, len(self._codes))
            for name in encoded.dictionary.to_pylist()
        ]
        if len(self._codes) * self._stride > self._most:
            self._checked = False
            return
        index = np.asarray(table["sample_index"].cast(pa.int64()).to_numpy())
        place = np.array(codes)[np.asarray(encoded.indices)] * self._stride + index
        n_bytes = -(-len(self._codes) * self._stride // 8)
        if n_bytes > len(self._bits):
            self._bits = np.concatenate([self._bits, np.zeros(n_bytes, dtype=np.uint8)])
        bits = np.left_shift(1, place & 7).astype(np.uint8)
        np.bitwise_or.at(self._bits, place >> 3, bits)
        self._n_rows += table.num_rows

    def refuse_doubles(self, where: FilePath) -> None:
        """The same sample twice would count as two draws. Raises InputError."""
        if self._checked and (n := self._n_rows - _n_ones(self._bits)):
            raise InputError(
                f"{n:,} rows of this pool stand more than once",
                where=str(where),
                hint="drop the doubles, or number the samples of each problem from 0",
            )


def _n_ones(bits: NDArray[np.uint8]) -> int:
    return int(np.bitwise_count(bits).sum(dtype=np.int64))


def _largest_index(paths: Sequence[FilePath]) -> int:
    """The largest sample_index by the footers' statistics; −1 where these do not tell."""
    largest = -1
    for path in paths:
        footer = _footer(path)
        names = [footer.schema.column(i).path for i in range(footer.num_columns)]
        if "sample_index" not in names:
            return -1
        column = names.index("sample_index")
        for group in range(footer.num_row_groups):
            known = footer.row_group(group).column(column).statistics
            if known is None or not known.has_min_max or known.min < 0 or known.null_count:
                return -1
            largest = max(largest, int(known.max))
    return largest


def _columns(paths: Sequence[FilePath]) -> list[str]:
    import pyarrow.parquet as pq

    return list(dict.fromkeys(name for path in paths for name in pq.read_schema(path).names))


def _footer(path: FilePath) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError("this file is not a pool", where=str(path), got=str(error)) from error
