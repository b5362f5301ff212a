"""docs/import.md: what it shows is what the commands print."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from tests.test_run import in_process

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"^```\n(.*?)^```$", (ROOT / "docs/import.md").read_text(), re.DOTALL | re.M)
SHOWN = [
    (command, output)
    for command, output in pairwise(BLOCKS)
    if command.startswith("ttscale import") and "tests/formats" in command
]


def matching(pattern: str) -> list[str]:
    """Files, as a shell would name them."""
    return sorted(map(str, Path().glob(pattern)))


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of one's own with what the page's commands read."""
    for name in ("tests", "results"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("command", "output"), SHOWN)
def test_it_prints_what_the_page_shows(command: str, output: str) -> None:
    words = [each for word in shlex.split(command) for each in matching(word) or [word]]
    done = in_process(*words[1:])
    assert done.stdout == output, done.stderr


def test_a_row_of_the_table_for_every_committed_file() -> None:
    page = (ROOT / "docs" / "import.md").read_text()
    rows = re.findall(r"^\| (?:lm-eval|inspect) \| `sums.*$", page, re.MULTILINE)
    numbers = [re.findall(r"\d\.\d{4}", row) for row in rows]
    assert len(rows) == 8 and all(reported == imported for reported, imported in numbers)
    files = "tests/formats/lm_eval/repeats/stub-1/samples_*.jsonl"
    for name, (reported, _) in zip(("strict", "flexible"), numbers[2:4], strict=True):
        done = in_process(
            "import", "lm-eval", *matching(files), "--filter", name, "--out", "p.parquet"
        )
        assert f"reported: {reported} of 24 samples" in done.stdout
    pairs = [(k, m) for k in ("eval", "json") for m in ("match", "pattern")]
    for (kind, metric), (reported, _) in zip(pairs, numbers[4:], strict=True):
        log = matching(f"tests/formats/inspect/*.{kind}")
        done = in_process("import", "inspect", *log, "--metric", metric, "--out", "p.parquet")
        assert f"reported: {reported} of" in done.stdout and "the same here" in done.stdout


def test_exports_of_the_page_run() -> None:
    shown = [line for block in BLOCKS for line in block.splitlines() if " export " in line]
    assert len(shown) == 2
    for line in shown:
        words = shlex.split(line)[1:]
        done = in_process(words[0], "results/reference", *words[2:])
        assert done.returncode == 0, done.stderr
        assert Path(words[-1]).exists()
