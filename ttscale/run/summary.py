"""A run in numbers: curves over the pool, strategies' accuracy, tokens by kind, what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ttscale.record.pool import Pool
from ttscale.stats.coverage import pass_at_k
from ttscale.stats.intervals import mean_interval
from ttscale.stats.majority import majority_at_k

if TYPE_CHECKING:
    from ttscale.run.work import Work

Matrix = NDArray[np.float64]


def summarise(work: Work, pool: Pool, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The content of summary.json; `before` is that of an earlier, unfinished session."""
    seconds = work.seconds + (before["seconds"] if before else 0.0)
    n_tokens = work.n_fresh_tokens + (before["n_sampled_tokens"] if before else 0)
    rng = np.random.default_rng(work.experiment.config.seed)
    flops, times = _flops(work), _machine_seconds(work)
    return {
        "name": work.experiment.config.name,
        "config_hash": work.experiment.hash,
        "complete": work.complete,
        "simulated": work.simulated,
        "model": work.experiment.config.model.model,
        "benchmark": work.experiment.config.benchmark.name,
        "n_problems": len(work.problems),
        "n_failed": work.n_failed,
        "seconds": round(seconds, 3),
        "n_sampled_tokens": n_tokens,
        "tokens_per_second": round(n_tokens / seconds, 1) if n_tokens and seconds else None,
        "machine_seconds": sum(share for (_, replayed), share in times.items() if not replayed),
        "samples": [sample_set(pool.select(name), name, rng) for name in pool.sample_sets],
        "strategies": [_strategy(work, arm.label, flops, times, rng) for arm in work.arms],
        "tokens": tokens(work),
        "warnings": _warnings(work),
    }


def _warnings(work: Work) -> list[str]:
    """What the numbers alone would hide."""
    ends = work.step_ends
    if ends and not ends.get("step"):
        step = work.experiment.config.step.model_dump(exclude_defaults=True) or "a paragraph"
        return [
            f"no step ended as configured ({step}): {sum(ends.values()):,} samples went on to the "
            "end of the response or to the token limit, and a search had nothing to choose between"
        ]
    return []


def tokens(work: Work) -> dict[str, Any]:
    """Ledger totals by kind: all entries, and those that were not paid for elsewhere."""
    paid = work.ledger.totals(fresh=True)
    return {
        kind: {
            **totals._asdict(),
            "n_paid_sequences": paid[kind].n_sequences if kind in paid else 0,
            "n_paid_generated_tokens": paid[kind].n_generated_tokens if kind in paid else 0,
        }
        for kind, totals in work.ledger.totals().items()
    }


def sample_set(pool: Pool, name: str, rng: np.random.Generator) -> dict[str, Any]:
    """Curves and counts of one sample set: unbiased, from the whole pool, at powers of two.

    The ends of a search are not independent draws, and have no curves.
    """
    counts = pool.counts()
    independent = name not in pool.metadata.get("searches", ())
    n = int(counts.n_samples.min()) if len(counts.n_samples) else 0
    ks = [1 << i for i in range(n.bit_length())] if n else []
    if n and ks[-1] != n:
        ks.append(n)
    coverage = pass_at_k(counts.n_samples[:, None], counts.n_correct[:, None], np.array(ks, int))
    votes = majority_matrix(pool, np.array(ks, int))
    finish = pool.table["finish_reason"].to_pylist()
    responses = pool.table["response"].to_pylist()
    generated = pool.table["n_generated_tokens"].to_numpy()
    return {
        "name": name,
        "independent": independent,
        "n_problems": len(counts.problem_ids),
        "n_samples_per_problem": [n, int(counts.n_samples.max(initial=0))],
        "pass_at_k": _curve(ks, coverage, rng) if independent else [],
        "majority_at_k": _curve(ks, votes, rng) if independent else [],
        "n_samples": len(pool),
        "n_truncated": finish.count("length"),
        "n_cut": finish.count("abort"),
        "n_empty": sum(not (text or "").strip() for text in responses),
        "n_without_answer": int(pool.table["answer"].null_count),
        "n_ungradable": int(counts.n_ungradable.sum()),
        "mean_generated_tokens": float(np.mean(generated)) if len(pool) else None,
    }


def majority_matrix(pool: Pool, ks: NDArray[np.int64]) -> Matrix:
    """Expected accuracy of a vote of k samples, shape (problems, ks)."""
    ids, rows = pool.problems()
    classes, correct = pool.classes(), pool.correct()
    values = np.zeros((len(ids), len(ks)))
    for problem in range(len(ids)):
        mine = rows == problem
        voted = classes[mine]
        sizes = np.bincount(voted[voted >= 0]) if (voted >= 0).any() else np.zeros(1, int)
        right = np.unique(voted[(correct[mine] == 1) & (voted >= 0)])
        abstained = int((voted < 0).sum())
        for answer_class in right:
            values[problem] += majority_at_k(sizes, int(answer_class), ks, abstained)
    return values


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


def _flops(work: Work) -> dict[tuple[str, str], float]:
    """Operations by arm and kind, prompts shared ideally; empty where a model's shape is unknown.

    What other arms have paid for counts too: it is what the strategy would cost by itself.
    """
    from ttscale.cost import Architecture, architecture_names, ledger_flops

    table = work.ledger.table()
    models = set(table["model"].unique().to_pylist())
    if not models or not models <= set(architecture_names()):
        return {}
    shapes = {name: Architecture.from_config(name) for name in models}
    sums = (
        table.append_column("flops", [ledger_flops(table, shapes)])
        .group_by(["arm", "kind"])
        .aggregate([("flops", "sum")])
    )
    return {(row["arm"], row["kind"]): row["flops_sum"] for row in sums.to_pylist()}


def _machine_seconds(work: Work) -> dict[tuple[str, bool], float]:
    """Seconds of the machine by arm and whether it was replayed; empty without entries."""
    from ttscale.cost import machine_seconds

    table = work.ledger.table()
    columns = ("started", "seconds", "replayed")
    shares = machine_seconds(*(table[c].to_numpy(zero_copy_only=False) for c in columns))
    sums = (
        table.append_column("share", [shares])
        .group_by(["arm", "replayed"])
        .aggregate([("share", "sum")])
    )
    return {(row["arm"], row["replayed"]): row["share_sum"] for row in sums.to_pylist()}


def _strategy(
    work: Work,
    label: str,
    flops: Mapping[tuple[str, str], float],
    times: Mapping[tuple[str, bool], float],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """One arm: accuracy with its interval, what it cost, and how its answers ended."""
    arm = next(arm for arm in work.arms if arm.label == label)
    outcomes = [o for (name, _), o in work.outcomes.items() if name == label]
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
    totals = work.ledger.totals(label).get("generate")
    n = len(outcomes) or 1
    entry["generated_tokens_per_problem"] = totals.n_generated_tokens / n if totals else 0.0
    held = [outcome.held_tokens for outcome in outcomes if outcome.held_tokens is not None]
    entry["held_tokens_per_step"] = float(np.mean(held)) if held else None
    spent = {kind: total / n for (arm_label, kind), total in flops.items() if arm_label == label}
    entry["flops_per_problem"] = spent or None
    shares = [share for (arm_label, _), share in times.items() if arm_label == label]
    entry["machine_seconds_per_problem"] = sum(shares) / n if shares else None
    entry["errors"] = sorted({o.error for o in outcomes if o.error})[:5]
    return entry
