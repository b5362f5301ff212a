"""What starting up loads: neither torch nor vllm, and on a laptop not even the engine's side."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "vllm", "transformers", "datasets", "pandas", "sympy", "math_verify"}
ENGINE_SIDE = {"ttscale.engine", "ttscale.run", "ttscale.context", "ttscale.session"}


def loaded_by(code: str) -> set[str]:
    """Names of the modules in a new process after running `code`."""
    script = f"import sys\n{code}\nprint('MODULES', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.rpartition("MODULES")[2].split())


@pytest.mark.parametrize(
    "code",
    [
        "import ttscale",
        "import ttscale\nttscale.run, ttscale.load",
        "from ttscale.run import config, runner",
        "sys.argv = ['ttscale', '--help']\nfrom ttscale.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass",
    ],
)
def test_nothing_heavy_is_loaded_at_the_start(code: str) -> None:
    assert not HEAVY & loaded_by(code)


def test_help_loads_no_numbers_at_all() -> None:
    help_text = "sys.argv = ['ttscale', '--help']\nfrom ttscale.cli import main\n"
    loaded = loaded_by(help_text + "try:\n    main()\nexcept SystemExit:\n    pass")
    assert not {"scipy", "pyarrow"} & loaded


@pytest.mark.parametrize("package", ["stats", "cost", "laws", "plan", "report.command"])
def test_what_works_from_a_file_does_not_load_the_engine_side(package: str) -> None:
    loaded = loaded_by(f"import ttscale.{package}")
    assert not HEAVY & loaded
    assert not {name for name in loaded if name in ENGINE_SIDE}
