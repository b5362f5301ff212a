"""A whole run over programs: sampled, scored by visible tests, voted on, graded, resumed."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.contract.playing import Silent
from tests.scripted import ScriptedEngine
from tests.test_benchmark_source import hub_folder
from tests.test_code_program import HUMANEVAL, MBPP
from ttscale.benchmark import sandbox
from ttscale.benchmark.config import BenchmarkConfig
from ttscale.benchmark.sandbox import outside
from ttscale.benchmark.source import load as load_items
from ttscale.errors import InputError
from ttscale.run import models, runner
from ttscale.run.config import load

REFUSAL = sandbox.refusal()
sandboxed = pytest.mark.skipif(REFUSAL is not None, reason=f"no sandbox here: {REFUSAL}")

PROGRAMS = (
    "def double(x):\n    return 2 * x",
    "def double(x):\n    return x + x",
    "def double(x):\n    return sum([x, x])",
    "def double(x):\n    return x * x",
    "def double(x) return x",
)
ROW = {**HUMANEVAL, "prompt": HUMANEVAL["prompt"].replace("double(2)\n    4", "double(5)\n    10")}


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    def reply(prefix: str, seed: int) -> str:
        return f"I think of {seed}.\n```python\n{PROGRAMS[seed % 5]}\n```\n"

    monkeypatch.setattr(models, "make_engine", lambda *_: ScriptedEngine(reply))
    (tmp_path / "problems.jsonl").write_text(json.dumps(ROW))
    config = {
        "name": "code",
        "model": {"engine": "simulated"},
        "benchmark": {"preset": "humaneval", "path": "problems.jsonl"},
        "sampling": {"max_tokens": 600},
        "strategies": [
            {"name": "best_of_n", "n": 10, "verifier": "code_tests"},
            {"name": "majority_vote", "n": 10},
        ],
    }
    path = tmp_path / "code.yaml"
    path.write_text(yaml.safe_dump(config))
    return load(path)


def folder_of(experiment, results: Path) -> Path:
    return runner.run(experiment, results, Silent(), fresh=False)


def tables(folder: Path) -> tuple[list[dict], list[dict]]:
    answers, pool = (pq.read_table(folder / f"{name}.parquet") for name in ("answers", "pool"))
    return answers.to_pylist(), pool.to_pylist()


@sandboxed
def test_a_run_over_programs(experiment, tmp_path, monkeypatch):
    folder = folder_of(experiment, tmp_path / "results")
    answers, pool = tables(folder)
    assert [row["correct"] for row in answers] == [True, True]
    assert [row["score"] for row in answers] == [1.0, 0.6], "best share of tests, share of votes"
    for row in pool:
        right = row["answer"] in PROGRAMS[:3]
        assert row["correct"] is right
        assert row["score.code_tests"] == right
    assert len({row["answer"] for row in pool}) == 5
    assert len({row["answer_class"] for row in pool}) == 3

    def nobody_replies(prefix: str, seed: int) -> str:
        raise AssertionError("what is in the journal is not sampled again")

    (folder / "summary.json").unlink()
    monkeypatch.setattr(models, "make_engine", lambda *_: ScriptedEngine(nobody_replies))
    assert tables(folder_of(experiment, tmp_path / "results")) == (answers, pool)


def test_a_run_without_a_sandbox_ends_before_a_model_is_loaded(experiment, tmp_path, monkeypatch):
    monkeypatch.setattr(outside, "refusal", lambda: "bubblewrap is not installed")
    with pytest.raises(InputError, match="apt install bubblewrap"):
        folder_of(experiment, tmp_path / "results")


@pytest.mark.parametrize(("name", "row"), [("humaneval", HUMANEVAL), ("mbpp", MBPP)])
def test_the_presets_read_the_hubs_layout(tmp_path, monkeypatch, name, row):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    hub = BenchmarkConfig(preset=name).hub
    assert hub is not None
    hub_folder(tmp_path / "set", hub.name, hub.split, [row])
    local = {**hub.model_dump(), "path": str(tmp_path / "set")}
    config = BenchmarkConfig.model_validate({"preset": name, "hub": local})
    (item,) = load_items(config, folder=tmp_path)
    assert item.id == str(row["task_id"])
    assert item.metadata["tests"]
