"""A run on a Ray cluster is the run it is in one process, whatever is killed meanwhile."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from pandas.testing import assert_frame_equal

from tests.contract.playing import Silent
from ttscale.cluster.driver import run_on_ray
from ttscale.errors import InputError, TTScaleError
from ttscale.run.config import load
from ttscale.run.folder import claim
from ttscale.run.runner import run

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning")]

ROOT = Path(__file__).parents[1]

CONFIG: dict[str, Any] = {
    "name": "spread",
    "model": {"engine": "simulated"},
    "benchmark": {"simulated": {}, "size": 40},
    "sampling": {"max_tokens": 600},
    "strategies": [
        {"name": "best_of_n", "n": [2, 8], "verifier": "mean_logprob"},
        {"name": "majority_vote", "n": 16},
    ],
    "run": {"concurrency": 24, "ray": {"workers": 2, "cpus": 0.5, "wait_seconds": 300}},
}

SABOTAGE = '''
"""A vote on whose third problem something happens, once."""

import asyncio, os, resource, shutil, signal, sqlite3
from dataclasses import dataclass
from pathlib import Path

from ttscale.context import Context
from ttscale.record.journal import Journal
from ttscale.strategy import Strategy
from ttscale.trace import Answer, Problem

HERE = Path({here!r})
PAID = os.open(HERE / "paid", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
write = Journal.write


def noted(self, base, stream, payer, completion):
    os.write(PAID, f"{{base.hex()}} {{stream}}\\n".encode())
    write(self, base, stream, payer, completion)


Journal.write = noted


def committed(folder):
    keys = []
    for path in folder.glob("**/journal.sqlite"):
        try:
            rows = sqlite3.connect(path).execute("SELECT base, stream FROM calls").fetchall()
        except sqlite3.OperationalError:
            continue  # another worker is about to make it
        keys += [f"{{base.hex()}} {{stream}}" for base, stream in rows]
    return keys


@dataclass(frozen=True)
class Sabotage(Strategy):
    """Votes of eight, and on the third problem of all {what}."""

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Sample twice, so that something is committed between."""
        paths = await ctx.sample(problem.root, n=4)
        if problem.id == "2" and not (HERE / "done").exists():
            (HERE / "committed").write_text("\\n".join(committed(HERE / "runs")))
            (HERE / "done").touch()
            {deed}
        paths += await ctx.sample(problem.root, n=4)
        return Answer(paths[0])
'''

KILL = "os.kill(os.getpid(), signal.SIGKILL)"
WAIT = "await asyncio.sleep(600)"
FILL = "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))"


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A local cluster, by its address."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # workers inherit it
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # Where much else runs, Ray takes its time to end a worker.
        patch.setattr("ttscale.run.runner.PATIENCE_SECONDS", 300.0)
        context = start()
        yield context.address_info["gcs_address"]
        ray.shutdown()


def start(attempts: int = 3) -> Any:
    """Start Ray, which gives its own processes 30 seconds, too few where much else runs."""
    try:
        return ray.init(
            num_cpus=2,
            num_gpus=0,
            include_dashboard=False,
            object_store_memory=100 << 20,
            log_to_driver=False,
        )
    except Exception:
        if attempts == 1:
            raise
        ray.shutdown()
        return start(attempts - 1)


def write(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "spread.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **changes}))
    return path


def sabotaged(tmp_path: Path, deed: str, **changes: Any) -> Path:
    code = SABOTAGE.format(here=str(tmp_path), what=deed, deed=deed)
    (tmp_path / "sabotage.py").write_text(code)
    return write(tmp_path, strategies=[{"name": "./sabotage.py"}], **changes)


def on_ray(config: Path, results: Path, cluster: str) -> Path:
    return run_on_ray(load(config), results, Silent(), fresh=False, address=cluster)


def calls(folder: Path) -> set[tuple[bytes, int]]:
    db = sqlite3.connect(folder / "journal.sqlite")
    return set(db.execute("SELECT base, stream FROM calls"))


def books(folder: Path) -> Counter[str]:
    """Ledger rows without clock times and without what an engine's cache happened to hold."""
    columns = ["arm", "problem_id", "n_prompt_tokens", "n_shared_tokens", "n_generated_tokens"]
    table = pq.read_table(folder / "ledger.parquet", columns=[*columns, "kind", "replayed"])
    return Counter(str(sorted(row.items())) for row in table.to_pylist())


def assert_same(one: Path, other: Path) -> None:
    for name in ("answers", "pool"):
        tables = [pq.read_table(folder / f"{name}.parquet") for folder in (one, other)]
        assert_frame_equal(*(table.to_pandas() for table in tables), check_exact=True)
    assert calls(one) == calls(other)
    assert books(one) == books(other)
    assert not list(other.glob("workers/*/journal.sqlite")), "nothing lies about"


def assert_paid_once(tmp_path: Path) -> None:
    paid = Counter((tmp_path / "paid").read_text().split("\n")[:-1])
    committed = (tmp_path / "committed").read_text().splitlines()
    assert committed, "something had been committed when it happened"
    assert all(paid[key] == 1 for key in committed)


def test_two_workers_are_one_run(tmp_path: Path, cluster: str) -> None:
    config = write(tmp_path)
    whole = run(load(config), tmp_path / "here", Silent(), fresh=False)
    spread = on_ray(config, tmp_path / "ray", cluster)
    assert_same(whole, spread)
    summaries = [json.loads((f / "summary.json").read_text()) for f in (whole, spread)]
    for one in summaries:
        del one["seconds"], one["tokens_per_second"], one["machine_seconds"]
        for strategy in one["strategies"]:
            del strategy["machine_seconds_per_problem"]
        del one["tokens"]["generate"]["n_cached_tokens"]
    assert summaries[0] == summaries[1]


def test_a_killed_workers_problems_go_elsewhere(tmp_path: Path, cluster: str) -> None:
    spread = on_ray(sabotaged(tmp_path, KILL), tmp_path / "runs", cluster)
    assert_paid_once(tmp_path)
    whole = run(load(tmp_path / "spread.yaml"), tmp_path / "here", Silent(), fresh=False)
    assert_same(whole, spread)
    assert json.loads((spread / "summary.json").read_text())["n_failed"] == 0


def test_a_full_disk_is_said_and_resumed_without_a_cluster(tmp_path: Path, cluster: str) -> None:
    config = sabotaged(tmp_path, FILL)
    with pytest.raises(TTScaleError, match="journal could not be written"):
        on_ray(config, tmp_path / "runs", cluster)
    resumed = run(load(config), tmp_path / "runs", Silent(), fresh=False)
    assert_paid_once(tmp_path)
    assert_same(run(load(config), tmp_path / "here", Silent(), fresh=False), resumed)


def test_the_driver_is_killed_and_resumed_by_more_workers(tmp_path: Path, cluster: str) -> None:
    model = {"engine": "simulated", "timing": {"round_seconds": 0.004, "time_scale": 1.0}}
    changes = {"model": model, "benchmark": {"simulated": {}, "size": 12}}
    run_section = {"concurrency": 3, "ray": {"cpus": 0.5, "wait_seconds": 300}}
    config = sabotaged(tmp_path, WAIT, run=run_section, **changes)
    results = tmp_path / "runs"
    command = ["-m", "ttscale.cli", "run", str(config), "--results", str(results), "--ray", cluster]
    driver = subprocess.Popen([sys.executable, *command], cwd=ROOT, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 300
    while not (tmp_path / "done").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (tmp_path / "done").exists(), "it came to the third problem"
    assert driver.poll() is None, "it was killed at work"
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    experiment = load(config, ["run.ray.workers=2", "run.concurrency=64"])
    spread = run_on_ray(experiment, results, Silent(), fresh=False, address=cluster)
    assert_paid_once(tmp_path)
    assert_same(run(experiment, tmp_path / "here", Silent(), fresh=False), spread)


def test_what_a_cluster_lacks_is_said(tmp_path: Path, cluster: str) -> None:
    config = write(tmp_path, run={"ray": {"gpus": 1, "wait_seconds": 0.5}})
    with pytest.raises(InputError, match=r"no room for a worker[^~]*1 CPU, 1 GPU asked for"):
        on_ray(config, tmp_path, cluster)


def test_a_second_driver_is_refused(tmp_path: Path, cluster: str) -> None:
    config = write(tmp_path)
    with (
        claim(load(config), tmp_path, fresh=False),
        pytest.raises(InputError, match="another process is running this experiment"),
    ):
        on_ray(config, tmp_path, cluster)
