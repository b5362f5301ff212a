"""Whole runs at an endpoint: faults, deaths on either side, and what is written down of them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from tests.endpoint_server import Server, serving, thirty_percent, write_model
from tests.test_resume import ROOT, books, keys_in_journal
from ttscale.errors import InputError, TTScaleError
from ttscale.record.ledger import Entry, read_ledger
from ttscale.record.pool import read_pool
from ttscale.run.config import load
from ttscale.run.display import QuietDisplay
from ttscale.run.runner import run

STRATEGIES = [
    {"name": "majority_vote", "n": 4},
    {"name": "beam_search", "n": 4, "width": 2, "verifier": "mean_logprob"},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("tiny")))


def write(folder: Path, model: str, *servers: Server, requests: Any = None, **changes: Any) -> Path:
    """An experiment of twelve sums at an endpoint."""
    folder.mkdir(exist_ok=True)
    rows = [{"question": f"{i}+{i + 1}", "answer": str(2 * i + 1)} for i in range(12)]
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    config = {
        "name": "sums",
        "model": {
            "endpoint": [server.url for server in servers],
            "model": model,
            "served_name": "tiny",
            "requests": {"patience_seconds": 60, **(requests or {})},
            **changes.pop("model_changes", {}),
        },
        "benchmark": {"path": "sums.jsonl", "extract": "last_number", "grader": "exact"},
        "sampling": {"max_tokens": 200},
        "strategies": STRATEGIES,
        **changes,
    }
    path = folder / "sums.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def play(path: Path, *overrides: str) -> Path:
    return run(load(path, overrides), path.parent / "results", QuietDisplay(), fresh=False)


def answers(folder: Path) -> Any:
    return pq.read_table(folder / "answers.parquet")


def lost(folder: Path) -> tuple[int, int]:
    """Requests and lost tokens of what the run itself paid for."""
    table = read_ledger(folder / "ledger.parquet").to_pylist()
    paid = [row for row in table if not row["replayed"]]
    return sum(r["n_attempts"] for r in paid), sum(r["n_lost_tokens"] for r in paid)


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


@pytest.fixture(scope="module")
def calm(model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing happened to."""
    with serving(server := Server()):
        folder = play(write(tmp_path_factory.mktemp("calm"), model, server))
    assert summary(folder)["complete"] and not summary(folder)["warnings"]
    assert set(server.whole.values()) == {1}
    return folder


@pytest.mark.slow
def test_three_of_ten_requests_fail_and_nothing_is_missing(
    model: str, calm: Path, tmp_path: Path
) -> None:
    with serving(server := Server(fate=thirty_percent)):
        folder = play(write(tmp_path, model, server, requests={"silence_seconds": 4}))
    assert answers(folder).equals(answers(calm))
    assert books(folder) == books(calm), "what was lost is no part of the counts"
    assert set(server.whole.values()) == {1}, "no call is paid for twice"
    n_requests, n_lost = lost(folder)
    assert n_requests == server.asked.total() > server.whole.total()
    assert 0 < n_lost <= server.broken_tokens
    (warning,) = summary(folder)["warnings"]
    assert f"{n_requests - server.whole.total():,} requests were sent again" in warning


def test_a_replica_killed_and_restarted_in_the_middle(
    model: str, calm: Path, tmp_path: Path
) -> None:
    one, other = Server(token_seconds=0.02), Server(token_seconds=0.02)

    def strike() -> None:
        while one.asked.total() < 8 or not one.running:
            time.sleep(0.01)
        one.kill()
        time.sleep(0.3)
        one.start()

    with serving(one, other):
        thread = threading.Thread(target=strike)
        thread.start()
        folder = play(write(tmp_path, model, one, other))
        thread.join()
    assert answers(folder).equals(answers(calm)) and books(folder) == books(calm)
    assert set((one.whole + other.whole).values()) == {1}
    assert lost(folder)[0] > (one.whole + other.whole).total()


def test_the_driver_killed_and_resumed_at_another_endpoint(
    model: str, calm: Path, tmp_path: Path
) -> None:
    first, second = Server(token_seconds=0.01), Server()
    with serving(first, second):
        path = write(tmp_path, model, first, run={"concurrency": 3})
        command = [sys.executable, "-m", "tests.noted_run", path, tmp_path / "results",
                   tmp_path / "notes"]  # fmt: skip
        driver = subprocess.Popen(list(map(str, command)), cwd=ROOT, stderr=subprocess.PIPE)
        # Three calls of four streams are in flight: with one more, something is in the journal.
        while first.whole.total() < 13 and driver.poll() is None:
            time.sleep(0.02)
        driver.send_signal(signal.SIGKILL)
        assert driver.communicate() and driver.returncode == -signal.SIGKILL
        paid = keys_in_journal(tmp_path / "results" / "sums")
        folder = play(path, f"model.endpoint={second.url}")
        asked_again = set(first.whole) & set(second.whole)
    assert paid and len(asked_again) <= first.whole.total() - len(paid), "only what was in flight"
    assert answers(folder).equals(answers(calm)) and books(folder) == books(calm)
    assert keys_in_journal(folder) == keys_in_journal(calm)


def test_a_run_that_gives_up_is_resumed(model: str, calm: Path, tmp_path: Path) -> None:
    server = Server(fate=lambda prompt, seed, attempt: "ok" if seed % 2 else "500")
    with serving(server):
        path = write(tmp_path, model, server, requests={"attempts": 2})
        with pytest.raises(TTScaleError, match=r"failed a request 2 times.*status 500"):
            play(path)
        server.fate = lambda *_: "ok"
        folder = play(path)
    assert answers(folder).equals(answers(calm)) and books(folder) == books(calm)
    assert "status 500: out of luck" in (folder / "engine.log").read_text()


def test_text_alone_is_labelled_wherever_it_shows(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(server := Server(text_only=True)):
        folder = play(write(tmp_path, model, server))
    assert "warning: the endpoint gives text and no token ids" in capsys.readouterr().err
    assert any("no token ids" in warning for warning in summary(folder)["warnings"])
    assert read_pool(folder).metadata["exact_tokens"] is False
    assert json.loads((folder / "provenance.json").read_text())["tokens"] == "text"


def test_a_verifier_that_reads_log_probabilities_needs_them(model: str, tmp_path: Path) -> None:
    ensemble = {"name": "ensemble", "of": ["length", "perplexity"]}
    with serving(server := Server(logprobs=False)):
        for verifier in ("mean_logprob", ensemble):
            arms = [{"name": "best_of_n", "n": 2, "verifier": verifier}]
            with pytest.raises(InputError, match="no log-probabilities"):
                play(write(tmp_path, model, server, strategies=arms), f"name=run{len(verifier)}")
        assert not server.asked, "told before anything is paid for"


def test_misspelt_keys_are_told(model: str, tmp_path: Path) -> None:
    with serving(server := Server()):
        path = write(tmp_path, model, server, model_changes={"served_nam": "tiny"})
    with pytest.raises(InputError, match=r"served_nam(.|\n)*did you mean served_name"):
        load(path)
    path = write(tmp_path, model, server, model_changes={"endpoint": []})
    with pytest.raises(InputError, match="endpoint"):
        load(path)


def test_a_ledger_from_before_is_read(calm: Path, tmp_path: Path) -> None:
    table = read_ledger(calm / "ledger.parquet")
    assert table.column_names == list(Entry._fields)
    old = table.drop_columns(["n_attempts", "n_lost_tokens"])
    pq.write_table(old, tmp_path / "old.parquet")
    assert read_ledger(tmp_path / "old.parquet").equals(table)
