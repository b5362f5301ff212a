"""A small simulated run with samples, scores and search trees, and the same with hostile texts."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from ttscale.report.command import make_report
from ttscale.report.content import Options
from ttscale.run.config import load
from ttscale.run.display import QuietDisplay
from ttscale.run.runner import run

CONFIG: Mapping[str, Any] = {
    "name": "small",
    "model": {"engine": "simulated"},
    "benchmark": {"simulated": {"success": {"distribution": "beta", "alpha": 1, "beta": 1}},
                  "size": 12},
    "step": {"text": "\n\n"},
    "strategies": [
        "single",
        {"name": "majority_vote", "n": 8},
        {"name": "best_of_n", "n": 8, "verifier": "mean_logprob"},
        {"name": "beam_search", "n": 4, "width": 2, "max_steps": 4, "verifier": "mean_logprob"},
    ],
}  # fmt: skip

QUICK = Options(n_bootstrap=4)

HOSTILE = (
    "<script>window.harmed = 1</script>",
    "</script><script>window.harmed = 2</script>",
    "<img src=x onerror='window.harmed = 3'>",
    "\"'`&lt;&amp;{{ 7 * 7 }}{% raw %}",
    "\x1b]0;harm\x07\x1b[2J\x00\x9b31m",
    "\u202ehidden\u2066\u200f\ufeff",
    "javascript:window.harmed=4",
    "[red]no[/red] \u2028 =cmd()",
    "x" * 1_000_000,
)


def make_run(folder: Path, **changes: Any) -> Path:
    """Run the configuration, with other values for some of its keys; returns the run's folder."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **changes}), encoding="utf-8")
    return run(load(path), folder / "results", QuietDisplay(), fresh=False)


@cache
def _folder() -> Path:
    """A folder that lasts as long as the tests."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return Path(folder.name)


@cache
def clean_run() -> Path:
    """The run, made once."""
    return make_run(_folder())


@cache
def hostile_run() -> Path:
    """The same with hostile texts."""
    return poisoned(clean_run(), _folder() / "hostile")


@cache
def report_of(run: Path) -> Path:
    """A run's report, made once, with its figures in a folder beside it."""
    return make_report([run], None, QUICK, lambda _: None, figures=run / "figures")


def poisoned(clean: Path, to: Path) -> Path:
    """A copy of a run whose texts all end in something hostile."""
    shutil.copytree(clean, to)
    columns = {
        "pool.parquet": ("problem_id", "answer", "response"),
        "answers.parquet": ("problem_id", "answer"),
        "trees.parquet": ("problem_id", "text", "answer"),
        "problems.parquet": ("problem_id", "question", "reference"),
        "ledger.parquet": ("problem_id",),
    }
    for file, names in columns.items():
        table = pq.read_table(to / file)
        for name in names:
            values = [_poison(name, text, i) for i, text in enumerate(table[name].to_pylist())]
            table = table.set_column(table.column_names.index(name), name, pa.array(values))
        pq.write_table(table, to / file)
    return to


def _poison(name: str, text: str | None, row: int) -> str | None:
    if text is None:
        return None
    if name == "problem_id":  # the same wherever the problem is named, and short
        return text + HOSTILE[sum(map(ord, text)) % 8]
    return text + HOSTILE[8 if row == 1 else row % 8]
