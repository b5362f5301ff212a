"""Let lm-eval and inspect write their files about the endpoint's answers.

    PATH=/path/to/a/venv/bin:$PATH python -m tests.formats.make tests/formats

writes the committed ones anew, with the versions of the tools that are on PATH:

    pip install lm-eval==0.4.13 inspect-ai==0.3.285 openai requests aiohttp tenacity
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.formats.endpoint import serving

TASKS = Path(__file__).parent / "tasks"
MODEL = "stub-1"


def run(*command: str | Path, **environment: str) -> None:
    """A tool's command beside a copy of the tasks; CalledProcessError, its output shown."""
    offline = {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": "none"}
    with tempfile.TemporaryDirectory() as desk:
        shutil.copytree(TASKS, desk, dirs_exist_ok=True)
        done = subprocess.run(
            [str(word) for word in command],
            cwd=desk,
            env={**os.environ, **offline, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.stderr.write(done.stdout)
        done.check_returncode()


def lm_eval(task: str, folder: Path, model: str = "local-chat-completions", first: int = 0) -> None:
    """Evaluate a task with lm-evaluation-harness, its samples logged under `folder`.

    `first` is the endpoint's first reply to each question: another one is another run.
    """
    with serving(first) as url:
        arguments = f"model={MODEL},base_url={url}/chat/completions,num_concurrent=1"
        chat = ("--model_args", arguments, "--apply_chat_template") if model != "dummy" else ()
        run("lm_eval", "--model", model, *chat, "--tasks", task, "--include_path", ".",
            "--output_path", folder, "--log_samples", "--seed", "1")  # fmt: skip


def inspect(folder: Path, kind: str = "eval", n: int = 12) -> None:
    """Evaluate n of the sums with inspect; `kind` is the log's format, eval or json."""
    with serving() as url:
        run("inspect", "eval", "sums_inspect.py", "-T", f"n={n}", "--model", f"openai/{MODEL}",
            "-M", "responses_api=false", "--log-dir", folder, "--log-format", kind,
            "--max-connections", "1", "--max-samples", "1", "--display", "none",
            OPENAI_BASE_URL=url)  # fmt: skip


def main(folder: Path) -> None:
    """Write every fixture anew under `folder`."""
    for name in ("lm_eval", "inspect"):
        shutil.rmtree(folder / name, ignore_errors=True)
    lm_eval("sums", folder / "lm_eval" / "repeats")
    for first, name in enumerate(("first", "second")):
        lm_eval("sums_once", folder / "lm_eval" / name, first=first)
    lm_eval("sums_choice", folder / "lm_eval" / "choice", model="dummy")
    inspect(folder / "inspect")
    inspect(folder / "inspect", kind="json", n=2)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
