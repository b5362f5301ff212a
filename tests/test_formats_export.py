"""Pools out of ttscale, and back: Parquet, JSONL, and a dataset that `datasets` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.formats.found import REPEATS
from ttscale.errors import InputError
from ttscale.formats.exporting import export, write_pool
from ttscale.formats.imported import Choices
from ttscale.formats.importing import import_files
from ttscale.record.pool import Pool, make_pool, read_pool
from ttscale.record.samples import read_samples

REFERENCE = Path(__file__).parents[1] / "results" / "reference"


def front_matter(folder: Path) -> dict[str, Any]:
    text = (folder / "README.md").read_text()
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_pool_comes_back_as_it_was(tmp_path: Path, kind: str) -> None:
    before = read_pool(REFERENCE)
    out = tmp_path / f"p.{kind}"
    export(REFERENCE, kind, out)
    after = read_pool(out)
    assert after.metadata == before.metadata
    assert after.table.num_rows == before.table.num_rows
    for name in before.table.column_names:
        assert after.table[name].to_pylist() == before.table[name].to_pylist(), name
    (samples,) = read_samples(out)
    assert samples.counts.n_correct.sum() == 118


def test_labels_survive_in_every_form(tmp_path: Path) -> None:
    pool = import_files("lm-eval", [REPEATS], Choices(filter="strict")).pool
    write_pool(pool, tmp_path / "p.jsonl")
    export(tmp_path / "p.jsonl", "parquet", tmp_path / "p.parquet")
    export(tmp_path / "p.parquet", "hf", tmp_path / "d")
    for path in (tmp_path / "p.jsonl", tmp_path / "p.parquet", tmp_path / "d/data/samples.parquet"):
        assert read_samples(path)[0].imported == "lm_eval 0.4.13"
    card = (tmp_path / "d" / "README.md").read_text()
    assert "**Imported** from files of lm_eval 0.4.13" in card
    simulated = make_pool([{"problem_id": "a", "correct": True}], {"simulated": True})
    simulated.write(tmp_path / "s.parquet")
    export(tmp_path / "s.parquet", "hf", tmp_path / "e")
    assert "**Simulated**" in (tmp_path / "e" / "README.md").read_text()


def test_a_run_is_a_dataset(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "dataset"
    pool = export(REFERENCE, "hf", folder)
    read = {"split": "train", "cache_dir": str(tmp_path / "cache")}
    samples = datasets.load_dataset(str(folder), **read)
    assert samples.column_names == pool.table.column_names
    assert samples["response"][:] == pool.table["response"].to_pylist()
    answers = datasets.load_dataset(str(folder), "answers", **read)
    ledger = datasets.load_dataset(str(folder), "ledger", **read)
    assert set(answers["arm"]) == set(ledger["arm"])
    card = (folder / "README.md").read_text()
    for words in ("embedded on chain_sum", "1,024 sampled answers to 64 problems", "118 of them",
                  "200 truncated", pool.metadata["config_hash"], "strategies:"):  # fmt: skip
        assert words in card
    assert front_matter(folder)["size_categories"] == ["1K<n<10K"]


def test_a_card_holds_hostile_names(tmp_path: Path) -> None:
    name = "a ``` b | c\n---\n# d\x1b\u202e"
    rows = [{"problem_id": "p", "correct": False, "sample_set": name}]
    make_pool(rows, {"benchmark": name}).write(tmp_path / "p.parquet")
    export(tmp_path / "p.parquet", "hf", tmp_path / "d")
    assert front_matter(tmp_path / "d")["configs"][0]["config_name"] == "samples"
    card = (tmp_path / "d" / "README.md").read_text()
    assert "\n# d" not in card and "\x1b" not in card and "\u202e" not in card.split("##")[0]
    assert json.loads(card.rpartition("json\n")[2].rpartition("\n````")[0])["benchmark"] == name


@pytest.mark.parametrize(
    ("to", "out", "words"),
    [
        ("csv", "p.csv", "no such form"),
        ("parquet", "p.jsonl", "parquet goes into a .parquet file"),
        ("jsonl", "no/such/p.jsonl", "no such folder"),
        ("hf", "full", "not empty"),
        ("parquet", "p.parquet", "the pool itself"),
    ],
)
def test_bad_targets_are_refused(tmp_path: Path, to: str, out: str, words: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    source = tmp_path / "p.parquet"
    make_pool([{"problem_id": "a", "correct": True}]).write(source)
    before = source.read_bytes()
    with pytest.raises(InputError, match=words):
        export(source, to, tmp_path / out)
    assert source.read_bytes() == before


def test_long_lines_are_read(tmp_path: Path) -> None:
    rows = [{"problem_id": str(i), "correct": True, "response": "x" * 3_000_000} for i in range(2)]
    pool: Pool = make_pool(rows)
    write_pool(pool, tmp_path / "p.jsonl")
    assert len(read_pool(tmp_path / "p.jsonl")) == 2
