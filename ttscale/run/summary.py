"""A run in numbers: curves over the pool, strategies' accuracy, tokens by kind, what went wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ttscale.record.ledger import Totals
from ttscale.record.tally import Tally
from ttscale.stats.intervals import mean_interval

if TYPE_CHECKING:
    import pyarrow as pa

    from ttscale.run.work import Work

Matrix = NDArray[np.float64]


Spent = Mapping[tuple[str, str, bool], Totals]
"""Sums of the ledger by arm, kind and whether it was replayed."""

Flops = Mapping[tuple[str, str], float]
"""Operations by arm and kind."""

Shares = Mapping[tuple[str, bool], float]
"""Seconds of the machine by arm and whether they were replayed."""


def summarise(
    work: Work,
    sets: Mapping[str, Tally],
    spent: Spent,
    flops: Flops,
    shares: Shares,
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of summary.json.

    Parameters
    ----------
    work : what was run, and how it ended.
    sets : the samples, counted.
    spent, flops, shares : what `Books.totals`, `flops_by_arm` and `seconds_by_arm` give.
    before : the summary of an earlier, unfinished session.
    """
    seconds = work.seconds + (before["seconds"] if before else 0.0)
    n_tokens = work.n_fresh_tokens + (before["n_sampled_tokens"] if before else 0)
    rng = np.random.default_rng(work.experiment.config.seed)
    searches = {arm.label for arm in work.arms}
    return {
        "name": work.experiment.config.name,
        "config_hash": work.experiment.hash,
        "complete": work.complete,
        "simulated": work.simulated,
        "model": work.experiment.config.model.model,
        "benchmark": work.experiment.config.benchmark.name,
        "n_problems": len(work.problem_ids),
        "n_failed": work.n_failed,
        "seconds": round(seconds, 3),
        "n_sampled_tokens": n_tokens,
        "tokens_per_second": round(n_tokens / seconds, 1) if n_tokens and seconds else None,
        "machine_seconds": sum(share for (_, replayed), share in shares.items() if not replayed),
        "samples": [
            sample_set(name, one, rng, independent=name not in searches)
            for name, one in sets.items()
        ],
        "strategies": [_strategy(work, arm.label, spent, flops, shares, rng) for arm in work.arms],
        "tokens": tokens(spent),
        "warnings": _warnings(work, spent),
    }


INEXACT = (
    "the endpoint gives text and no token ids: what is continued is tokenised anew, token counts "
    "are those of this side's tokenizer, and log-probabilities are spread evenly over them"
)


def exact_tokens(provenance: Mapping[str, Any]) -> bool:
    """Whether a run's token ids are those the models wrote."""
    models = [provenance, *(provenance.get("models") or {}).values()]
    return all(model.get("tokens", "exact") == "exact" for model in models)


def _warnings(work: Work, spent: Spent) -> list[str]:
    """What the numbers alone would hide."""
    found = []
    ends = work.step_ends
    if ends and not ends.get("step"):
        step = work.experiment.config.step.model_dump(exclude_defaults=True) or "a paragraph"
        found.append(
            f"no step ended as configured ({step}): {sum(ends.values()):,} samples went on to the "
            "end of the response or to the token limit, and a search had nothing to choose between"
        )
    if not exact_tokens(work.provenance):
        found.append(INEXACT)
    paid = [totals for (_, _, replayed), totals in spent.items() if not replayed]
    if n_again := sum(totals.n_attempts - totals.n_sequences for totals in paid):
        n_lost = sum(totals.n_lost_tokens for totals in paid)
        found.append(
            f"{n_again:,} requests were sent again after the endpoint had failed them; {n_lost:,} "
            "tokens that were seen of failed or cut ones are lost, and not part of the counts"
        )
    return found


def tokens(spent: Spent) -> dict[str, Any]:
    """Ledger totals by kind: all entries, and those that were not paid for elsewhere."""
    record = {}
    for kind in dict.fromkeys(kind for _, kind, _ in spent):
        totals = _total(spent, kind)
        paid = _total({key: one for key, one in spent.items() if not key[2]}, kind)
        record[kind] = {
            **totals._asdict(),
            "n_paid_sequences": paid.n_sequences,
            "n_paid_generated_tokens": paid.n_generated_tokens,
        }
    return record


def _total(spent: Spent, kind: str, arm: str | None = None) -> Totals:
    """The sum over arms, or that of one."""
    chosen = [one for key, one in spent.items() if key[1] == kind and arm in (None, key[0])]
    return Totals(*map(sum, zip(*chosen, strict=True))) if chosen else Totals()


def sample_set(
    name: str, counted: Tally, rng: np.random.Generator, *, independent: bool
) -> dict[str, Any]:
    """Curves and counts of one sample set: unbiased, from the whole pool, at powers of two.

    The ends of a search are not independent draws, and have no curves.
    """
    counts, ends = counted.counts, counted.ends
    n = int(counts.n_samples.min()) if len(counts.n_samples) else 0
    n_all = int(counts.n_samples.sum())
    ks = [1 << i for i in range(n.bit_length())] if n else []
    if n and ks[-1] != n:
        ks.append(n)
    grid = np.array(ks, dtype=np.int64)
    return {
        "name": name,
        "independent": independent,
        "n_problems": len(counts.problem_ids),
        "n_samples_per_problem": [n, int(counts.n_samples.max(initial=0))],
        "pass_at_k": _curve(ks, counted.coverage(grid), rng) if independent else [],
        "majority_at_k": _curve(ks, counted.votes(grid), rng) if independent else [],
        "n_samples": n_all,
        "n_truncated": ends["n_truncated"],
        "n_cut": ends["n_cut"],
        "n_empty": ends["n_empty"],
        "n_without_answer": ends["n_without_answer"],
        "n_ungradable": int(counts.n_ungradable.sum()),
        "mean_generated_tokens": ends["n_generated_tokens"] / n_all if n_all else None,
    }


def _curve(ks: list[int], values: Matrix, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Mean over problems at each k, with a 95 % interval by resampling problems."""
    if not ks:
        return []
    interval = mean_interval(values, rng)
    return [
        {"k": k, "estimate": float(e), "low": float(low), "high": float(high)}
        for k, e, low, high in zip(
            ks, values.mean(axis=0), interval.low, interval.high, strict=True
        )
    ]


def flops_by_arm(ledger: Iterable[pa.Table]) -> dict[tuple[str, str], float]:
    """Operations by arm and kind, prompts shared ideally; empty where a model's shape is unknown.

    What other arms have paid for counts too: it is what the strategy would cost by itself.
    """
    from ttscale.cost import Architecture, architecture_names, ledger_flops

    known, flops = set(architecture_names()), defaultdict[tuple[str, str], float](float)
    for table in ledger:
        models = set(table["model"].unique().to_pylist())
        if not models <= known:
            return {}
        shapes = {name: Architecture.from_config(name) for name in models}
        sums = (
            table.append_column("flops", [ledger_flops(table, shapes)])
            .group_by(["arm", "kind"])
            .aggregate([("flops", "sum")])
        )
        for row in sums.to_pylist():
            flops[row["arm"], row["kind"]] += row["flops_sum"]
    return dict(flops)


MOST_TIMED = 1_000_000
"""Sequences above which a run's seconds are not divided among its strategies."""


def seconds_by_arm(ledger: Iterable[pa.Table]) -> dict[tuple[str, bool], float]:
    """Seconds of the machine by arm and whether they were replayed; of a cluster, on its clock.

    Empty for more than `MOST_TIMED` sequences, which would have to be held in memory together.
    """
    import pyarrow as pa

    from ttscale.cost import machine_seconds

    names = ["arm", "started", "seconds", "replayed"]
    tables, n_rows = [], 0
    for table in ledger:
        tables.append(table.select(names))
        n_rows += table.num_rows
        if n_rows > MOST_TIMED:
            return {}
    if not tables:
        return {}
    whole = pa.concat_tables(tables)
    taken = machine_seconds(*(whole[n].to_numpy(zero_copy_only=False) for n in names[1:]))
    grouped = whole.append_column("share", [taken]).group_by(["arm", "replayed"])
    sums = grouped.aggregate([("share", "sum")]).to_pylist()
    return {(row["arm"], row["replayed"]): row["share_sum"] for row in sums}


def _strategy(
    work: Work,
    label: str,
    spent: Spent,
    flops: Flops,
    shares: Shares,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """One arm: accuracy with its interval, what it cost, and how its answers ended."""
    arm = next(arm for arm in work.arms if arm.label == label)
    pairs = [(label, problem_id) for problem_id in work.problem_ids]
    outcomes = [work.outcomes[pair] for pair in pairs if pair in work.outcomes]
    right = np.array([[float(outcome.correct is True)] for outcome in outcomes])
    point = _curve([0], right, rng)[0] if outcomes else {}
    entry: dict[str, Any] = {
        "label": label,
        "verifier": arm.verifier_name,
        "oracle": arm.oracle,
        "n_problems": len(outcomes),
        "accuracy": point.get("estimate"),
        "low": point.get("low"),
        "high": point.get("high"),
        "n_ungradable": sum(outcome.correct is None for outcome in outcomes),
        "n_tied": sum(outcome.tied > 1 for outcome in outcomes),
    }
    for status in ("answered", "no answer", "out of budget", "failed"):
        key = "n_" + status.replace(" ", "_")
        entry[key] = sum(outcome.status == status for outcome in outcomes)
    n = len(outcomes) or 1
    generated = _total(spent, "generate", label).n_generated_tokens
    entry["generated_tokens_per_problem"] = generated / n
    held = [outcome.held_tokens for outcome in outcomes if outcome.held_tokens is not None]
    entry["held_tokens_per_step"] = float(np.mean(held)) if held else None
    priced = {kind: total / n for (arm_label, kind), total in flops.items() if arm_label == label}
    entry["flops_per_problem"] = priced or None
    taken = [share for (arm_label, _), share in shares.items() if arm_label == label]
    entry["machine_seconds_per_problem"] = sum(taken) / n if taken else None
    entry["errors"] = sorted({o.error for o in outcomes if o.error})[:5]
    return entry
