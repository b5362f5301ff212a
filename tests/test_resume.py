"""A run killed by SIGKILL at random moments ends as if nothing had happened."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

ROOT = Path(__file__).parents[1]

SIMULATED: dict[str, Any] = {
    "name": "killed",
    "model": {
        "engine": "simulated",
        "max_num_seqs": 32,
        "timing": {"round_seconds": 0.001, "time_scale": 1.0},
    },
    "benchmark": {"simulated": {}, "size": 60},
    "sampling": {"max_tokens": 600},
    "strategies": [
        {"name": "best_of_n", "n": [2, 8], "verifier": "mean_logprob"},
        {"name": "majority_vote", "n": 16},
    ],
    "run": {"concurrency": 16},
}

REAL: dict[str, Any] = {
    "name": "killed",
    "model": "embedded",
    "benchmark": {
        "reasoning_gym": {"task": "chain_sum", "params": {"max_terms": 3, "max_digits": 1}},
        "size": 24,
        "extract": "last_number",
    },
    "sampling": {"temperature": 0.7, "max_tokens": 32},
    "strategies": [{"name": "majority_vote", "n": 8}],
    "run": {"concurrency": 4},
}


def start(config: Path, results: Path, notes: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.noted_run", str(config), str(results), str(notes)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error.decode()


def keys_in_journal(folder: Path) -> set[str]:
    if not (folder / "journal.sqlite").exists():
        return set()
    db = sqlite3.connect(folder / "journal.sqlite")
    try:
        rows = db.execute("SELECT base, stream FROM calls").fetchall()
    except sqlite3.OperationalError:
        return set()
    finally:
        db.close()
    return {f"{base.hex()} {stream}" for base, stream in rows}


def books(folder: Path) -> list[dict[str, Any]]:
    """Ledger rows without clock times and without what the engine's cache happened to hold."""
    columns = ["arm", "problem_id", "n_prompt_tokens", "n_shared_tokens", "n_generated_tokens"]
    table = pq.read_table(folder / "ledger.parquet", columns=[*columns, "kind", "replayed"])
    return sorted(table.to_pylist(), key=lambda row: str(sorted(row.items())))


def kill_and_compare(
    tmp_path: Path, config: dict[str, Any], n_kills: int, moments: tuple[float, float]
) -> None:
    """Kill a run at random times after it began to sample, and compare with a whole run."""
    path = tmp_path / "killed.yaml"
    path.write_text(yaml.safe_dump(config))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(start(path, whole, tmp_path / "whole.notes"))
    chance = random.Random(0)
    killed = 0
    for attempt in range(n_kills):
        committed = keys_in_journal(broken / "killed")
        notes = tmp_path / f"{attempt}.notes"
        process = start(path, broken, notes)
        wait = chance.uniform(*moments)
        deadline = time.monotonic() + 120
        while process.poll() is None and not notes.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(wait)
        killed += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        paid = notes.read_text().split("\n")[:-1] if notes.exists() else []
        assert not committed & set(paid), "a committed call is not paid for again"
        assert len(set(paid)) == len(paid)
    assert killed >= n_kills * 0.7, "most kills met a run that was still at work"
    finish(start(path, broken, tmp_path / "last.notes"))
    answers = [pq.read_table(d / "killed" / "answers.parquet") for d in (whole, broken)]
    assert answers[0].equals(answers[1])
    assert books(whole / "killed") == books(broken / "killed")
    assert keys_in_journal(whole / "killed") == keys_in_journal(broken / "killed")


@pytest.mark.slow
def test_twenty_kills_on_the_simulated_engine(tmp_path: Path) -> None:
    kill_and_compare(tmp_path, SIMULATED, 20, (0.0, 0.12))


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.alone
def test_a_kill_on_real_vllm(tmp_path: Path) -> None:
    kill_and_compare(tmp_path, REAL, 1, (0.5, 3.0))
