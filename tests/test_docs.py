"""What the documentation shows works: commands, code, configurations, and the site itself."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tests.contract.playing import experiment, play
from tests.test_readme import COMMANDS as IN_README
from ttscale.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
OWN_TESTS = {"search", "serve", "verifiers", "writing"}
"""Pages whose code is a plug-in or asks a server, which a test of its own runs."""
HERE = re.compile(r"results/reference\b|^ttscale cost --model [\w-]+ ")
"""Commands that need no more than a checkout."""


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced blocks of a page in one of the languages."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [block for language, block in found if language in languages]


COMMANDS = list(
    dict.fromkeys(
        line.split("  #")[0].strip()
        for page in PAGES
        for block in blocks(page, "", "sh")
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith("ttscale ")
    )
)
"""Every command line that a page shows, once."""


def parse(words: list[str]) -> None:
    """Check a command's name, arguments and options without running it."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        assert words[0] in command.commands, f"there is no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    command.make_context(command.name, words)


def test_every_command_is_one() -> None:
    assert len(COMMANDS) > 10
    for command in COMMANDS:
        parse(shlex.split(command)[1:])
    with pytest.raises(Exception, match="No such option"):
        parse(["fit", "results/reference", "--no-such-option"])


@pytest.mark.parametrize("command", [c for c in COMMANDS if HERE.search(c) and c not in IN_README])
def test_commands_that_need_only_a_checkout_run(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ttscale.cli", *shlex.split(command)[1:]],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.stem not in OWN_TESTS and blocks(page, "python")],
    ids=lambda page: page.stem,
)
def test_its_code_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.chdir(tmp_path)
    code = "\n".join(blocks(page, "python"))
    names: dict[str, object] = {}
    exec(compile(code, page.name, "exec"), names)
    assert len(names) > 1


def test_the_plug_ins_that_one_writes_run(tmp_path: Path) -> None:
    page = ROOT / "docs" / "writing.md"
    titles = re.findall(r'```python title="(.*?)"', page.read_text(encoding="utf-8"))
    for title, code in zip(titles, blocks(page, "python"), strict=True):
        (tmp_path / title).write_text(code)
    for configured in blocks(page, "yaml"):
        for entry in yaml.safe_load(configured)["strategies"]:
            first = {key: v[0] if isinstance(v, list) else v for key, v in entry.items()}
            result = play(experiment(tmp_path, first, size=3), tmp_path / f"{len(first)}.journal")
            assert result is not None
            assert {outcome.error for outcome in result.outcomes} == {None}


def test_the_site_builds_without_a_warning_and_asks_for_nothing(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", exc_type=ImportError)
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    home = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|<link[^>]*href)="https?://[^"]*', home)
    assert "best_of_k" in (tmp_path / "reference" / "stats.html").read_text(encoding="utf-8")
    assert "--fit-up-to" in (tmp_path / "commands.html").read_text(encoding="utf-8")
