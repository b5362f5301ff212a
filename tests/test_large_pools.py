"""Pools in many files, and pools reduced to counts: the same numbers as from all rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ttscale.errors import InputError
from ttscale.laws.sampled import choose_samples, sampled_curves
from ttscale.laws.study import study
from ttscale.record import large
from ttscale.record.pool import METADATA, Pool, make_pool
from ttscale.record.samples import read_samples
from ttscale.record.tally import tally
from ttscale.stats.pool_curves import curves

N_PROBLEMS, N = 12, 40
N_UNGRADABLE = 7


def pool() -> Pool:
    """Samples with ungradable answers, abstentions, and problems of unequal size."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for problem, rate in enumerate(rng.beta(0.6, 1.0, N_PROBLEMS)):
        for index in range(N - problem % 3):
            right = bool(rng.random() < rate)
            silent = rng.random() < 0.1
            answer_class = 0 if right else 1 + int(rng.integers(4))
            rows.append(
                {
                    "problem_id": f"problem {problem}",
                    "sample_index": index,
                    "sample_set": "samples",
                    "answer": None if silent else str(answer_class),
                    "answer_class": None if silent else answer_class,
                    "correct": None if len(rows) < N_UNGRADABLE else right and not silent,
                    "n_generated_tokens": int(rng.integers(5, 50)),
                    "finish_reason": "length" if rng.random() < 0.2 else "stop",
                    "response": " " if rng.random() < 0.1 else "so",
                    "score.length": float(rng.random()),
                }
            )
    return make_pool(rows, {"model": "coin", "benchmark": "coins", "simulated": True})


def write(table: pa.Table, path: Path, metadata: Any) -> None:
    said = {METADATA: json.dumps(dict(metadata)).encode()}
    pq.write_table(table.replace_schema_metadata(said), path, row_group_size=50)


def shards(folder: Path, whole: Pool, n: int = 3) -> Path:
    """The pool in n files, rows dealt out in turn."""
    folder.mkdir()
    for number in range(n):
        rows = list(range(number, len(whole), n))
        write(whole.table.take(rows), folder / f"{number}.parquet", whole.metadata)
    return folder


def test_counts_give_the_curves_that_rows_give() -> None:
    whole = pool()
    ks = np.array([1, 2, 3, 8, N - 2])
    ids, rows = whole.problems()
    by_rows = curves(rows, whole.correct(), whole.classes(), ks=ks)
    (counted,) = tally(whole.table.to_batches(max_chunksize=17)).values()
    assert counted.counts.problem_ids == ids
    np.testing.assert_array_equal(counted.counts.n_samples, by_rows.n_samples)
    np.testing.assert_array_equal(counted.counts.n_correct, by_rows.n_correct)
    np.testing.assert_array_equal(counted.counts.n_ungradable, by_rows.n_ungradable)
    np.testing.assert_array_equal(counted.n_abstain, by_rows.n_abstain)
    np.testing.assert_array_equal(counted.coverage(ks), by_rows.matrices["coverage"])
    np.testing.assert_allclose(counted.votes(ks), by_rows.matrices["majority"], atol=1e-12)
    table = whole.table
    assert counted.ends == {
        "n_generated_tokens": sum(table["n_generated_tokens"].to_pylist()),
        "n_truncated": table["finish_reason"].to_pylist().count("length"),
        "n_cut": 0,
        "n_empty": table["response"].to_pylist().count(" "),
        "n_without_answer": table["answer"].null_count,
    }


def test_sample_sets_are_counted_apart() -> None:
    table = pool().table
    other = table.set_column(2, "sample_set", pa.array(["hot"] * len(table)))
    both = tally([table, other.slice(0, 100)])
    assert list(both) == ["samples", "hot"]
    assert both["samples"].counts.n_samples.sum() == len(table)
    assert both["hot"].counts.n_samples.sum() == 100


def test_a_folder_of_files_is_one_pool(tmp_path: Path) -> None:
    whole = pool()
    (samples,) = read_samples(shards(tmp_path / "parts", whole))
    assert samples.pool is not None
    assert len(samples.pool) == len(whole)
    assert samples.metadata["benchmark"] == "coins"


def test_a_large_pool_is_studied_as_a_small_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shards(tmp_path / "parts", pool())
    rng = np.random.default_rng
    small, notes = sampled_curves(choose_samples(read_samples(folder)), None, rng(0))
    monkeypatch.setattr(large, "LARGE", 10)
    (samples,) = read_samples(folder)
    assert samples.pool is None
    assert samples.simulated
    counted, more = sampled_curves(samples, None, rng(0))
    place = [list(counted.problems).index(name) for name in small.problems]
    for name in ("coverage", "majority"):
        np.testing.assert_allclose(counted.matrices[name][place], small.matrices[name], atol=1e-12)
    left_out = {"best_of:length", "weighted_majority:length"}
    assert set(small.matrices) - set(counted.matrices) == left_out
    assert any("no curves for the scores of length" in note for note in more)
    assert notes[-1] == more[-1] == f"{N_UNGRADABLE} ungradable samples count as wrong"
    record = study(samples, n_bootstrap=0).to_json()
    assert record["n_samples"] == len(pool())
    truncated = pool().table["finish_reason"].to_pylist().count("length")
    assert record["counts"]["n_truncated"] == truncated
    assert record["counts"]["n_ungradable"] == N_UNGRADABLE


@pytest.mark.parametrize("limit", [10, large.LARGE])
def test_what_is_wrong_with_files_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(large, "LARGE", limit)
    whole = pool()
    folder = shards(tmp_path / "parts", whole)
    other = folder / "3.parquet"
    write(whole.table.slice(3, 2), other, whole.metadata)
    with pytest.raises(InputError, match="2 rows of this pool stand more than once"):
        read_samples(folder)
    write(whole.table.slice(3, 2), other, {**whole.metadata, "model": "dice"})
    with pytest.raises(InputError, match="the files of one pool have one model"):
        read_samples(folder)
    other.unlink()
    named = whole.table.append_column("benchmark", pa.array(["a", "b"] * (len(whole) // 2)))
    write(named, tmp_path / "mixed.parquet", whole.metadata)
    with pytest.raises(InputError, match="mixes benchmarks"):
        read_samples(tmp_path / "mixed.parquet")
    write(pa.table({"x": list(range(20))}), other, whole.metadata)
    with pytest.raises(InputError, match="a pool needs a column"):
        read_samples(other)
    other.write_text("not Parquet")
    with pytest.raises(InputError, match="not a pool"):
        read_samples(other)
