"""Reading files of records: JSONL, with the line of whatever is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from ttscale.errors import InputError


class Record(NamedTuple):
    """An object of a file, and where it stands."""

    value: Mapping[str, Any]
    where: str


def read_lines(path: FilePath) -> Iterator[Record]:
    """The objects of a JSONL file.

    Raises InputError for what is not UTF-8, not JSON, or not an object.
    """
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            value = json.loads(line)
        except ValueError as error:
            raise InputError(
                f"this line is not JSON: {error}", where=where, got=line, hint=_cut(number, path)
            ) from error
        if not isinstance(value, dict):
            raise InputError("a line is one object", where=where, got=value)
        yield Record(value, where)


def read_text(path: FilePath) -> str:
    """A file's text, or InputError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError("the file is not UTF-8 text", where=str(path), got=str(error)) from error


def refuse_doubles(paths: Sequence[FilePath]) -> None:
    """Raises InputError for a file given twice, under whatever name."""
    known: dict[bytes, FilePath] = {}
    from hashlib import sha256

    for path in paths:
        try:
            content = sha256(path.read_bytes()).digest()
        except OSError as error:
            raise InputError(
                f"the file cannot be read: {error.strerror}", where=str(path)
            ) from error
        if content in known:
            raise InputError(
                "two files hold the same samples, which would count twice",
                where=str(path),
                got=f"the content of {known[content]}",
                hint="give each file once; repetitions without randomness are no further samples",
            )
        known[content] = path


def field(record: Record, name: str, kind: type | tuple[type, ...]) -> Any:
    """A field that must be there, of a kind, or InputError."""
    value = record.value.get(name)
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        raise InputError(
            f"this record has no {name}"
            if name not in record.value
            else f"{name} is not a {' or '.join(each.__name__ for each in kinds)}",
            where=record.where,
            got=", ".join(record.value) if name not in record.value else value,
        )
    return value


def _cut(number: int, path: FilePath) -> str | None:
    """A hint where the last line was not written to its end."""
    n_lines = read_text(path).rstrip("\n").count("\n") + 1
    return "the last line is cut: was the file copied whole?" if number == n_lines else None
