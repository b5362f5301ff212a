"""`ttscale.run` and `ttscale.load`: from plain Python and inside a running event loop."""

from __future__ import annotations

import ast
import asyncio
import copy
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

import ttscale
from tests.formats.found import REPEATS
from ttscale.errors import InputError
from ttscale.formats.exporting import write_pool
from ttscale.formats.imported import Choices
from ttscale.formats.importing import import_files
from ttscale.notebook.running import read_experiment
from ttscale.record.pool import make_pool

ROOT = Path(__file__).parents[1]
CONFIG: dict[str, Any] = {
    "name": "small",
    "model": {"engine": "simulated"},
    "benchmark": {"simulated": {}, "size": 6},
    "sampling": {"max_tokens": 600},
    "strategies": [{"name": "best_of_n", "n": 4, "verifier": "mean_logprob"}],
}


def test_a_configuration_is_a_path_a_text_or_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    before = copy.deepcopy(CONFIG)
    given: list[Any] = [path, str(path), path.read_text(), CONFIG]
    assert len({read_experiment(each, ()).hash for each in given}) == 1
    changed = ttscale.run(CONFIG, changes=["benchmark.size=3"], results=tmp_path / "r")
    assert changed.summary["n_problems"] == 3
    assert before == CONFIG


def test_the_name_is_a_package_too() -> None:
    from ttscale.run import config

    assert ttscale.run.config is config  # type: ignore[attr-defined]
    assert callable(ttscale.run) and callable(ttscale.load)
    with pytest.raises(AttributeError, match="has no attribute"):
        ttscale.walk  # noqa: B018


def test_it_runs_inside_a_running_event_loop(tmp_path: Path) -> None:
    async def cell() -> dict[str, Any]:
        return ttscale.run(CONFIG, results=tmp_path).summary

    assert asyncio.run(cell())["complete"]


def test_frames_hold_what_the_files_hold(tmp_path: Path) -> None:
    run = ttscale.run(CONFIG, results=tmp_path)
    assert run.source == tmp_path / "small"
    assert len(run.pool) == 24 and run.pool["correct"].dtype == bool
    assert set(run.answers["arm"]) == set(run.ledger["arm"])
    assert run.ledger["n_generated_tokens"].sum() == run.pool["n_generated_tokens"].sum()
    assert run.metadata["simulated"]
    curves = run.curves()
    coverage = curves[curves["selector"] == "coverage"].set_index("k")
    for point in run.summary["samples"][0]["pass_at_k"]:
        assert coverage.loc[point["k"], "accuracy"] == pytest.approx(point["estimate"])
    assert (curves["low"] <= curves["accuracy"]).all()


def test_it_shows_itself(tmp_path: Path) -> None:
    run = ttscale.run(CONFIG, results=tmp_path)
    shown = run._repr_html_()
    assert "simulated on simulated: 6 problems, 24 samples" in shown and "SIMULATED" in shown
    first = run.curves().iloc[0]
    assert f"{first.accuracy:.3f} [{first.low:.3f}, {first.high:.3f}]" in shown
    picture = run.figure(n_bootstrap=0)
    assert picture._repr_svg_().lstrip().startswith("<?xml")
    assert picture.figure.get_suptitle().endswith("(SIMULATED)")
    picture.save(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_report_is_written_where_rich_sees_a_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    run = ttscale.run(CONFIG, results=tmp_path)
    assert "best_of_n(n=4, mean_logprob)" in (run.source / "report.md").read_text().split("##")[0]


def test_a_pool_is_labelled_and_says_what_it_lacks(tmp_path: Path) -> None:
    imported = import_files("lm-eval", [REPEATS], Choices(filter="strict")).pool
    write_pool(imported, tmp_path / "p.parquet")
    pool = ttscale.load(tmp_path / "p.parquet")
    assert "IMPORTED: these samples were written by lm_eval 0.4.13" in pool._repr_html_()
    assert pool.figure(n_bootstrap=0).figure.get_suptitle().endswith("(imported)")
    with pytest.raises(InputError, match=r"no answers\.parquet"):
        pool.answers  # noqa: B018
    with pytest.raises(InputError, match="no such file"):
        ttscale.load(tmp_path / "nothing")


def test_hostile_names_are_text(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>"
    rows = [{"problem_id": p, "correct": p == "a", "score.<b>": 1.0} for p in "ab"]
    make_pool(rows, {"model": name, "imported": {"tool": name}}).write(tmp_path / "p.parquet")
    shown = ttscale.load(tmp_path / "p.parquet")._repr_html_()
    assert "<script>" not in shown and "<b>:" not in shown and "&lt;script&gt;" in shown


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({**CONFIG, "modle": 1}, ("unknown key", "the configuration: modle", "model")),
        ({k: v for k, v in CONFIG.items() if k != "name"}, ("Field required", "name")),
        ("name: a\nmodel: [\n", ("not YAML", "the configuration:3")),
        ("nowhere.yaml", ("cannot be read", "nowhere.yaml")),
    ],
)
def test_bad_configurations_get_one_message(
    config: Any, words: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        ttscale.run(config, results=tmp_path / "r")
    for word in words:
        assert word in str(caught.value)
    assert not (tmp_path / "r").exists()


SLOW = {
    **CONFIG,
    "model": {"engine": "simulated", "timing": {"round_seconds": 0.01, "time_scale": 1.0}},
    "benchmark": {"simulated": {}, "size": 60},
    "run": {"concurrency": 2},
}


@pytest.mark.parametrize("inside", [False, True], ids=["plain", "notebook"])
def test_an_interrupt_stops_in_order_and_the_same_call_goes_on(
    tmp_path: Path, inside: bool
) -> None:
    call = f"ttscale.run({SLOW!r}, results={str(tmp_path)!r})"
    body = f"async def main():\n    {call}\nasyncio.run(main())" if inside else call
    code = f"import asyncio, ttscale\ntry:\n    {body.replace(chr(10), chr(10) + '    ')}\n"
    code += "except ttscale.TTScaleError as error:\n    print(type(error).__name__, error)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    journal = tmp_path / "small" / "journal.sqlite-wal"
    deadline = time.monotonic() + 300
    while not (journal.exists() and journal.stat().st_size > 100_000):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=300)
    assert out.startswith("Interrupted stopped after") and "goes on from here" in out, error
    assert "Traceback" not in error
    stopped = ttscale.load(tmp_path / "small")
    assert 0 < len(stopped.pool) < 240
    assert not stopped.summary["complete"] and "UNFINISHED" in stopped._repr_html_()
    again = {**SLOW, "run": {"concurrency": 256}}
    went_on = ttscale.run(again, results=tmp_path)
    assert went_on.summary["complete"] and len(went_on.pool) == 240
    assert went_on.summary["n_sampled_tokens"] == went_on.pool["n_generated_tokens"].sum()


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell of docs/notebook.ipynb, in a running event loop as a kernel has it."""
    notebook = json.loads((ROOT / "docs" / "notebook.ipynb").read_text())
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.chdir(tmp_path)

    async def kernel() -> dict[str, Any]:
        names: dict[str, Any] = {}
        for number, cell in enumerate(cells):
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            done = eval(compile(cell, f"cell {number}", "exec", flags), names)
            if inspect.isawaitable(done):
                await done
        return names

    assert asyncio.run(kernel())["run"].summary["complete"]
