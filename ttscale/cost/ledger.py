"""Price every entry of a finished run's ledger: counts in, FLOPs, bytes, seconds and money out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ttscale.cost.architecture import Amount, Architecture
from ttscale.cost.hardware import Hardware
from ttscale.cost.price import Price, price
from ttscale.cost.work import Work, decode_work, prefill_work
from ttscale.errors import InputError, closest

if TYPE_CHECKING:
    import pyarrow as pa

Columns = Mapping[str, npt.ArrayLike]
Reuse = Literal["shared", "cached"]
FirstToken = Literal["decode", "prefill"]
REQUIRED = ("model", "n_prompt_tokens", "n_generated_tokens")
DEFAULTS: dict[str, Any] = {
    "kind": "generate",
    "n_shared_tokens": 0,
    "n_cached_tokens": 0,
    "attention": "dense",
    "replayed": False,
}


class PricedLedger(NamedTuple):
    """Work and price of every entry, in the ledger's order.

    Attributes
    ----------
    work : arrays over entries.
    price : arrays over entries.
    """

    work: Work
    price: Price

    def totals(self, where: npt.ArrayLike | None = None) -> dict[str, Any]:
        """Sums as `flops`, `n_bytes`, `eflops`, `seconds`, `usd`, `joules`.

        Parameters
        ----------
        where : a mask or indices of entries; all when not given.
        """
        rows: Any = slice(None) if where is None else np.asarray(where)
        work = self.work[rows].sum()
        sums = {name: float(np.sum(getattr(self.price, name)[rows])) for name in Price._fields}
        return work.as_dict() | sums

    def by(self, labels: npt.ArrayLike) -> dict[str, dict[str, Any]]:
        """`totals` for each distinct label, such as the ledger's `arm` column."""
        names, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
        return {str(name): self.totals(codes == code) for code, name in enumerate(names)}


def price_ledger(
    ledger: pa.Table | Columns | str | Path,
    architecture: Architecture | Mapping[str, Architecture] | None,
    hardware: Hardware,
    *,
    batch: float | npt.ArrayLike | None = None,
    max_batch: float | None = None,
    reuse: Reuse = "shared",
    sharers: npt.ArrayLike = 1,
    chunk: int | None = None,
    first_token: FirstToken = "decode",
) -> PricedLedger:
    """Price a ledger, vectorised over its entries.

    Parameters
    ----------
    ledger : an Arrow table, a mapping of column arrays, or a Parquet file; one row per sequence.
        One of a `kind` other than `generate` that generated nothing is a prefill without logits, as
        a reward model's; a judge's verdicts are generated.
    architecture : of every model, or by the ledger's `model` names; None looks these names up among
        the models that come with ttscale.
    hardware : the machine all of it is priced on.
    batch : mean number of sequences decoded together, one or per entry. Not given, it is derived
        per model from `started` and `seconds`: how many others were under way, waiting included.
    max_batch : the most sequences the engine decodes at once; bounds what is derived.
    reuse : prompt tokens that cost no prefill: `shared` (ideal within the problem's tree, whatever
        the scheduling) or `cached` (what the engine reported).
    sharers : sequences one read of the prompt's cache serves, one or per entry.
    chunk : the most prompt tokens in one pass.
    first_token : whether each generated token is a decode step, or the first one comes out of the
        prefill, as engines do.

    Raises
    ------
    InputError : a missing column, a model without architecture, counts that contradict each other.
    """
    table = _table(ledger)
    if batch is None:
        models, codes = _codes(table["model"], "")
        batch = _derived_batch(table, codes, len(models), max_batch)
    pieces = []
    places = []
    for at, shape, work in _works(table, architecture, batch, reuse, sharers, chunk, first_token):
        pieces.append((work, price(work, hardware, shape.precision.compute)))
        places.append(at)
    return _assemble(pieces, np.concatenate(places) if places else np.zeros(0, np.int64))


def ledger_flops(
    ledger: pa.Table | Columns | str | Path,
    architecture: Architecture | Mapping[str, Architecture] | None,
    *,
    reuse: Reuse = "shared",
) -> Amount:
    """Floating-point operations of every entry, (entries,): they depend on no machine or batch.

    Parameters and errors are those of `price_ledger`.
    """
    table = _table(ledger)
    flops = np.zeros(len(table["model"]))
    for at, _, work in _works(table, architecture, 1.0, reuse, 1, None, "decode"):
        flops[at] = work.flops.total
    return flops


def _works(
    table: dict[str, Any],
    architecture: Architecture | Mapping[str, Architecture] | None,
    batch: npt.ArrayLike,
    reuse: Reuse,
    sharers: npt.ArrayLike,
    chunk: int | None,
    first_token: FirstToken,
) -> Iterator[tuple[npt.NDArray[np.int64], Architecture, Work]]:
    """The work of entries alike in model, attention policy and kind, and where these stand."""
    n_rows = len(table["model"])
    prompt, generated = table["n_prompt_tokens"], table["n_generated_tokens"]
    reused = table["n_shared_tokens" if reuse == "shared" else "n_cached_tokens"]
    _check(prompt, generated, reused)
    models, model_codes = _codes(table["model"], "")
    policies, policy_codes = _codes(table["attention"], "dense")
    kinds, kind_codes = _codes(table["kind"], "generate")
    writes = (np.array(kinds)[kind_codes] == "generate") | (generated > 0)
    together = np.broadcast_to(np.asarray(batch, np.float64), n_rows)
    siblings = np.broadcast_to(np.asarray(sharers, np.float64), n_rows)
    sets = (model_codes * len(policies) + policy_codes) * 2 + writes
    n_sets = len(models) * len(policies) * 2
    order = np.argsort(sets.astype(np.uint16 if n_sets < 1 << 16 else np.int64), kind="stable")
    ends = np.cumsum(np.bincount(sets, minlength=n_sets))
    for code, (begin, end) in enumerate(pairwise([0, *ends.tolist()])):
        if begin == end:
            continue
        at = order[begin:end]
        rows: Any = at if end - begin < n_rows else slice(None)
        shape = _architecture(architecture, models[code // (len(policies) * 2)])
        generates = code % 2 == 1
        work = prefill_work(
            shape, prompt[rows] - reused[rows], reused[rows], chunk=chunk, head=generates
        )
        if generates:
            steps = generated[rows]
            work = work + decode_work(
                shape,
                prompt[rows],
                steps if first_token == "decode" else np.maximum(steps - 1, 0),
                attention=policies[code // 2 % len(policies)],
                batch=together[rows],
                sharers=siblings[rows],
            )
        yield at, shape, work


def decode_batch(
    started: npt.ArrayLike, seconds: npt.ArrayLike, max_batch: float | None = None
) -> Amount:
    """Sequences under way together with each one, from when they started and how long they took.

    The harmonic mean over a sequence's own time: shares of 1/batch then add up to the passes made.

    Parameters
    ----------
    started, seconds : one entry for each sequence, in seconds.
    max_batch : the most that decode at once; more than that were waiting.
    """
    start, span = np.asarray(started, np.float64), np.asarray(seconds, np.float64)
    n = len(start)
    if n == 0:
        return np.ones(0)
    times = np.concatenate([start, start + span]) - start.min()
    order = np.argsort(times)
    active = np.cumsum(np.where(order < n, 1, -1)).astype(np.float64)
    active = np.clip(active, 1, max_batch)
    gone = np.concatenate([[0.0], np.cumsum(np.diff(times[order]) / active[:-1])])
    rank = np.empty(2 * n, np.int64)
    rank[order] = np.arange(2 * n)
    share, last = gone[rank[n:]] - gone[rank[:n]], active[rank[:n]]
    return np.where(span > 0, span / np.where(share > 0, share, 1.0), last).clip(1, None)


def _derived_batch(
    table: Mapping[str, Any], models: npt.NDArray[np.int64], n_models: int, most: float | None
) -> Amount:
    """`decode_batch` per model over fresh entries; replayed ones get the mean of the rest."""
    if table["started"] is None or table["seconds"] is None:
        raise InputError(
            "the ledger has no started and seconds columns to derive the batch from",
            where="ledger",
            hint="give batch, the mean number of sequences decoded together",
        )
    together = np.ones(len(models))
    fresh = ~np.asarray(table["replayed"], bool)
    for model in range(n_models):
        rows = np.flatnonzero((models == model) & fresh)
        if len(rows) == 0:
            rows = np.flatnonzero(models == model)
        batch = decode_batch(table["started"][rows], table["seconds"][rows], most)
        together[models == model] = len(batch) / np.sum(1 / batch)
        together[rows] = batch
    return together


def _table(ledger: pa.Table | Columns | str | Path) -> dict[str, Any]:
    """Columns as numpy arrays; those of strings as Arrow arrays."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if isinstance(ledger, str | Path):
        if not Path(ledger).is_file():
            raise InputError("there is no such ledger", where=str(ledger))
        ledger = pq.read_table(ledger)
    names = ledger.column_names if isinstance(ledger, pa.Table) else list(ledger)
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise InputError(
            f"the ledger lacks {', '.join(missing)}",
            where="ledger",
            got=list(names),
            hint=closest(missing[0], names),
        )
    n_rows = len(ledger) if isinstance(ledger, pa.Table) else len(np.asarray(ledger["model"]))
    table: dict[str, Any] = {"started": None, "seconds": None}
    for name in (*REQUIRED, *DEFAULTS, "started", "seconds"):
        if name in names:
            table[name] = _column(ledger, name)
        elif name in DEFAULTS:
            value = DEFAULTS[name]
            table[name] = (
                pa.array([value]).take(pa.array(np.zeros(n_rows, np.int32)))
                if isinstance(value, str)
                else np.full(n_rows, value)
            )
    if any(values is not None and len(values) != n_rows for values in table.values()):
        raise InputError("the ledger's columns differ in length", where="ledger")
    return table


def _column(ledger: pa.Table | Columns, name: str) -> Any:
    import pyarrow as pa

    is_text = name in {"model", "kind", "attention"}
    if isinstance(ledger, pa.Table):
        values = ledger.column(name).combine_chunks()
        return values if is_text else values.to_numpy(zero_copy_only=False)
    return pa.array(np.asarray(ledger[name]).tolist()) if is_text else np.asarray(ledger[name])


def _codes(values: Any, absent: str) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Distinct strings of an Arrow array, nulls as `absent`, and each row's index among them."""
    import pyarrow as pa

    if values.null_count:
        values = values.cast(pa.string()).fill_null(absent)
    if not pa.types.is_dictionary(values.type):
        values = values.dictionary_encode()
    codes: npt.NDArray[np.int64] = values.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return [str(name) for name in values.dictionary.to_pylist()], codes


def _check(prompt: Any, generated: Any, reused: Any) -> None:
    if len(prompt) and (prompt.min() < 0 or generated.min() < 0 or reused.min() < 0):
        raise InputError("token counts must not be negative", where="ledger")
    over = np.flatnonzero(reused > prompt)
    if len(over):
        row = int(over[0])
        raise InputError(
            "more prompt tokens are reused than there are",
            where=f"ledger row {row}",
            got=f"{int(reused[row])} of {int(prompt[row])}",
        )


def _architecture(
    architecture: Architecture | Mapping[str, Architecture] | None, model: str
) -> Architecture:
    if architecture is None:
        return Architecture.from_config(model)
    if isinstance(architecture, Architecture):
        return architecture
    if model not in architecture:
        raise InputError(
            f"no architecture is given for the model {model!r}",
            where="ledger: model",
            hint=closest(model, architecture),
        )
    return architecture[model]


def _assemble(pieces: list[tuple[Work, Price]], order: npt.NDArray[np.int64]) -> PricedLedger:
    """Join pieces that lie in `order`, and put them back into the ledger's."""
    n_rows, n_work = len(order), len(Work().arrays())
    rows = [(*work.arrays(), *cost) for work, cost in pieces]
    sizes = [len(row[0]) for row in rows]
    place = np.empty(n_rows, np.int64)
    place[order] = np.arange(n_rows)
    columns = []
    for index in range(n_work + len(Price._fields)):
        parts = [np.broadcast_to(row[index], n) for row, n in zip(rows, sizes, strict=True)]
        whole = np.concatenate(parts) if parts else np.zeros(0)
        columns.append(whole[place] if len(parts) > 1 else whole)
    return PricedLedger(Work.of(columns[:n_work]), Price(*columns[n_work:]))
