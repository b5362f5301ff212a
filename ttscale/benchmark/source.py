"""Items out of a benchmark's source: a generator, sums, a local file, or a dataset of the hub."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ttscale.benchmark.config import BenchmarkConfig, Hub
from ttscale.benchmark.extract import extract
from ttscale.benchmark.item import Item
from ttscale.benchmark.program import code_item
from ttscale.benchmark.prompt import letter
from ttscale.engine.simulated.problems import simulated_items
from ttscale.errors import InputError, closest

logger = logging.getLogger(__name__)

Row = Mapping[str, Any]

DEFAULT_SIMULATED = 64
"""Problems of a simulated benchmark without a size."""


def load(config: BenchmarkConfig, *, folder: Path) -> tuple[Item, ...]:
    """The problems a configuration asks for, in order.

    An id is the id column's value, or the source's name and the row's number, so it does not
    depend on `offset`, `size` or `shuffle`. Generated problems with the same question are skipped
    and more are drawn; a file's duplicates stay.

    Parameters
    ----------
    config : the benchmark.
    folder : where relative paths start: the folder of the configuration's file.

    Raises
    ------
    InputError : the source is missing, unreadable, empty, or lacks a column.
    """
    if config.reasoning_gym is not None:
        from ttscale.benchmark.generated import DEFAULT_SIZE, generate

        task, params = config.reasoning_gym.task, config.reasoning_gym.params
        n = config.offset + (config.size or DEFAULT_SIZE)
        return _subset(generate(task, params, config.seed, n), config)
    if config.simulated is not None:
        n = config.offset + (config.size or DEFAULT_SIMULATED)
        return _subset(simulated_items(n, config.seed, config.simulated.success), config)
    if config.sums is not None:
        from ttscale.benchmark.sums import all_sums

        shots = [shot.question for shot in config.prompt.few_shot]
        return _subset(all_sums(config.sums.terms, config.seed, without=shots), config)
    if config.path is not None:
        where = str(folder / Path(config.path).expanduser())
        rows: Sequence[Row] = _read(Path(where))
    else:
        assert config.hub is not None, "a validated benchmark has a source"
        where = f"hub dataset {config.hub.path}"
        rows = _fetch(config.hub)
    if not rows:
        raise InputError("The benchmark is empty.", where=where)
    items = [_item(row, index, config, where) for index, row in enumerate(rows)]
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise InputError(
                "Two problems have the same id.",
                where=f"{where}, column {config.fields.id}",
                got=item.id,
                hint="another id column, or `id: null` to number the problems",
            )
        seen.add(item.id)
    return _subset(items, config)


def _subset(items: Sequence[Item], config: BenchmarkConfig) -> tuple[Item, ...]:
    """Shuffle, leave out `offset`, keep `size`."""
    order = np.arange(len(items))
    if config.shuffle:
        order = np.random.default_rng(config.seed).permutation(len(items))
    size = len(items) if config.size is None else config.size
    kept = tuple(items[i] for i in order[config.offset : config.offset + size])
    if not kept:
        raise InputError(
            "No problem is left after the offset.",
            where="benchmark.offset",
            got=config.offset,
            hint=f"less than {len(items)}, the number of problems",
        )
    if config.size is not None and len(kept) < config.size:
        logger.warning(
            "%s has %d problems from offset %d on, %d were asked for: all of them are used",
            config.name,
            len(kept),
            config.offset,
            config.size,
        )
    return kept


def _item(row: Row, index: int, config: BenchmarkConfig, where: str) -> Item:
    fields = config.fields
    question, answer = _cell(row, fields.question, where), _cell(row, fields.answer, where)
    if question is None or not str(question).strip():
        raise InputError(
            "A question is empty.", where=f"{where}, row {index + 1}, column {fields.question}"
        )
    id_ = None if fields.id is None else _cell(row, fields.id, where)
    name = f"{config.name}-{index}" if id_ is None else str(id_)
    if fields.code is not None:
        place = f"{where}, row {index + 1}"
        return code_item(name, str(question), answer, row, fields.code, place)
    reference = None if answer is None else extract(str(answer), config.reference)
    if answer is not None and reference is None:
        raise InputError(
            "The reference rule finds nothing in an answer.",
            where=f"{where}, row {index + 1}, column {fields.answer}",
            got=answer,
            hint="another `reference` rule; 'whole' takes the column as it is",
        )
    if fields.choices is None:
        return Item(name, str(question), reference)
    if isinstance(fields.choices, str):
        listed = _cell(row, fields.choices, where)
        if not isinstance(listed, list | tuple):
            raise InputError(
                "The column of the choices holds no list.",
                where=f"{where}, row {index + 1}, column {fields.choices}",
                got=listed,
                hint="a list of strings, or in the configuration one column for each choice",
            )
        choices = [str(choice) for choice in listed]
    else:
        choices = [str(_cell(row, column, where)) for column in fields.choices]
    right = _right_choice(answer, reference, choices)
    if reference is not None and right is None:
        raise InputError(
            "The answer is none of the choices.",
            where=f"{where}, row {index + 1}, column {fields.answer}",
            got=answer,
            hint="a choice's text, its letter, or its index from 0",
        )
    if config.shuffle_choices:
        digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        order = np.random.default_rng([config.seed, digest]).permutation(len(choices)).tolist()
        choices = [choices[i] for i in order]
        right = None if right is None else order.index(right)
    reference = None if right is None else letter(right)
    return Item(name, str(question), reference, {"choices": tuple(choices)})


def _right_choice(answer: object, reference: str | None, choices: Sequence[str]) -> int | None:
    """The index of the right choice, given as an index, a text, a letter, or digits."""
    if reference is None:
        return None
    if isinstance(answer, int):
        return answer if 0 <= answer < len(choices) else None
    texts = [choice.strip() for choice in choices]
    letters = [letter(i) for i in range(len(choices))]
    digits = [str(i) for i in range(len(choices))]
    for names in (texts, letters, digits):
        if reference in names:
            return names.index(reference)
    return None


def _cell(row: Row, column: str, where: str) -> Any:
    if column not in row:
        raise InputError(
            f"The field mapping names the column {column!r}, which is not there.",
            where=f"{where}, fields",
            got=f"columns {', '.join(map(str, row))}",
            hint=closest(column, (str(name) for name in row)),
        )
    return row[column]


def _read(path: Path) -> list[Row]:
    """The rows of a local file, by its ending."""
    readers = {
        ".jsonl": _read_jsonl,
        ".ndjson": _read_jsonl,
        ".json": _read_json,
        ".csv": _read_csv,
        ".parquet": _read_parquet,
    }
    if path.suffix.lower() not in readers:
        raise InputError(
            "The ending does not say what the benchmark's file holds.",
            where="benchmark.path",
            got=str(path),
            hint=", ".join(readers),
        )
    if not path.is_file():
        raise InputError(
            "The benchmark's file is not there.",
            where="benchmark.path",
            got=str(path),
            hint="a relative path starts at the configuration's folder",
        )
    try:
        return readers[path.suffix.lower()](path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The benchmark cannot be read: {error}", where=str(path)) from error


def _read_jsonl(path: Path) -> list[Row]:
    rows = []
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                rows.append(_object(_parse_json(line, f"{path}:{number}"), f"{path}:{number}"))
    return rows


def _read_json(path: Path) -> list[Row]:
    content = _parse_json(path.read_text(encoding="utf-8-sig"), str(path))
    if not isinstance(content, list):
        raise InputError(
            "The benchmark's file holds no list.", where=str(path), hint="[{...}, {...}]"
        )
    return [_object(row, f"{path}, entry {number}") for number, row in enumerate(content, 1)]


def _read_csv(path: Path) -> list[Row]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines))


def _read_parquet(path: Path) -> list[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: list[Row] = pq.read_table(path).to_pylist()
    except pa.ArrowException as error:
        raise InputError(f"The benchmark cannot be read: {error}", where=str(path)) from error
    return rows


def _parse_json(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"This is not JSON: {error}.", where=where, got=text) from error


def _object(value: object, where: str) -> Row:
    if not isinstance(value, dict):
        raise InputError(
            "A problem is an object with named fields.",
            where=where,
            got=value,
            hint='{"question": "...", "answer": "..."}',
        )
    return value


def _fetch(hub: Hub) -> Sequence[Row]:
    """The rows of one split of a dataset of the hub, or of a local folder in its layout."""
    import datasets

    try:
        dataset = datasets.load_dataset(hub.path, hub.name, split=hub.split, revision=hub.revision)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise InputError(
            f"The dataset cannot be had from the hub: {error}",
            where="benchmark.hub",
            got=", ".join(f"{key}: {value}" for key, value in hub if value is not None),
            hint="check path, name and split, accept a gated dataset's terms and log in, or give "
            "a local copy as benchmark.path",
        ) from error
    rows: list[Row] = [dict(row) for row in dataset]
    return rows
