"""Tables of anyone's making: JSONL, CSV or Parquet, with the names of their columns.

A row is a sample, or a problem whose columns hold lists, one entry for each sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from ttscale.errors import InputError, closest
from ttscale.formats.imported import Choices, Imported
from ttscale.formats.lines import Record, read_lines, refuse_doubles

REQUIRED = ("problem_id", "correct")
WHOLE = ("sample_index", "answer_class", "n_prompt_tokens", "n_generated_tokens")
TEXT = ("problem_id", "sample_set", "answer", "finish_reason", "response")
NAMES = ("correct", *WHOLE, *TEXT)

_TRUTHS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
_MISSING = ("null", "none", "nan")


def read(paths: Sequence[FilePath], choices: Choices) -> Imported:
    """The rows of the tables, their columns renamed as the user says.

    Raises InputError for a column that is not there, and for a value of another kind than the
    pool's column holds.
    """
    refuse_doubles(paths)
    rows = [row for path in paths for record in _records(path) for row in _rows(record, choices)]
    source = choices.columns.get("correct", "correct")
    return Imported(rows, f"the column {source} of the files")


def parse_columns(given: Sequence[str]) -> dict[str, str]:
    """`correct=passed` as a mapping from the pool's column to the file's.

    Raises InputError for what is no such pair, a column that pools do not have, and one given
    twice.
    """
    columns: dict[str, str] = {}
    for pair in (part for each in given for part in _split(each)):
        name, equals, column = pair.partition("=")
        if not equals or not column:
            raise InputError(
                "a mapping is NAME=COLUMN",
                where="--map",
                got=pair,
                hint="--map problem_id=task_id --map correct=passed",
            )
        if name not in NAMES and not (name.startswith("score.") and len(name) > len("score.")):
            raise InputError(
                "a pool has no such column",
                where="--map",
                got=name,
                hint=f"{closest(name, NAMES)} There are {', '.join(NAMES)} and score.<verifier>",
            )
        if name in columns:
            raise InputError("a column is mapped twice", where="--map", got=name)
        columns[name] = column
    return columns


def _split(pairs: str) -> list[str]:
    """Several pairs in one word, parted by commas or spaces."""
    parts = pairs.replace(",", " ").split()
    return parts if all("=" in part for part in parts) and parts else [pairs]


def _records(path: FilePath) -> Iterator[Record]:
    if path.suffix in (".jsonl", ".json"):
        yield from read_lines(path)
        return
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    if path.suffix not in (".csv", ".parquet"):
        raise InputError(
            "a table is a .jsonl, .csv or .parquet file", where=str(path), got=path.suffix
        )
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        else:  # every column as text: what is a number is known only once it has a name here
            texts = dict.fromkeys(_header(path), pa.string())
            table = pc.read_csv(path, convert_options=pc.ConvertOptions(column_types=texts))
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"this file is not {path.suffix[1:].upper()}", where=str(path), got=str(error)
        ) from error
    for number, value in enumerate(table.to_pylist(), start=1):
        yield Record(value, f"{path}, row {number}")


def _header(path: FilePath) -> list[str]:
    import csv

    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file), [])


def _rows(record: Record, choices: Choices) -> Iterator[dict[str, Any]]:
    """A record's samples: one, or one for each entry of its lists."""
    values = {name: _get(record, column, name) for name, column in _columns(record, choices)}
    lists = {name: value for name, value in values.items() if isinstance(value, list)}
    if "correct" not in lists:
        if lists:
            name = next(iter(lists))
            raise InputError(
                f"{name} is a list here and correct is not",
                where=record.where,
                got=lists[name],
            )
        yield _row(values, record)
        return
    n = len(lists["correct"])
    for name, entries in lists.items():
        if len(entries) != n:
            raise InputError(
                f"{name} has not one entry for each verdict",
                where=record.where,
                got=f"{len(entries)} entries, {n} verdicts",
            )
    for i in range(n):
        yield _row({name: lists[name][i] if name in lists else value
                    for name, value in values.items()}, record)  # fmt: skip


def _columns(record: Record, choices: Choices) -> list[tuple[str, str]]:
    """Pool column and file column: what is mapped, and what has the pool's name already."""
    pairs = dict(choices.columns)
    for name in record.value:
        if name in NAMES or name.startswith("score."):
            pairs.setdefault(name, name)
    for name in REQUIRED:
        if name not in pairs:
            raise InputError(
                f"which column is {name}?",
                where=record.where,
                got=", ".join(map(str, record.value)),
                hint=f"--map {name}=COLUMN",
            )
    return list(pairs.items())


def _get(record: Record, column: str, name: str) -> Any:
    """A column's value; dots reach into objects."""
    if column in record.value:
        return record.value[column]
    value: Any = record.value
    for part in column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise InputError(
                "there is no such column",
                where=f"{record.where}, --map {name}",
                got=column,
                hint=closest(column, map(str, record.value)),
            )
        value = value[part]
    return value


def _row(values: Mapping[str, Any], record: Record) -> dict[str, Any]:
    row = {name: _value(name, value, record.where) for name, value in values.items()}
    if row["problem_id"] is None:
        raise InputError("this row has no problem", where=record.where, got=dict(values))
    return row


def _value(name: str, value: Any, where: str) -> Any:
    """A value in the kind of its column; None where it is missing."""
    if value is None or value == "":
        return None
    if name not in TEXT and isinstance(value, str) and value.strip().lower() in _MISSING:
        return None
    try:
        if name == "correct":
            return _truth(value)
        if name in WHOLE:
            number = float(value)
            if number != int(number):
                raise ValueError("not a whole number")
            return int(number)
        return float(value) if name.startswith("score.") else str(value)
    except (TypeError, ValueError, OverflowError, KeyError) as error:
        kind = "a whole number" if name in WHOLE else "a number"
        kind = "true or false" if name == "correct" else kind
        raise InputError(f"{name} is {kind}", where=where, got=value) from error


def _truth(value: Any) -> bool:
    """True and false, 1 and 0, as such or in words."""
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    return _TRUTHS[str(value).strip().lower()]
