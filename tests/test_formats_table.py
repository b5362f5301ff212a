"""Tables of anyone's making: the names of their columns, rows and lists, and what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ttscale.errors import InputError
from ttscale.formats.imported import Choices
from ttscale.formats.importing import Import, import_files
from ttscale.formats.mapped import parse_columns

ROWS: list[dict[str, Any]] = [
    {"task": 1, "passed": True, "out": "4", "reward": 0.5, "usage": {"tokens": 7}},
    {"task": 1, "passed": False, "out": None, "reward": None, "usage": {"tokens": 9}},
    {"task": 2, "passed": None, "out": "x", "reward": -1, "usage": {"tokens": 3}},
]
PAIRS = ["problem_id=task", "correct=passed", "answer=out", "score.rm=reward",
         "n_generated_tokens=usage.tokens"]  # fmt: skip


def read(path: Path, *pairs: str) -> Import:
    return import_files("table", [path], Choices(columns=parse_columns(pairs or PAIRS)))


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
def test_columns_are_mapped(tmp_path: Path, kind: str) -> None:
    path, pairs = tmp_path / f"t.{kind}", PAIRS
    if kind == "jsonl":
        lines(path, ROWS)
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        path.write_text('task,passed,out,reward,"the tokens"\n1,True,4,0.5,7\n1,0,,NaN,9.0\n'
                        "2,,x,-1,3\n")  # fmt: skip
        pairs = [*PAIRS[:-1], "n_generated_tokens=the tokens"]
    rows = read(path, *pairs).pool.table.to_pylist()
    assert [row["problem_id"] for row in rows] == ["1", "1", "2"]
    assert [row["sample_index"] for row in rows] == [0, 1, 0]
    assert [row["correct"] for row in rows] == [True, False, None]
    assert [row["answer"] for row in rows] == ["4", None, "x"]
    assert [row["n_generated_tokens"] for row in rows] == [7, 9, 3]
    assert [row["score.rm"] for row in rows][::2] == [0.5, -1.0]


def test_lists_are_samples(tmp_path: Path) -> None:
    row = {"id": "a", "question": "?", "ok": [1, 0, 1], "texts": ["x", "y", "z"]}
    path = lines(tmp_path / "t.jsonl", [row])
    table = read(path, "problem_id=id", "correct=ok", "response=texts").pool.table
    assert table["response"].to_pylist() == ["x", "y", "z"]
    assert table["correct"].to_pylist() == [True, False, True]
    bad = lines(tmp_path / "u.jsonl", [{**row, "texts": ["x"]}])
    with pytest.raises(InputError, match="response has not one entry"):
        read(bad, "problem_id=id", "correct=ok", "response=texts")
    with pytest.raises(InputError, match="answer is a list here"):
        read(path, "problem_id=id", "correct=question", "answer=texts")


def test_columns_with_a_pools_names_need_no_mapping(tmp_path: Path) -> None:
    rows = [{"problem_id": "p", "correct": 1, "score.a": 0.5, "elsewhere": 3}]
    table = import_files("table", [lines(tmp_path / "t.jsonl", rows)], Choices()).pool.table
    assert table["score.a"].to_pylist() == [0.5]
    assert "elsewhere" not in table.column_names


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"passed": "perhaps"}, "correct is true or false"),
        ({"passed": 0.5}, "correct is true or false"),
        ({"task": None}, "has no problem"),
        ({"usage": {"tokens": 1.5}}, "n_generated_tokens is a whole number"),
        ({"usage": {}}, "no such column"),
        ({"reward": "good"}, "score.rm is a number"),
    ],
)
def test_bad_values_are_named(tmp_path: Path, row: dict[str, Any], words: str) -> None:
    path = lines(tmp_path / "t.jsonl", [ROWS[0], {**ROWS[1], **row}])
    with pytest.raises(InputError, match=words) as caught:
        read(path)
    assert "t.jsonl:2" in str(caught.value)


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (["problem_id"], "a mapping is NAME=COLUMN"),
        (["problem=task"], "did you mean problem_id"),
        (["correct=a", "correct=b"], "mapped twice"),
        (["problem_id=task"], "which column is correct"),
        (["problem_id=task", "correct=pased"], "did you mean passed"),
    ],
)
def test_bad_mappings_are_named(tmp_path: Path, pairs: list[str], words: str) -> None:
    with pytest.raises(InputError) as caught:
        read(lines(tmp_path / "t.jsonl", ROWS), *pairs)
    assert words in str(caught.value)


def test_pairs_may_stand_in_one_word() -> None:
    wanted = {"problem_id": "a", "correct": "b"}
    assert parse_columns(["problem_id=a correct=b"]) == wanted
    assert parse_columns(["problem_id=a,correct=b"]) == wanted
    assert parse_columns(["answer=my column"]) == {"answer": "my column"}


def test_numbered_samples_do_not_count_twice(tmp_path: Path) -> None:
    rows = [{"problem_id": "p", "correct": 1, "sample_index": i} for i in (0, 1, 1)]
    with pytest.raises(InputError, match="a sample stands twice") as caught:
        import_files("table", [lines(tmp_path / "t.jsonl", rows)], Choices())
    assert "problem p, sample 1" in str(caught.value)


@pytest.mark.parametrize("name", ["t.txt", "t.parquet", "t.csv"])
def test_files_of_another_kind_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\xff\xfe\x00 no table")
    with pytest.raises(InputError):
        read(path)
