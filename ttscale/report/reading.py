"""What a report is made from: runs, pools and counts files, as far as they can be read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ttscale.errors import InputError
from ttscale.plan.sources import Run, read_run
from ttscale.record.problems import PROBLEMS, Asked, read_problems
from ttscale.record.samples import SampleSet, read_samples
from ttscale.record.trees import TREES, Node, read_trees

SUMMARY, PROVENANCE, CONFIG = "summary.json", "provenance.json", "config.yaml"
OF_A_RUN = (SUMMARY, PROVENANCE, CONFIG)


@dataclass(frozen=True)
class Material:
    """One source of a report.

    Attributes
    ----------
    path : as given.
    sets : its sample sets; empty where there is no pool.
    run : ledger, answers and strategies of a run.
    summary, provenance, config : the files of these names; empty where there are none.
    problems, trees : by id, and by arm and problem.
    missing : what is not there, in sentences.
    """

    path: Path
    sets: tuple[SampleSet, ...] = ()
    run: Run = field(default_factory=Run)
    summary: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    config: str = ""
    problems: Mapping[str, Asked] = field(default_factory=dict)
    trees: Mapping[tuple[str, str], Sequence[Node]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def simulated(self) -> bool:
        """Whether its samples come from a simulation."""
        return bool(self.summary.get("simulated") or any(each.simulated for each in self.sets))


def read_material(path: Path) -> Material:
    """Read a run's folder, a pool or a counts file.

    A run that has not ended, or not begun, gives what there is, and says what is missing. Raises
    InputError for what is neither.
    """
    if not path.is_dir():
        return Material(path, tuple(read_samples(path)))
    if not any((path / name).is_file() for name in (*OF_A_RUN, "pool.parquet")):
        raise InputError(
            "this folder holds no run",
            where=str(path),
            got=", ".join(sorted(each.name for each in path.iterdir())[:8]) or "an empty folder",
            hint="a folder that `ttscale run` made, such as results/demo",
        )
    missing = []
    sets: tuple[SampleSet, ...] = ()
    try:
        sets = tuple(read_samples(path))
    except InputError as error:
        missing.append(f"no samples: {error.what} (the run has not ended, or was not interrupted "
                       "in order; the same `ttscale run` goes on)")  # fmt: skip
    summary = _json(path / SUMMARY)
    if not summary:
        missing.append("no summary: the run has written none")
    elif not summary.get("complete", True):
        missing.append("the run has not ended: not every strategy has met every problem")
    return Material(
        path,
        sets,
        read_run(path),
        summary,
        _json(path / PROVENANCE),
        _text(path / CONFIG),
        read_problems(path / PROBLEMS),
        read_trees(path / TREES),
        tuple(missing),
    )


def _json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
