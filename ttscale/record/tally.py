"""Sample sets reduced to counts, in one pass and in memory that does not grow with the samples.

A pool is read a batch at a time, and of each batch only counts are kept: for every problem and
answer class, how many samples there are, how many of them are right, and how they ended. Coverage
and majority vote need no more. Memory grows with the number of distinct answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ttscale.record.pool import Counts
from ttscale.stats.coverage import pass_at_k
from ttscale.stats.pool_curves import vote_of_counts

if TYPE_CHECKING:
    import pyarrow as pa

KEYS = ("sample_set", "problem_id", "answer_class")
CONCENTRATE = 1 << 20
"""Rows of counts that are gathered before counts of the same answer are added up."""


@dataclass(frozen=True)
class Tally:
    """The counts of one sample set.

    Attributes
    ----------
    counts : samples and right ones of each problem, P of them.
    owner, size, hits : of each answer class, the index of its problem (ascending), its samples and
        the right ones among them; int, shape (classes,).
    n_abstain : samples without an answer class, by problem; int, shape (P,).
    voted : whether the pool has answer classes at all.
    ends : sums over all samples of what the pool has columns for: `n_generated_tokens`,
        `n_truncated`, `n_cut`, `n_empty`, `n_without_answer`.
    """

    counts: Counts
    owner: NDArray[np.int64]
    size: NDArray[np.int64]
    hits: NDArray[np.int64]
    n_abstain: NDArray[np.int64]
    voted: bool
    ends: Mapping[str, int]

    def coverage(self, ks: NDArray[np.int64]) -> NDArray[np.float64]:
        """pass@k of each problem, shape (problems, ks); NaN where k exceeds its samples."""
        n, c = self.counts.n_samples, self.counts.n_correct
        return pass_at_k(n[:, None], c[:, None], ks)

    def votes(self, ks: NDArray[np.int64]) -> NDArray[np.float64]:
        """majority@k of each problem, likewise."""
        return vote_of_counts(self.owner, self.size, self.hits, self.n_abstain, ks)


def tally(batches: Iterable[pa.Table | pa.RecordBatch]) -> dict[str, Tally]:
    """The counts of every sample set of a pool, by name, in order of first appearance.

    Parameters
    ----------
    batches : a pool's rows, in any number of pieces that all have the same columns; see
        `ttscale.record.pool` for these. Only `problem_id` and `correct` must be there.
    """
    import pyarrow as pa

    gathered: list[pa.Table] = []
    voted, n_gathered = False, 0
    for batch in batches:
        voted |= "answer_class" in batch.schema.names
        gathered.append(_sums(_measures(batch)))
        n_gathered += gathered[-1].num_rows
        if n_gathered > CONCENTRATE and len(gathered) > 1:
            gathered = [_sums(pa.concat_tables(gathered))]
            n_gathered = 0
    if not gathered:
        return {}
    table = _sums(pa.concat_tables(gathered))
    names: Sequence[str] = table["sample_set"].unique().to_pylist()
    return {name: _of_set(table, name, voted=voted) for name in names}


def _measures(batch: pa.Table | pa.RecordBatch) -> pa.Table:
    """A batch as keys and numbers to add up, each row a count of one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names, n = batch.schema.names, batch.num_rows
    ids = batch["problem_id"].cast(pa.string())
    blank = pa.array([""] * n, pa.string()) if "sample_set" not in names else None
    sets = pc.fill_null(batch["sample_set"].cast(pa.string()), "") if blank is None else blank
    nothing = pa.nulls(n, pa.int64())
    classes = batch["answer_class"].cast(pa.int64()) if "answer_class" in names else nothing
    right = batch["correct"]
    columns: dict[str, Any] = {
        "sample_set": sets,
        "problem_id": ids,
        "answer_class": classes,
        "n_samples": pa.array(np.ones(n, dtype=np.int64)),
        "n_correct": pc.fill_null(right, False).cast(pa.int64()),
        "n_ungradable": pc.is_null(right).cast(pa.int64()),
    }
    if "n_generated_tokens" in names:
        columns["n_generated_tokens"] = pc.fill_null(batch["n_generated_tokens"], 0)
    if "finish_reason" in names:
        for name, finish in (("n_truncated", "length"), ("n_cut", "abort")):
            found = pc.fill_null(pc.equal(batch["finish_reason"], finish), False)
            columns[name] = found.cast(pa.int64())
    if "response" in names:
        text = pc.fill_null(batch["response"], "")
        columns["n_empty"] = pc.equal(pc.utf8_trim_whitespace(text), "").cast(pa.int64())
    if "answer" in names:
        columns["n_without_answer"] = pc.is_null(batch["answer"]).cast(pa.int64())
    return pa.table(columns)


def _sums(table: pa.Table) -> pa.Table:
    """The numbers added up over rows with the same keys, in order of first appearance."""
    numbers = [name for name in table.column_names if name not in KEYS]
    grouped = table.group_by(list(KEYS), use_threads=False)
    summed = grouped.aggregate([(name, "sum") for name in numbers])
    return summed.select([*KEYS, *(f"{name}_sum" for name in numbers)]).rename_columns(
        [*KEYS, *numbers]
    )


def _of_set(table: pa.Table, name: str, *, voted: bool) -> Tally:
    import pyarrow.compute as pc

    part = table.filter(pc.equal(table["sample_set"], name))
    encoded = part["problem_id"].combine_chunks().dictionary_encode()
    ids = tuple(map(str, encoded.dictionary.to_pylist()))
    problem = np.asarray(encoded.indices, dtype=np.int64)
    column = {
        name: part[name].to_numpy().astype(np.int64)
        for name in part.column_names
        if name not in KEYS
    }

    def by_problem(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        total = np.zeros(len(ids), dtype=np.int64)
        np.add.at(total, problem, numbers)
        return total

    classes = pc.fill_null(part["answer_class"], -1).to_numpy()
    votes = np.flatnonzero(classes >= 0)
    votes = votes[np.lexsort((classes[votes], problem[votes]))]
    three = ("n_samples", "n_correct", "n_ungradable")
    return Tally(
        Counts(ids, *(by_problem(column[name]) for name in three)),
        problem[votes],
        column["n_samples"][votes],
        column["n_correct"][votes],
        by_problem(np.where(classes < 0, column["n_samples"], 0)),
        voted and bool(len(votes)),
        {name: int(numbers.sum()) for name, numbers in column.items() if name not in three},
    )
