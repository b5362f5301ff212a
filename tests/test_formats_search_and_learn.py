"""Completions in search-and-learn's form, graded here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ttscale.errors import InputError
from ttscale.formats.imported import Choices
from ttscale.formats.importing import Import, import_files

PROBLEMS: list[dict[str, Any]] = [
    {
        "unique_id": "algebra/1",
        "problem": "Halve 1.",
        "answer": r"\frac{1}{2}",
        "completions": [r"So \boxed{0.5}", r"\boxed{\frac{2}{4}}", r"\boxed{2}", "I give up"],
        "scores": [[0.9, 0.8], [0.7, 0.6, 0.9], [0.2], [0.1, 0.05]],
        "agg_scores": [0.8, 0.9, 0.2, 0.05],
        "completion_tokens": [12, 15, 9, 4],
        "pred": r"\boxed{\frac{2}{4}}",
        "pred_maj@4": r"\boxed{0.5}",
    },
    {
        "unique_id": "algebra/2",
        "problem": "1 + 1",
        "answer": "2",
        "completions": [r"\boxed{2}", r"\boxed{3}", r"\boxed{3}", r"\boxed{2}"],
        "scores": [[0.5], [0.4], [0.3], [0.9]],
        "completion_tokens": [3, 3, 0, -1],
    },
]


def write(path: Path, rows: list[dict[str, Any]] = PROBLEMS) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(*files: Path, search: bool = False) -> Import:
    return import_files("search-and-learn", files, Choices(search=search))


def changed(tmp_path: Path, **fields: Any) -> Path:
    rows = [{**PROBLEMS[0], **fields}]
    return write(tmp_path / "c.jsonl", [{k: v for k, v in r.items() if v != "gone"} for r in rows])


def test_completions_are_graded_and_scores_aggregated(tmp_path: Path) -> None:
    done = read(write(tmp_path / "best_of_n_completions.jsonl"))
    rows = done.pool.table.to_pylist()
    assert [row["correct"] for row in rows] == [True, True, False, False, True, False, False, True]
    assert [row["answer"] for row in rows[:4]] == ["0.5", r"\frac{2}{4}", "2", None]
    assert [row["answer_class"] for row in rows] == [0, 0, 1, None, 0, 1, 1, 0]
    assert [row["n_generated_tokens"] for row in rows] == [12, 15, 9, 4, 3, 3, None, None]
    steps = PROBLEMS[0]["scores"]
    assert [row["score.prm(aggregate=last)"] for row in rows[:4]] == PROBLEMS[0]["agg_scores"]
    assert [row["score.prm(aggregate=min)"] for row in rows[:4]] == [min(each) for each in steps]
    assert rows[0]["score.prm(aggregate=product)"] == pytest.approx(0.72)
    assert done.imported.left_out == {"token counts of 0 and below": 2}
    assert any("pred_maj@4" in note for note in done.imported.notes)
    assert "ttscale" in done.imported.graded_by


def test_several_files_are_further_samples(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl")
    other = [{**row, "completions": row["completions"][::-1]} for row in PROBLEMS]
    second = write(tmp_path / "b.jsonl", other)
    assert read(first, second).pool.counts().n_samples.tolist() == [8, 8]
    with pytest.raises(InputError, match="hold the same samples"):
        read(first, write(tmp_path / "c.jsonl"))
    with pytest.raises(InputError, match="a problem stands twice"):
        read(write(tmp_path / "d.jsonl", [*PROBLEMS, *other]))


def test_the_ends_of_a_search_are_imported_only_as_such(tmp_path: Path) -> None:
    path = write(tmp_path / "dvts_completions.jsonl")
    with pytest.raises(InputError, match="--search"):
        read(path)
    assert read(path, search=True).pool.metadata["searches"] == ["samples"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"answer": "gone"}, "no answer"),
        ({"completions": "gone"}, "no completions"),
        ({"completions": "a"}, "completions is not a list"),
        ({"scores": [[1.0]]}, "4 completions, 1 scores"),
        ({"scores": [[1.0], ["x"], [1.0], [1.0]]}, "a score is a number"),
        ({"completion_tokens": [1]}, "4 completions, 1 completion_tokens"),
    ],
)
def test_bad_records_are_named(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        read(changed(tmp_path, **fields))
    assert words in str(caught.value) and "c.jsonl:1" in str(caught.value)
