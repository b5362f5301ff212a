"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from ttscale.errors import TTScaleError

if TYPE_CHECKING:
    import pyarrow as pa


@contextlib.contextmanager
def replacing(path: FilePath) -> Iterator[FilePath]:
    """A temporary file beside `path` that takes its place when the block ends well."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = FilePath(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise TTScaleError(
            f"a file could not be written: {error.strerror or error}\n  where: {path}\n"
            "  try:   make room or choose another folder with --results; the journal is kept"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_parquet(table: pa.Table, path: FilePath) -> None:
    """Write an Arrow table."""
    import pyarrow.parquet as pq

    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def write_json(value: object, path: FilePath) -> None:
    """Write indented JSON; NaN becomes null."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(finite(value), indent=2, ensure_ascii=False) + "\n")


def finite(value: object) -> object:
    """A copy in which numbers that JSON cannot hold are None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
