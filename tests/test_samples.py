"""What fit, plan and compare read: sample sets of a run, a pool, a counts file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ttscale.errors import InputError
from ttscale.record.samples import read_samples

ROWS: list[dict[str, Any]] = [
    {"problem_id": "a", "sample_index": 0, "correct": True, "score.v": 0.5},
    {"problem_id": "a", "sample_index": 1, "correct": False, "score.v": None},
    {"problem_id": "b", "sample_index": 0, "correct": None, "score.v": 0.1},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_a_pool_without_sets_is_one_set(tmp_path: Path) -> None:
    (samples,) = read_samples(write(tmp_path / "p.jsonl", ROWS))
    assert samples.independent and not samples.simulated
    assert samples.counts.n_samples.tolist() == [2, 1]
    assert samples.counts.n_correct.tolist() == [1, 0]
    assert samples.counts.n_ungradable.tolist() == [0, 1]


def test_sets_are_told_apart(tmp_path: Path) -> None:
    rows = [{**row, "sample_set": name} for name in ("x", "y") for row in ROWS]
    first, second = read_samples(write(tmp_path / "p.jsonl", rows))
    assert (first.name, second.name) == ("x", "y")
    assert first.label.endswith("p.jsonl [x]")
    assert first.pool is not None and len(first.pool) == 3


def test_the_ends_of_a_search_are_marked(tmp_path: Path) -> None:
    from ttscale.record.pool import make_pool

    rows = [{**row, "sample_set": name} for name in ("beam", "plain") for row in ROWS]
    metadata = {"searches": ["beam"], "oracles": ["exact"], "simulated": True}
    make_pool(rows, metadata).write(tmp_path / "pool.parquet")
    beam, plain = read_samples(tmp_path)
    assert not beam.independent and plain.independent
    assert plain.simulated and plain.is_oracle("exact") and not plain.is_oracle("prm")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_index": 0}, "stand more than once"),
        ({"benchmark": "other"}, "mixes benchmarks"),
        ({"correct": "yes"}, "correct is not a column of true and false"),
        ({"score.v": "high"}, "score.v is not a column of numbers"),
    ],
)
def test_bad_pools_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    rows = [{**row, "benchmark": "one"} for row in ROWS]
    if isinstance(next(iter(changes.values())), str) and "benchmark" not in changes:
        rows = [{**row, **changes} for row in rows]
    else:
        rows[1] |= changes
    with pytest.raises(InputError, match=message):
        read_samples(write(tmp_path / "p.jsonl", rows))


def test_a_set_without_a_name_is_a_set(tmp_path: Path) -> None:
    (samples,) = read_samples(
        write(tmp_path / "p.jsonl", [{**row, "sample_set": None} for row in ROWS])
    )
    assert samples.pool is not None and len(samples.pool) == 3
