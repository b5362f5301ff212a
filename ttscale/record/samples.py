"""Sample sets: what estimators, laws and plans read from a run, a pool or a counts file.

A pool may hold several sets of samples, each drawn from one distribution. Only rows of one set are
comparable draws, so every study is of one set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from ttscale.errors import InputError
from ttscale.record import large
from ttscale.record.pool import Counts, Pool, parquet_files, read_counts, read_pool
from ttscale.record.tally import Tally


@dataclass(frozen=True)
class SampleSet:
    """The samples of one distribution over the problems of one benchmark.

    Attributes
    ----------
    source : the path as it was given.
    name : of the set within its pool; empty for a counts file and a pool without sets.
    counts : samples and right ones of each problem.
    pool : the rows; None for a counts file, which has none, and for a large pool.
    metadata : what the pool says about how it was made: `model`, `benchmark`, `simulated`, ….
    independent : whether the samples of a problem are independent draws. The ends of a search are
        not: no estimator at other budgets follows from them.
    tally : the counts of a large pool, answer classes included; None for any other.
    left_out : verifiers whose scores a large pool has, which are not read.
    """

    source: str
    name: str
    counts: Counts
    pool: Pool | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    independent: bool = True
    tally: Tally | None = None
    left_out: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """How tables name the set."""
        return f"{self.source} [{self.name}]" if self.name else self.source

    @property
    def simulated(self) -> bool:
        """Whether the samples come from the simulated engine."""
        return bool(self.metadata.get("simulated", False))

    @property
    def imported(self) -> str | None:
        """What wrote the samples where that was another tool, such as `lm_eval 0.4.13`."""
        return imported_from(self.metadata)

    def is_oracle(self, verifier: str) -> bool:
        """Whether a verifier's scores look at the reference answer, as far as the pool says."""
        return verifier in self.metadata.get("oracles", ())

    def is_rescored(self, verifier: str) -> bool:
        """Whether a verifier scored the samples after the run had ended."""
        return verifier in self.metadata.get("rescored", ())


def imported_from(metadata: Mapping[str, Any]) -> str | None:
    """The tool, or the format, that a pool was imported from; None for a pool of ttscale's own."""
    imported = metadata.get("imported")
    return str(imported.get("tool") or imported.get("format")) if imported else None


def read_samples(path: FilePath) -> list[SampleSet]:
    """The sample sets of a run folder, a pool (Parquet, a folder of it, JSONL) or a counts file.

    Of a pool of more than `ttscale.record.large.LARGE` rows only counts are kept in memory.

    Raises InputError for what is neither, for a row that stands twice, and for a pool that mixes
    benchmarks.
    """
    if path.suffix == ".csv":
        return [SampleSet(str(path), "", read_counts(path))]
    files = parquet_files(path)
    if files and large.n_rows(files) > large.LARGE:
        return _reduced(path, files)
    pool = read_pool(path)
    if len(files) > 1:
        large.common_metadata(files, path)
    if "benchmark" in pool.table.column_names:
        large.refuse_mixture(set(map(str, pool.table["benchmark"].unique().to_pylist())), path)
    _refuse_doubles(pool, path)
    searches = set(pool.metadata.get("searches", ()))
    sets = []
    for name in pool.sample_sets:
        part = pool.select(name)
        sets.append(
            SampleSet(str(path), name, part.counts(), part, pool.metadata, name not in searches)
        )
    return sets


def _reduced(path: FilePath, files: Sequence[FilePath]) -> list[SampleSet]:
    """The sample sets of a large pool, as counts."""
    sets, metadata, left_out = large.reduce(files, path)
    searches = set(metadata.get("searches", ()))
    return [
        SampleSet(
            str(path),
            name,
            one.counts,
            metadata=metadata,
            independent=name not in searches,
            tally=one,
            left_out=left_out,
        )
        for name, one in sets.items()
    ]


def _refuse_doubles(pool: Pool, path: FilePath) -> None:
    """The same sample twice would count as two draws."""
    if "sample_index" not in pool.table.column_names:
        return
    key = [
        name for name in ("sample_set", "problem_id", "sample_index")
        if name in pool.table.column_names
    ]  # fmt: skip
    counted = pool.table.group_by(key).aggregate([([], "count_all")])
    n_doubled = pool.table.num_rows - counted.num_rows
    if n_doubled:
        import pyarrow.compute as pc

        first = counted.filter(pc.greater(counted["count_all"], 1)).slice(0, 1).to_pylist()[0]
        raise InputError(
            f"{n_doubled} rows of this pool stand more than once",
            where=str(path),
            got=", ".join(f"{name} {first[name]}" for name in key),
            hint="drop the doubles, or number the samples of each problem from 0",
        )
