"""The problems of a run: one row each in `problems.parquet`, for who reads its samples later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, NamedTuple

from ttscale.trace import Problem

if TYPE_CHECKING:
    import pyarrow as pa

PROBLEMS = "problems.parquet"
"""The problems' name in a run folder."""


class Asked(NamedTuple):
    """What a run says of a problem; None where it does not."""

    question: str | None = None
    reference: str | None = None


def problem_table(problems: Iterable[Problem]) -> pa.Table:
    """Problems as rows: id, question, reference answer and the prompt's text."""
    import pyarrow as pa

    schema = pa.schema(
        {name: pa.string() for name in ("problem_id", "question", "reference", "prompt")}
    )
    rows = [
        {
            "problem_id": p.id,
            "question": p.question,
            "reference": p.reference,
            "prompt": p.root.text,
        }
        for p in problems
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def read_problems(path: FilePath) -> Mapping[str, Asked]:
    """The problems of a run by id; empty where the file is not there."""
    import pyarrow.parquet as pq

    if not path.is_file():
        return {}
    return {
        row["problem_id"]: Asked(row["question"], row["reference"])
        for row in pq.read_table(path).to_pylist()
    }
