"""The ledger: counts of what every call needed. Prices are functions of them, made elsewhere.

One row for each sequence that was generated or scored.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, get_type_hints

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["generate", "score", "embed"]


def rescoring_arm(verifier: str, sample_set: str) -> str:
    """The arm under which scores are billed that a verifier gives to samples of a finished run."""
    return f"rescore:{verifier}" + (f" [{sample_set}]" if sample_set != "samples" else "")


class Entry(NamedTuple):
    """What one sequence took.

    Attributes
    ----------
    arm : label of the strategy as configured.
    problem_id, model, kind : whose, by what, and for what.
    n_prompt_tokens : length of the context before generation.
    n_shared_tokens : of those, how many another sequence of the same arm and problem had already
        computed: ideal prefix reuse, whatever the scheduling was.
    n_cached_tokens : of those, how many the engine reported as read from its cache.
    n_generated_tokens : tokens generated.
    attention : the attention policy, `dense` for the model's own.
    started : when the call was handed to the engine, in seconds since the epoch.
    seconds : from then to its end, waiting included.
    replayed : whether another arm, problem or run had paid for it before.
    n_attempts : requests it took: more than 1 where an endpoint failed.
    n_lost_tokens : tokens generated for it and thrown away, as far as they were seen: those of
        requests that broke off, and those after the end of a step.
    """

    arm: str
    problem_id: str
    model: str
    kind: Kind
    n_prompt_tokens: int
    n_shared_tokens: int
    n_cached_tokens: int
    n_generated_tokens: int
    attention: str
    started: float
    seconds: float
    replayed: bool
    n_attempts: int = 1
    n_lost_tokens: int = 0


class Totals(NamedTuple):
    """Sums over ledger entries."""

    n_sequences: int = 0
    n_prompt_tokens: int = 0
    n_shared_tokens: int = 0
    n_cached_tokens: int = 0
    n_generated_tokens: int = 0
    n_attempts: int = 0
    n_lost_tokens: int = 0


_CODES: dict[type, str] = {int: "q", float: "d", bool: "b"}
"""Array codes of the plain columns; the others hold numbers of names."""


class Bill(Protocol):
    """What entries are written to."""

    def add(self, entry: Entry) -> None:
        """Append one entry."""


class Ledger:
    """The entries of one run, kept by columns: about 80 bytes an entry."""

    def __init__(self) -> None:
        hints = get_type_hints(Entry)
        self._columns: dict[str, array[Any]] = {
            name: array(_CODES.get(kind, "i")) for name, kind in hints.items()
        }
        self._named = [
            (place, self._columns[name].append)
            for place, (name, kind) in enumerate(hints.items())
            if kind not in _CODES
        ]
        self._plain = [
            (place, self._columns[name].append)
            for place, (name, kind) in enumerate(hints.items())
            if kind in _CODES
        ]
        self._names: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._columns["replayed"])

    def add(self, entry: Entry) -> None:
        """Append one entry."""
        names = self._names
        for place, append in self._named:
            name = str(entry[place])
            code = names.get(name)
            if code is None:
                code = names[name] = len(names)
            append(code)
        for place, append in self._plain:
            append(entry[place])

    def table(self) -> pa.Table:
        """All entries as an Arrow table, one column for each field of `Entry`."""
        import numpy as np
        import pyarrow as pa

        names = pa.array(list(self._names) or [""])
        columns = {}
        for name, kind in get_type_hints(Entry).items():
            values = np.array(self._columns[name])
            if kind not in _CODES:
                codes = pa.array(values, type=pa.int32())
                columns[name] = pa.DictionaryArray.from_arrays(codes, names).cast(pa.string())
            else:
                columns[name] = pa.array(values.astype(kind))
        return pa.table(columns)

    def totals(self, arm: str | None = None, *, fresh: bool = False) -> dict[str, Totals]:
        """Sums by kind, of one arm or of all; `fresh` leaves replayed entries out."""
        import numpy as np

        column = {name: np.array(values) for name, values in self._columns.items()}
        keep = np.ones(len(self), dtype=bool)
        if arm is not None:
            keep &= column["arm"] == self._names.get(arm, -1)
        if fresh:
            keep &= column["replayed"] == 0
        return {
            name: Totals(
                int(rows.sum()),
                *(int(column[field][rows].sum()) for field in Totals._fields[1:]),
            )
            for name, code in self._names.items()
            if name in {"generate", "score", "embed"}
            and (rows := keep & (column["kind"] == code)).any()
        }

    def write(self, path: FilePath) -> None:
        """Write the table as Parquet, whole or not at all."""
        from ttscale.record.files import write_parquet

        write_parquet(self.table(), path)


class Ledgers:
    """A ledger for every problem at work: what a problem took is taken out once it is settled."""

    def __init__(self) -> None:
        self._open: defaultdict[str, Ledger] = defaultdict(Ledger)

    def __contains__(self, problem_id: str) -> bool:
        return problem_id in self._open

    def add(self, entry: Entry) -> None:
        """Append one entry."""
        self._open[entry.problem_id].add(entry)

    def take(self, problem_id: str) -> pa.Table:
        """A problem's entries as an Arrow table; from now on it has none."""
        return self._open.pop(problem_id, Ledger()).table()


def read_ledger(path: FilePath) -> pa.Table:
    """A ledger's table with all columns, those that are younger than the file at their defaults."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    for name, value in Entry._field_defaults.items():
        if name not in table.column_names:
            table = table.append_column(name, pa.array([value] * table.num_rows, pa.int64()))
    return table
