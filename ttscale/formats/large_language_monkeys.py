"""Samples of Large Language Monkeys (Brown et al., 2024): a YAML file for each problem.

`samples` holds the responses and `is_corrects`, which its evaluation scripts add, the verdicts. The
files name neither the model nor tokens nor extracted answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

import yaml

from ttscale.errors import InputError
from ttscale.formats.imported import Choices, Imported
from ttscale.formats.lines import read_text

_VERDICTS = ("is_corrects", "is_correct")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a problem may hold 10,000 samples


def read(paths: Sequence[FilePath], _: Choices) -> Imported:
    """The samples of the files, and of every YAML file in the folders.

    Raises InputError for a problem that stands twice, one that was not evaluated, and verdicts that
    are not one for each sample.
    """
    files = [file for path in paths for file in _files(path)]
    rows: list[dict[str, Any]] = []
    known: dict[str, FilePath] = {}
    for file in files:
        if file.stem in known:
            raise InputError(
                "two files are of one problem",
                where=str(file),
                got=str(known[file.stem]),
                hint="a file's name is its problem: import each benchmark into a pool of its own",
            )
        known[file.stem] = file
        rows += _rows(file)
    return Imported(rows, "is_corrects, from the files", "large_language_monkeys")


def _files(path: FilePath) -> list[FilePath]:
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.yaml"), key=lambda file: (len(file.stem), file.stem))
    if not found:
        raise InputError("there is no YAML file in this folder", where=str(path))
    return found


def _rows(file: FilePath) -> Iterator[dict[str, Any]]:
    try:
        content = yaml.load(read_text(file), Loader=_LOADER)
    except yaml.YAMLError as error:
        raise InputError("this file is not YAML", where=str(file), got=str(error)) from error
    if not isinstance(content, Mapping) or not isinstance(content.get("samples"), list):
        raise InputError(
            "this file holds no list of samples",
            where=str(file),
            got=", ".join(map(str, content)) if isinstance(content, Mapping) else content,
        )
    samples = content["samples"]
    verdicts = next((content[name] for name in _VERDICTS if name in content), None)
    if verdicts is None:
        raise InputError(
            "these samples are not evaluated: there are no is_corrects",
            where=str(file),
            got=", ".join(map(str, content)),
            hint="the scripts under llmonk/evaluate add them",
        )
    if not isinstance(verdicts, list) or len(verdicts) != len(samples):
        raise InputError(
            "there is not one verdict for each sample",
            where=str(file),
            got=f"{len(samples)} samples, is_corrects {verdicts!r}",
        )
    for index, (sample, right) in enumerate(zip(samples, verdicts, strict=True)):
        if not isinstance(right, bool):
            raise InputError(
                "a verdict is true or false", where=f"{file}, sample {index}", got=right
            )
        yield {"problem_id": file.stem, "sample_index": index, "response": str(sample),
               "correct": right}  # fmt: skip
