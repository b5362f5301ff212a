"""A hook of mkdocs: the pages that are made from the code, so that they cannot fall behind it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

REFERENCE = {
    "protocol": ("Protocol", ("ttscale", "ttscale.context", "ttscale.engine.protocol")),
    "stats": ("Statistics", ("ttscale.stats",)),
    "laws": ("Laws", ("ttscale.laws",)),
    "cost": ("Costs", ("ttscale.cost",)),
    "plan": ("Plans", ("ttscale.plan",)),
    "notebook": ("Python", ("ttscale.notebook",)),
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the commands' page and one page of reference for each room."""
    files.append(File.generated(config, "commands.md", content=commands()))
    for page, (title, modules) in REFERENCE.items():
        content = "\n".join([f"# {title}\n", *(entry for m in modules for entry in entries(m))])
        files.append(File.generated(config, f"reference/{page}.md", content=content))
    return files


def commands() -> str:
    """Every command's help, as typer writes it."""
    words = ["-m", "typer", "ttscale.cli", "utils", "docs", "--name", "ttscale"]
    plain = {**os.environ, "_TYPER_FORCE_DISABLE_TERMINAL": "1", "NO_COLOR": "1", "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, *words], env=plain, capture_output=True, text=True, check=True
    )
    return done.stdout.replace("# `ttscale`", "# Commands", 1)


def entries(module: str) -> Iterator[str]:
    """A heading, and a directive for each public name that is defined with a docstring."""
    yield f"## `{module}`\n"
    loaded = import_module(module)
    names = getattr(loaded, "__all__", None) or [
        name
        for name, value in vars(loaded).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module
    ]
    for name in names:
        if getattr(loaded, name).__doc__:
            yield f"::: {module}.{name}\n"
