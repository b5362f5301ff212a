"""Scoring a finished run with further verifiers: what it asks, writes, resumes and refuses."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from pandas.testing import assert_frame_equal

from tests.contract.playing import Silent
from ttscale import cli
from ttscale.engine.protocol import EngineDied
from ttscale.engine.simulated import SimulatedEngine
from ttscale.errors import InputError, TTScaleError
from ttscale.record.pool import Pool, read_pool
from ttscale.run.config import load
from ttscale.run.rescore import add_missing_scores, parse_spec, rescore, split_names
from ttscale.run.runner import run
from ttscale.stats.ranking import auroc

CONFIG: dict[str, Any] = {
    "name": "small",
    "model": {"engine": "simulated"},
    "models": {"prm": {"engine": "simulated_reward", "noise": 2}},
    "benchmark": {"simulated": {}, "size": 12},
    "sampling": {"max_tokens": 600},
    "strategies": [
        {"name": "best_of_n", "n": 4, "verifier": "mean_logprob"},
        {"name": "majority_vote", "n": 8},
    ],
}


class Heard(Silent):
    """A display that remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        """Remember."""
        self.said.append(text)


def finished(tmp_path: Path, name: str = "small", **changes: Any) -> Path:
    """The folder of a finished run."""
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, "name": name, **changes}))
    return run(load(path), tmp_path / "runs", Silent(), fresh=False)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the simulated engine is asked for."""
    asked: list[Any] = []
    submit = SimulatedEngine.submit

    def noted(self: SimulatedEngine, *call: Any) -> Any:
        asked.append(call)
        return submit(self, *call)

    monkeypatch.setattr(SimulatedEngine, "submit", noted)
    return asked


def rows(folder: Path, arm: str) -> list[dict[str, Any]]:
    return [
        row for row in pq.read_table(folder / "ledger.parquet").to_pylist() if row["arm"] == arm
    ]


def frame(pool: Pool) -> pd.DataFrame:
    """As a frame, in which missing scores are equal."""
    found: pd.DataFrame = pool.table.to_pandas()
    return found


def test_every_sample_is_scored_billed_and_written(tmp_path: Path, requests: list[Any]) -> None:
    folder = finished(tmp_path)
    before, ledger = read_pool(folder), pq.read_table(folder / "ledger.parquet")
    requests.clear()
    rescore(folder, ["judge", {"name": "judge", "verdicts": 3}, "exact", "prm"], Silent())
    pool = read_pool(folder)
    names = ("mean_logprob", "judge", "judge(verdicts=3)", "exact", "prm")
    assert pool.score_names == names
    assert_frame_equal(pool.table.select(before.table.column_names).to_pandas(), frame(before))
    assert not any(math.isnan(score) for name in names[1:] for score in pool.scores(name))
    assert (pool.scores("exact") == pool.correct()).all()
    assert auroc(pool.scores("judge"), pool.correct()) > 0.65
    assert set(pool.scores("judge(verdicts=3)") * 3) == {0, 1, 2, 3}
    assert pool.metadata["oracles"] == ["exact"] and set(pool.metadata["rescored"]) == {*names[1:]}
    n = len(pool)
    assert [len(rows(folder, f"rescore:{name}")) for name in names[1:]] == [n, 3 * n, 0, n]
    assert {row["kind"] for row in rows(folder, "rescore:judge")} == {"score"}
    after = pq.read_table(folder / "ledger.parquet")
    assert after.slice(0, len(ledger)).equals(ledger)
    assert len(requests) == 2 * n, "a judge's prompts, and no sample of the problems"


def test_doing_it_again_asks_for_nothing_and_changes_nothing(
    tmp_path: Path, requests: list[Any]
) -> None:
    folder = finished(tmp_path)
    rescore(folder, ["judge"], Silent())
    pool, ledger = read_pool(folder), rows(folder, "rescore:judge")
    requests.clear()
    rescore(folder, ["judge"], Silent())
    assert not requests
    assert_frame_equal(frame(read_pool(folder)), frame(pool))
    assert rows(folder, "rescore:judge") == ledger


def test_a_partial_column_is_completed(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    partial = read_pool(folder).scores("mean_logprob")
    rescore(folder, ["mean_logprob", "consensus"], Silent())
    pool = read_pool(folder)
    complete = pool.scores("mean_logprob")
    there = ~np.isnan(partial)
    assert not there.all() and not np.isnan(complete).any()
    assert (complete[there] == partial[there]).all()
    assert len(pool) == 12 * 8 and set(pool.scores("consensus") * 8) <= set(range(9))


def test_scoring_that_dies_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, whole = finished(tmp_path), finished(tmp_path, "whole")
    rescore(whole, ["judge"], Silent())
    submit, n_asked = SimulatedEngine.submit, 0

    def mortal(self: SimulatedEngine, *call: Any) -> Any:
        nonlocal n_asked
        n_asked += 1
        if n_asked == 30:
            raise EngineDied("as the test wants it")
        return submit(self, *call)

    monkeypatch.setattr(SimulatedEngine, "submit", mortal)
    with pytest.raises(TTScaleError, match="died"):
        rescore(folder, ["judge"], Silent())
    assert "judge" not in read_pool(folder).score_names
    rescore(folder, ["judge"], Silent())
    n = len(read_pool(folder))
    assert n_asked <= n + 30, "what was judged before the end is not asked for again"
    assert_frame_equal(frame(read_pool(folder)), frame(read_pool(whole)))


def test_each_set_of_samples_is_scored_by_itself(tmp_path: Path) -> None:
    strategies = [
        {"name": "majority_vote", "n": 4},
        {"name": "majority_vote", "n": 2, "sampling": {"temperature": 0.5}},
        {"name": "beam_search", "n": 4, "width": 2, "verifier": "prm"},
    ]
    folder = finished(tmp_path, strategies=strategies)
    rescore(folder, ["judge", "consensus"], Silent())
    pool = read_pool(folder)
    assert len(pool.sample_sets) == 3
    for name in pool.sample_sets:
        mine = pool.select(name)
        assert not np.isnan(mine.scores("judge")).any()
        arm = "rescore:judge" if name == "samples" else f"rescore:judge [{name}]"
        distinct = mine.table.group_by(["problem_id", "response"]).aggregate([])
        assert len(rows(folder, arm)) == len(distinct), "equal responses are judged once"
    cool = pool.select("temperature=0.5")
    assert set(cool.scores("consensus")) <= {0.0, 0.5, 1.0}


def test_notes_and_failures_are_told(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    plugin = tmp_path / "picky.py"
    plugin.write_text(
        "from dataclasses import dataclass\n"
        "from ttscale.strategy import Verifier\n\n\n"
        "@dataclass(frozen=True)\n"
        "class Picky(Verifier):\n"
        "    '''Fails on a problem.'''\n\n"
        "    async def __call__(self, problem, paths, ctx):\n"
        "        ctx.notes['looked_at'] += len(paths)\n"
        "        return [1 / (problem.id != '3') for _ in paths]\n"
    )
    heard = Heard()
    rescore(folder, [str(plugin)], heard)
    assert any("1 failed problem" in text for text in heard.said)
    assert any("88 looked at" in text for text in heard.said)
    pool = read_pool(folder)
    missing = [math.isnan(score) for score in pool.scores(str(plugin))]
    assert missing == [name == "3" for name in pool.table["problem_id"].to_pylist()]
    assert pool.metadata["rescored"][str(plugin)] == {"failed_problems": 1, "looked_at": 88}


def test_only_what_is_missing_is_scored_and_only_in_runs(
    tmp_path: Path, requests: list[Any]
) -> None:
    folder = finished(tmp_path)
    pool = tmp_path / "pool.parquet"
    read_pool(folder).write(pool)
    requests.clear()
    names = add_missing_scores([folder, pool], ["mean_logprob", "length"], Silent())
    assert names == ["mean_logprob", "length"] and not requests
    assert "length" in read_pool(folder).score_names
    assert "length" not in read_pool(pool).score_names
    assert add_missing_scores([pool], ["what (it) says"], Silent()) == ["what (it) says"]
    with pytest.raises(InputError, match="no verifier of this name"):
        add_missing_scores([folder], ["nobody"], Silent())


def test_models_can_be_added_and_nothing_else(tmp_path: Path) -> None:
    folder = finished(tmp_path, models={})
    with pytest.raises(InputError, match="no reward model of this name"):
        rescore(folder, ["prm"], Silent())
    with pytest.raises(InputError, match="models can be added"):
        rescore(folder, ["prm"], Silent(), ["seed=3"])
    rescore(folder, ["prm"], Silent(), ["models.prm={engine: simulated_reward}"])
    assert "prm" in read_pool(folder).score_names
    assert run(load(folder / "config.yaml"), folder.parent, Silent(), fresh=False) == folder


def test_a_moved_run_is_scored_where_it_lies(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    rescore(elsewhere, ["length"], Silent())
    assert "length" in read_pool(elsewhere).score_names and not folder.exists()


def test_an_unfinished_run_and_a_lost_journal_are_refused(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    (folder / "journal.sqlite").unlink()
    with pytest.raises(InputError, match="does not hold all that this run sampled"):
        rescore(folder, ["length"], Silent())
    (folder / "summary.json").unlink()
    with pytest.raises(InputError, match="has not ended"):
        rescore(folder, ["length"], Silent())


def test_specs_are_read_as_columns_are_named() -> None:
    text = "prm(aggregate=min), judge, ensemble(of=[length, {name: judge, verdicts: 2}], by=rank)"
    assert [parse_spec(name) for name in split_names(text)] == [
        {"name": "prm", "aggregate": "min"},
        "judge",
        {"name": "ensemble", "of": ["length", {"name": "judge", "verdicts": 2}], "by": "rank"},
    ]
    for wrong in ("judge(verdicts)", "judge(verdicts=2", "judge(verdicts=[)"):
        with pytest.raises(InputError, match="names no verifier"):
            parse_spec(wrong)


def test_compare_scores_what_is_missing_and_prices_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finished(tmp_path)
    verifiers = "judge(verdicts=4), length, judge"
    words = ["ttscale", "compare", str(folder), "--verifiers", verifiers, "--json"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    found = json.loads(capsys.readouterr().out)["verifiers"]
    assert [one["name"] for one in found] == ["judge(verdicts=4)", "length", "judge"]
    ledger, pool = pq.read_table(folder / "ledger.parquet").to_pandas(), read_pool(folder)
    for one in found:
        arm = ledger["arm"] == f"rescore:{one['name']}"
        tokens = ledger["n_generated_tokens"][arm].sum()
        assert one["cost_per_score"] == pytest.approx(tokens / len(pool))


def test_files_of_the_experiment_are_found_again(tmp_path: Path) -> None:
    problems = [{"question": f"[simulated problem {i}: p=1 answer=7]", "answer": "7"} for i in "ab"]
    (tmp_path / "problems.jsonl").write_text("\n".join(map(json.dumps, problems)))
    folder = finished(tmp_path, benchmark={"path": "problems.jsonl", "extract": "last_number"})
    rescore(folder, ["length", "length"], Silent())
    assert not np.isnan(read_pool(folder).scores("length")).any()
