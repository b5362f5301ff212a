"""A run from its configuration to its folder: what it writes, shares, refuses and survives."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow.parquet as pq
import pytest
import yaml

from ttscale.record.pool import read_pool

ROOT = Path(__file__).parents[1]

CONFIG: dict[str, Any] = {
    "name": "small",
    "model": {"engine": "simulated"},
    "benchmark": {"simulated": {}, "size": 12},
    "sampling": {"max_tokens": 600},
    "strategies": [{"name": "best_of_n", "n": 4, "verifier": "mean_logprob"}],
}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "small.yaml"
    config = {key: value for key, value in {**CONFIG, **changes}.items() if value is not None}
    path.write_text(yaml.safe_dump(config))
    return path


def ttscale(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ttscale.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def run(tmp_path: Path, *arguments: str, **changes: Any) -> dict[str, Any]:
    done = ttscale("run", write(tmp_path, **changes), "--results", tmp_path / "r", "--json",
                   *arguments)  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def in_process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command line without a new process, for what ends before any work begins."""
    from ttscale.cli import main

    out, err = io.StringIO(), io.StringIO()
    words = ["ttscale", *map(str, arguments)]
    with (
        mock.patch.object(sys, "argv", words),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def refused(tmp_path: Path, *words: str, arguments: tuple[str, ...] = (), **changes: Any) -> str:
    done = in_process("run", write(tmp_path, **changes), "--results", tmp_path / "r", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    return done.stderr


def test_a_run_folder_holds_everything(tmp_path: Path) -> None:
    summary = run(tmp_path)
    folder = tmp_path / "r" / "small"
    files = {path.name for path in folder.iterdir()}
    assert {
        "config.yaml", "provenance.json", "journal.sqlite", "ledger.parquet", "pool.parquet",
        "answers.parquet", "summary.json", "report.md",
    } <= files  # fmt: skip
    assert summary["complete"] and summary["simulated"]
    report = (folder / "report.md").read_text()
    assert "SIMULATED" in report and summary["config_hash"] in report
    pool = read_pool(folder)
    assert len(pool) == 12 * 4
    assert pool.metadata["config_hash"] == summary["config_hash"]
    assert [point["k"] for point in summary["samples"][0]["pass_at_k"]] == [1, 2, 4]
    ledger = pq.read_table(folder / "ledger.parquet")
    generated = sum(ledger["n_generated_tokens"].to_pylist())
    assert generated == summary["tokens"]["generate"]["n_generated_tokens"]
    assert generated == sum(pool.table["n_generated_tokens"].to_pylist())
    provenance = json.loads((folder / "provenance.json").read_text())
    assert {"fingerprint", "software", "seed", "config_hash"} <= provenance.keys()


def test_the_resolved_configuration_runs_as_it_stands(tmp_path: Path) -> None:
    first = run(tmp_path)
    resolved = tmp_path / "r" / "small" / "config.yaml"
    done = ttscale("run", resolved, "--results", tmp_path / "again", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["config_hash"] == first["config_hash"]


def test_a_list_is_a_sweep_and_its_samples_are_shared(tmp_path: Path) -> None:
    summary = run(tmp_path, strategies=[{"name": "majority_vote", "n": [1, 4, 16]}])
    assert [entry["label"] for entry in summary["strategies"]] == [
        "majority_vote(n=1)", "majority_vote(n=4)", "majority_vote(n=16)",
    ]  # fmt: skip
    tokens = summary["tokens"]["generate"]
    assert tokens["n_sequences"] == 12 * 21
    assert tokens["n_paid_sequences"] == 12 * 16
    assert summary["samples"][0]["n_samples"] == 12 * 16


def test_several_strategies_are_drawn_and_each_has_seconds_of_the_machine(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for strategies in (None, ["single", {"name": "majority_vote", "n": 4}]):
        changes = {"strategies": strategies} if strategies else {}
        done = in_process("run", write(tmp_path, **changes), "--results", tmp_path / "r",
                          "--fresh", "--json")  # fmt: skip
        assert done.returncode == 0, done.stderr
        seconds = [
            each["machine_seconds_per_problem"] for each in json.loads(done.stdout)["strategies"]
        ]
        drawn = tmp_path / "r" / "small" / "strategies.svg"
        assert drawn.exists() == (len(seconds) > 1)
        if strategies is None:
            alone = seconds
    single, vote = seconds
    assert 0 < single < vote == pytest.approx(alone[0])  # the same four samples, shared or not


def test_another_run_pays_only_for_what_is_missing(tmp_path: Path) -> None:
    best = {"name": "best_of_n", "n": 16, "verifier": "mean_logprob"}
    run(tmp_path, name="first", strategies=[best])
    vote = {"name": "majority_vote", "n": 64}
    second = run(tmp_path, name="second", strategies=[vote])
    assert second["tokens"]["generate"]["n_sequences"] == 12 * 64
    assert second["tokens"]["generate"]["n_paid_sequences"] == 12 * 48
    alone = run(tmp_path, "--fresh", name="third", strategies=[vote])
    assert alone["tokens"]["generate"]["n_paid_sequences"] == 12 * 64
    assert alone["samples"] == second["samples"]


def test_different_sampling_is_another_sample_set(tmp_path: Path) -> None:
    arms = [{"name": "majority_vote", "n": 4, "sampling": {"temperature": [0.5, 1.0]}}]
    summary = run(tmp_path, strategies=arms)
    assert [entry["name"] for entry in summary["samples"]] == ["samples", "temperature=0.5"]
    assert all(entry["n_samples"] == 48 for entry in summary["samples"])


def test_an_oracle_is_labelled(tmp_path: Path) -> None:
    arms = [{"name": "best_of_n", "n": 16, "verifier": "exact"}]
    summary = run(tmp_path, strategies=arms)
    (entry,) = summary["strategies"]
    assert entry["oracle"]
    assert entry["accuracy"] == pytest.approx(summary["samples"][0]["pass_at_k"][-1]["estimate"])
    table = ttscale("run", write(tmp_path, strategies=arms), "--results", tmp_path / "r").stdout
    assert "(oracle)" in table and "SIMULATED" in table


def test_a_failing_strategy_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "shaky.py").write_text(
        "from dataclasses import dataclass\n"
        "from ttscale.strategy import Strategy\n"
        "from ttscale.trace import Answer\n"
        "@dataclass(frozen=True)\n"
        "class Shaky(Strategy):\n"
        "    '''Fails on one problem.'''\n"
        "    async def __call__(self, problem, ctx):\n"
        "        (path,) = await ctx.sample(problem.root)\n"
        "        if problem.id == '3':\n"
        "            raise ZeroDivisionError('oh no')\n"
        "        return Answer(path)\n"
    )
    summary = run(tmp_path, strategies=["shaky.py", "single"])
    assert [entry["n_failed"] for entry in summary["strategies"]] == [1, 0]
    assert "oh no" in summary["strategies"][0]["errors"][0]
    assert summary["tokens"]["generate"]["n_sequences"] == 24


def test_fresh_keeps_the_earlier_run_under_another_name(tmp_path: Path) -> None:
    run(tmp_path)
    run(tmp_path, "--fresh")
    assert (tmp_path / "r" / "small.1" / "summary.json").is_file()


def test_set_overrides(tmp_path: Path) -> None:
    summary = run(tmp_path, "--set", "benchmark.size=3", "--set", "strategies.0.n=2")
    assert summary["samples"][0]["n_samples"] == 6


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "red"}, ("small.yaml", "colour", "Valid here")),
        ({"sampling": {"temprature": 1}}, ("sampling.temprature", "temperature")),
        ({"sampling": {"temperature": -1}}, ("sampling.temperature", "-1")),
        ({"sampling": {"max_tokens": "many"}}, ("sampling.max_tokens", "many")),
        ({"strategies": [{"name": "majorty_vote"}]}, ("majorty_vote", "majority_vote")),
        ({"strategies": [{"name": "majority_vote", "n": 0}]}, ("strategies[0].n", "0")),
        ({"strategies": [{"name": "majority_vote", "n": "x"}]}, ("strategies[0].n", "x")),
        ({"strategies": [{"name": "majority_vote", "m": 3}]}, ("strategies[0].m", "fields: n")),
        ({"strategies": [{"name": "majority_vote", "n": []}]}, ("strategies[0].n", "at least one")),
        ({"strategies": []}, ("strategies",)),
        ({"strategies": None}, ("strategies", "majority_vote")),
        ({"strategies": ["best_of_n"]}, ("needs a verifier", "mean_logprob")),
        ({"strategies": [{"name": "best_of_n", "verifier": "exat"}]}, ("exat", "exact")),
        ({"strategies": ["single", "single"]}, ("same label", "single")),
        ({"strategies": ["nowhere/to/be/found.py"]}, ("no such plug-in file", "found.py")),
        ({"benchmark": {"path": "missing.jsonl"}}, ("missing.jsonl",)),
        ({"benchmark": {"preset": "gsm9k"}}, ("gsm9k", "gsm8k")),
        ({"benchmark": {"reasoning_gym": {"task": "chain_sums"}}}, ("chain_sums", "chain_sum")),
        ({"benchmark": {"simulated": {}, "path": "x"}}, ("exactly one source",)),
        ({"model": {"engine": "simulated", "max_context": 40}}, ("longer than", "max_context")),
        ({"model": {"engine": "quantum"}}, ("model", "quantum")),
        ({"name": "../escape"}, ("name",)),
    ],
)
def test_what_the_user_can_mend_is_told(tmp_path: Path, changes: Any, words: Any) -> None:
    refused(tmp_path, *words, **changes)


def test_bad_files_are_told(tmp_path: Path) -> None:
    for name, content, words in (
        ("tab.yaml", "model:\n\t- x", ("not YAML", "tab.yaml:2")),
        ("list.yaml", "- a\n- b", ("not a mapping",)),
        ("empty.yaml", "", ("not a mapping",)),
    ):
        (tmp_path / name).write_text(content)
        done = in_process("run", tmp_path / name)
        assert done.returncode == 2
        assert all(word in done.stderr for word in words), done.stderr
    done = in_process("run", tmp_path / "no.yaml")
    assert done.returncode == 2 and "no.yaml" in done.stderr


def test_a_mapping_that_misses_a_column_and_an_empty_benchmark_are_told(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"problem": "1+1", "answer": "2"}\n')
    refused(tmp_path, "question", "problem", benchmark={"path": "q.jsonl"})
    (tmp_path / "q.jsonl").write_text("")
    refused(tmp_path, "empty", benchmark={"path": "q.jsonl"})


@pytest.mark.parametrize("override", ["benchmark.size", "=3", "a b=1", "strategies.7.n=1"])
def test_bad_overrides_are_told(tmp_path: Path, override: str) -> None:
    refused(tmp_path, "--set", arguments=("--set", override))


def test_a_model_folder_without_weights_is_told(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    refused(tmp_path, "config.json", model={"model": str(tmp_path / "model")})
    (tmp_path / "model" / "config.json").write_text("{}")
    refused(tmp_path, "no weights", model={"model": str(tmp_path / "model")})


def test_another_configuration_in_the_folder_is_told_with_what_differs(tmp_path: Path) -> None:
    run(tmp_path)
    message = refused(tmp_path, "another configuration", "seed", "--fresh", seed=7)
    assert "benchmark" not in message
    assert run(tmp_path)["complete"]


def test_a_journal_cut_in_the_middle_and_one_of_another_version_are_told(tmp_path: Path) -> None:
    run(tmp_path)
    folder = tmp_path / "r" / "small"
    (folder / "summary.json").unlink()
    journal = folder / "journal.sqlite"
    whole = journal.read_bytes()
    journal.write_bytes(whole[: len(whole) // 2])
    refused(tmp_path, "damaged", "--fresh")
    # SQLite's user_version is the big-endian number at offset 60 of the header.
    journal.write_bytes(whole[:60] + (99).to_bytes(4, "big") + whole[64:])
    refused(tmp_path, "another version")
    journal.write_bytes(whole)
    assert run(tmp_path)["complete"]


SLOW = {"engine": "simulated", "timing": {"round_seconds": 0.003, "time_scale": 1.0}}


def start_slow(tmp_path: Path) -> subprocess.Popen[str]:
    """A run that takes a minute or so, started in a group of its own, sampling by now."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ttscale.cli", "run", str(write(tmp_path, model=SLOW)),
         "--results", str(tmp_path / "r"), "--set", "benchmark.size=100",
         "--set", "run.concurrency=1"],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    journal = tmp_path / "r" / "small" / "journal.sqlite"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and n_calls(journal) == 0:
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()
    return process


def n_calls(journal: Path) -> int:
    """Committed samples of a journal that another process writes."""
    if not journal.exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM calls").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def test_two_processes_do_not_run_one_experiment_at_once(tmp_path: Path) -> None:
    process = start_slow(tmp_path)
    try:
        refused(tmp_path, "another process", model=SLOW)
    finally:
        process.kill()
        process.communicate()


def test_ctrl_c_keeps_what_there_is_and_the_run_goes_on(tmp_path: Path) -> None:
    process = start_slow(tmp_path)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "goes on from here" in error and "Traceback" not in error
    done = ttscale("run", write(tmp_path, model=SLOW), "--results", tmp_path / "r", "--json",
                   "--set", "benchmark.size=100")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "resuming" in done.stderr
    assert json.loads(done.stdout)["tokens"]["generate"]["n_paid_sequences"] == 400


def test_ctrl_c_twice_leaves_at_once(tmp_path: Path) -> None:
    process = start_slow(tmp_path)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Traceback" not in error


def test_listings_and_unknown_lists() -> None:
    done = in_process("list", "strategies")
    assert done.returncode == 0 and "majority_vote" in done.stdout
    done = in_process("list", "verifiers", "--json")
    assert "exact" in json.loads(done.stdout)
    done = in_process("list", "strategy")
    assert done.returncode == 2 and "strategies" in done.stderr
