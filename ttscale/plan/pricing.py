"""What n samples of a problem cost in the budget's dimension: samples, tokens, FLOPs, …, joules."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from ttscale.cost import (
    Architecture,
    Hardware,
    Work,
    decode_batch,
    decode_work,
    prefill_work,
    price,
    price_ledger,
)
from ttscale.errors import InputError
from ttscale.plan.sources import Run, Source, curve
from ttscale.record.ledger import rescoring_arm
from ttscale.stats.arrays import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    import pyarrow as pa

CostOf: TypeAlias = Callable[[IntArray], FloatArray]
"""From numbers of samples (K,) to the cost of each problem, (P, K)."""

DIMENSIONS = ("flops", "eflops", "bytes", "seconds", "usd", "joules", "samples", "tokens")
COUNTED = ("samples", "tokens")
ON_HARDWARE = ("eflops", "seconds", "usd", "joules")
IN_BATCHES = ("bytes", *ON_HARDWARE)

# FLOPs and bytes of a ledger are the same on every machine; `price_ledger` takes one all the same.
_ANY = Hardware("any", {"bf16": 1.0, "fp32": 1.0}, bandwidth=1.0, memory=1.0)


@dataclass(frozen=True)
class Meter:
    """Turns counts into amounts of one dimension.

    Attributes
    ----------
    dimension : one of `DIMENSIONS`.
    hardware : needed for eFLOPs, seconds, USD and joules.
    models : architectures by the model's recorded name; that at '' holds for all others.
    """

    dimension: str
    hardware: Hardware | None = None
    models: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.dimension in ON_HARDWARE and self.hardware is None:
            raise InputError(
                f"a budget in {self.dimension} needs a machine to price it on",
                where="--hardware",
                hint="--hardware H100; `ttscale hardware probe` makes a sheet of this machine",
            )
        sheet = self.hardware
        for dimension, figure in (("usd", "usd_per_hour"), ("joules", "watts")):
            if self.dimension == dimension and sheet and getattr(sheet, figure) is None:
                raise InputError(
                    f"the sheet of {sheet.name} has no "
                    + ("price" if dimension == "usd" else "power"),
                    where="--hardware",
                    hint="add the figure to a copy of the sheet and give its path",
                )

    @property
    def counts_only(self) -> bool:
        """Whether no architecture is needed."""
        return self.dimension in COUNTED

    def architecture(self, model: str | None, where: str) -> Architecture:
        """The shape of a model by its recorded name, or the one `--model` gives instead."""
        wanted = self.models.get(model or "", self.models.get("", model))
        if wanted is None:
            raise InputError(
                "this source does not say which model made it",
                where=where,
                hint="--model NAME or the path of its config.json; or a budget in samples or "
                "tokens",
            )
        try:
            return Architecture.from_config(wanted)
        except InputError as error:
            if wanted in self.models.values():
                raise
            raise InputError(
                f"no architecture is known for the model {wanted!r}, and {self.dimension} depend "
                "on it",
                where=where,
                got=wanted,
                hint=f"--model NAME or --model '{wanted}=config.json'; or a budget in samples or "
                "tokens",
            ) from error

    def amount(self, work: Work, architecture: Architecture) -> FloatArray:
        """Work in this dimension, one entry for each of its sequences."""
        if self.dimension == "flops":
            return work.flops.total
        if self.dimension == "bytes":
            return work.n_bytes.total
        assert self.hardware is not None, "checked when the meter was made"
        cost = price(work, self.hardware, architecture.precision.compute)
        return np.asarray(getattr(cost, self.dimension), dtype=np.float64)


def sample_cost(source: Source, n_problems: int, meter: Meter) -> CostOf:
    """Cost of n samples of each problem: the prompt processed once, and n times a mean sample.

    Every sample is priced at its own length. Verification is apart. Raises InputError for a pool
    without the token columns, or a model without an architecture.
    """
    rows, label = source.rows, source.samples.label
    if meter.dimension == "samples":
        return lambda ns: np.broadcast_to(ns.astype(np.float64), (n_problems, len(ns)))
    if rows.n_generated is None or (rows.n_prompt is None and not meter.counts_only):
        raise InputError(
            f"a budget in {meter.dimension} needs the tokens of every sample",
            where=label,
            hint="a pool with n_prompt_tokens and n_generated_tokens; or --budget '64 samples'",
        )
    if meter.dimension == "tokens":
        mean = rows.per_problem(rows.n_generated, n_problems)
        return lambda ns: mean[:, None] * ns
    assert rows.n_prompt is not None, "checked above"
    shape = meter.architecture(source.model, label)
    batch = mean_batch(source.run, source.model)
    count = np.bincount(rows.problem, minlength=n_problems)[:, None].astype(np.float64)
    steps = np.bincount(rows.problem, weights=rows.n_generated, minlength=n_problems)
    prompts = np.rint(rows.per_problem(rows.n_prompt, n_problems)).astype(np.int64)
    before = prefill_work(shape, prompts[:, None])
    policy = _attention(source)
    each = decode_work(shape, rows.n_prompt, rows.n_generated, attention=policy)
    own = _per_problem(each, rows.problem, n_problems)

    def cost(ns: IntArray) -> FloatArray:
        # What a pass reads for all its sequences depends on how many there are; the rest does not.
        together = ns.astype(np.float64) if batch is None else np.full(len(ns), batch)
        passes = decode_work(shape, 0, steps.astype(np.int64)[:, None], batch=together)
        read = dataclasses.replace(
            own.n_bytes,
            decode_linear=passes.n_bytes.decode_linear,
            decode_head=passes.n_bytes.decode_head,
        )
        decode = dataclasses.replace(own, n_bytes=read, n_decode_steps=passes.n_decode_steps)
        return meter.amount(before + decode * (ns / count), shape)

    return cost


def verification_cost(
    source: Source, verifier: str, n_problems: int, problem_ids: tuple[str, ...], meter: Meter
) -> FloatArray:
    """Cost of verifying one sample of each problem, (P,): from the ledger, 0 without entries.

    Counted are the passes over samples and what other models than the sampled one generated, in
    the arms on independent samples that this verifier scored, for each sample these arms drew. Of a
    verifier that scored the samples after the run had ended, that scoring counts.
    """
    nothing = np.zeros(n_problems)
    run, samples = source.run, source.samples
    arms = run.arms_with(verifier)
    rescored = samples.is_rescored(verifier)
    if run.ledger is None or not (arms or rescored) or meter.dimension == "samples":
        return nothing
    arm, kind, model = (_text(run.ledger, name) for name in ("arm", "kind", "model"))
    index = _index(run.ledger, problem_ids)
    if rescored:
        judged = arm == rescoring_arm(verifier, samples.name)
        n_samples = dict(zip(samples.counts.problem_ids, samples.counts.n_samples, strict=True))
        drawn = np.array([n_samples.get(name, 0) for name in problem_ids])
    else:
        within = np.isin(arm, arms)
        sampled = within & (kind == "generate")
        if (model[sampled] == source.model).any():
            sampled &= model == source.model
        judged = within & ~sampled
        drawn = np.bincount(index[sampled & (index >= 0)], minlength=n_problems)
    if not judged.any():
        return nothing
    amounts = ledger_amounts(run, judged, meter, source.samples.source)
    kept = index[judged] >= 0
    total = np.bincount(index[judged][kept], amounts[kept], n_problems)
    mean = total.sum() / max(int(drawn.sum()), 1)
    return np.where(drawn > 0, total / np.maximum(drawn, 1), mean)


def ledger_amounts(run: Run, where: BoolArray, meter: Meter, source: str) -> FloatArray:
    """Amounts of the ledger's entries at a mask, in their order."""
    assert run.ledger is not None, "only a run with a ledger has entries"
    entries = run.ledger.filter(where)
    if meter.dimension == "tokens":
        return np.asarray(entries["n_generated_tokens"].to_numpy(), dtype=np.float64)
    names = _text(entries, "model")
    models = {name: meter.architecture(name, source) for name in np.unique(names)}
    means = {name: mean_batch(run, name) or 1.0 for name in models}
    together = np.array([means[name] for name in names])
    priced = price_ledger(entries, models, meter.hardware or _ANY, batch=together)
    if meter.dimension == "flops":
        return priced.work.flops.total
    if meter.dimension == "bytes":
        return priced.work.n_bytes.total
    return np.asarray(getattr(priced.price, meter.dimension), dtype=np.float64)


def search_costs(
    run: Run, arm: str, problem_ids: tuple[str, ...], meter: Meter, source: str
) -> FloatArray:
    """Cost of one arm on each problem, everything it needed whoever paid for it, (P,)."""
    assert run.ledger is not None, "only a run with a ledger has entries"
    index = _index(run.ledger, problem_ids)
    mine = (_text(run.ledger, "arm") == arm) & (index >= 0)
    amounts = ledger_amounts(run, mine, meter, source)
    return np.asarray(np.bincount(index[mine], amounts, len(problem_ids)), dtype=np.float64)


def mean_batch(run: Run, model: str | None) -> float | None:
    """Mean number of a model's sequences decoded together in a run; None where none is recorded."""
    if run.ledger is None:
        return None
    fresh = ~np.asarray(run.ledger["replayed"].to_numpy(zero_copy_only=False), dtype=bool)
    kept = (_text(run.ledger, "kind") == "generate") & (_text(run.ledger, "model") == model) & fresh
    if not kept.any():
        return None
    started, seconds = (
        np.asarray(run.ledger[name].to_numpy())[kept] for name in ("started", "seconds")
    )
    together = decode_batch(started, seconds, run.max_batch)
    return float(len(together) / np.sum(1 / together))


def _attention(source: Source) -> str:
    """The attention policy of the run's samples; dense where none, or several, are recorded."""
    ledger = source.run.ledger
    if ledger is None:
        return "dense"
    uses = ledger.group_by(["arm", "kind", "attention"]).aggregate([]).to_pylist()
    policies = {
        use["attention"]
        for use in uses
        if use["kind"] == "generate" and curve(use["arm"]) and use["attention"]
    }
    return str(policies.pop()) if len(policies) == 1 else "dense"


def _per_problem(work: Work, problem: IntArray, n_problems: int) -> Work:
    """Sums of sequences' work by problem, (P, 1)."""

    def total(values: FloatArray) -> FloatArray:
        each = np.broadcast_to(values, problem.shape)
        sums = np.bincount(problem, each, n_problems)
        return np.asarray(sums[:, None], dtype=np.float64)

    return Work.of(total(values) for values in work.arrays())


def _index(ledger: pa.Table, problem_ids: tuple[str, ...]) -> IntArray:
    """Each entry's problem, −1 for one that is not planned for."""
    place = {name: index for index, name in enumerate(problem_ids)}
    encoded = ledger["problem_id"].combine_chunks().dictionary_encode()
    known = np.array([place.get(name, -1) for name in encoded.dictionary.to_pylist()], np.int64)
    return np.asarray(known[np.asarray(encoded.indices)], dtype=np.int64)


def _text(table: pa.Table, name: str) -> npt.NDArray[np.object_]:
    encoded = table[name].combine_chunks().dictionary_encode()
    names = np.array(encoded.dictionary.to_pylist(), dtype=object)
    return np.asarray(names[np.asarray(encoded.indices)], dtype=np.object_)
