"""Samples in Large Language Monkeys' form: a YAML file for each problem."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ttscale.errors import InputError
from ttscale.formats.imported import Choices
from ttscale.formats.importing import Import, import_files


def write(folder: Path, name: str, **changes: Any) -> Path:
    content = {
        "prompt": "Question: 1 + 1\nAnswer:",
        "question": "1 + 1",
        "samples": ["It is 2\n#### 2", "#### 3", "no idea"],
        "gt_answer": "#### 2",
        "is_corrects": [True, False, False],
        **changes,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}))
    return path


def read(*files: Path, extract: str | None = None) -> Import:
    choices = Choices(extract=extract, model="llama-3-8b", benchmark="gsm8k")
    return import_files("large-language-monkeys", files, choices)


def test_a_folder_is_a_pool(tmp_path: Path) -> None:
    for name in ("0", "2", "10"):
        write(tmp_path, name)
    pool = read(tmp_path).pool
    counts = pool.counts()
    assert counts.problem_ids == ("0", "2", "10")
    assert counts.n_samples.tolist() == [3, 3, 3] and counts.n_correct.tolist() == [1, 1, 1]
    assert pool.metadata["model"] == "llama-3-8b" and pool.metadata["benchmark"] == "gsm8k"
    assert "answer" not in pool.table.column_names


def test_answers_can_be_taken_out_of_the_responses(tmp_path: Path) -> None:
    pool = read(write(tmp_path, "0"), extract="last_number").pool
    assert pool.table["answer"].to_pylist() == ["2", "3", None]
    assert pool.table["answer_class"].to_pylist() == [0, 1, None]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"is_corrects": None}, "not evaluated"),
        ({"is_corrects": [True]}, "not one verdict for each sample"),
        ({"is_corrects": [1, 0, 2]}, "a verdict is true or false"),
        ({"samples": None}, "no list of samples"),
        ({"samples": [], "is_corrects": []}, "there is no sample"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read(write(tmp_path, "0", **changes))
    assert "0.yaml" in str(caught.value)


def test_problems_do_not_mix(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = write(tmp_path / "other", "0", question="2 + 2")
    with pytest.raises(InputError, match="two files are of one problem"):
        read(write(tmp_path, "0"), other)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no YAML file"):
        read(tmp_path / "empty")
