"""What the README and the shipped experiments say can be done, can be done."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ttscale import registry
from ttscale.benchmark.source import load as load_items
from ttscale.run.config import load
from ttscale.run.sweep import arms

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [
    line
    for language, block in BLOCKS
    if language in {"", "sh"}
    for line in block.splitlines()
    if line.startswith("ttscale ")
]
EXPERIMENTS = sorted((ROOT / "configs" / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_shipped_experiment_is_valid(path: Path) -> None:
    experiment = load(path)
    assert arms(experiment)
    if (hub := experiment.config.benchmark.hub) is not None:
        pytest.skip(f"{hub.path} is on the hub")
    assert load_items(experiment.config.benchmark, folder=experiment.folder)


def test_the_readmes_configuration_is_valid(tmp_path: Path) -> None:
    (text,) = [block for language, block in BLOCKS if language == "yaml"]
    (tmp_path / "votes.yaml").write_text(text)
    labels = [arm.label for arm in arms(load(tmp_path / "votes.yaml"))]
    assert "majority_vote(n=64)" in labels
    assert yaml.safe_load(text)["name"] == "votes"


def test_the_readmes_strategy_is_the_one_that_ships() -> None:
    (code,) = [block for language, block in BLOCKS if language == "python"]
    shipped = (ROOT / "strategies" / "majority_vote.py").read_text(encoding="utf-8")
    body = code[code.index("paths = ") :].strip()
    assert body in shipped


def test_the_readme_names_every_plug_in() -> None:
    for kind in ("strategies", "verifiers"):
        for name in registry.names(kind):
            assert f"`{name}`" in README, f"{kind}: {name}"


@pytest.mark.parametrize("command", [c for c in COMMANDS if not c.startswith("ttscale run")])
def test_the_readmes_quick_commands_run(command: str) -> None:
    words = shlex.split(command, comments=True)[1:]
    done = subprocess.run(
        [sys.executable, "-m", "ttscale.cli", *words],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.vllm
@pytest.mark.alone
@pytest.mark.slow
def test_the_readmes_runs_run_on_a_few_problems(tmp_path: Path) -> None:
    runs = [shlex.split(c)[1:] for c in COMMANDS if c.startswith("ttscale run")]
    assert runs
    for words in runs:
        few = [*words, "--set", "benchmark.size=2", "--results", str(tmp_path), "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "ttscale.cli", *few],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        summary = json.loads(done.stdout)
        assert summary["complete"] and not summary["simulated"]
        assert summary["samples"][0]["n_samples"] == 2 * 16
