"""From a source's sample sets to the one that is studied, and to its curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ttscale.errors import InputError, closest
from ttscale.record.large import LARGE
from ttscale.record.pool import Counts, Pool
from ttscale.record.samples import SampleSet
from ttscale.record.tally import Tally
from ttscale.stats import log_spaced, pass_at_k
from ttscale.stats.pool_curves import Curves, curves

COVERAGE = "coverage"

NO_CLASSES = "the pool has no answer classes (column answer_class), so there are no votes"


def choose_samples(sets: Sequence[SampleSet], name: str | None = None) -> SampleSet:
    """The sample set to study: the one named, or the only one of independent draws.

    Raises InputError where several could be meant, and for the ends of a search: which samples a
    search ends in depends on its budget, so they tell nothing of another one.
    """
    names = [one.name for one in sets]
    if name is not None and name not in names:
        raise InputError(
            "there is no such sample set", where="--sample-set", got=name, hint=closest(name, names)
        )
    chosen = [one for one in sets if (one.independent if name is None else one.name == name)]
    if len(chosen) > 1:
        sizes = ", ".join(f"{one.name} ({one.counts.n_samples.sum():,} samples)" for one in chosen)
        raise InputError(
            "several sample sets, and a law speaks of one",
            where=chosen[0].source,
            got=sizes,
            hint=f"--sample-set {chosen[0].name!r}",
        )
    if not chosen or not chosen[0].independent:
        raise InputError(
            "these samples are the ends of a search, not independent draws: what a search finds "
            "at another budget does not follow from them",
            where=sets[0].source,
            got=", ".join(names) if name is None else name,
            hint="fit a run that samples independently; compare searches by running them at each "
            "budget",
        )
    return chosen[0]


def sampled_curves(
    samples: SampleSet, fit_up_to: int | None, rng: np.random.Generator
) -> tuple[Curves, list[str]]:
    """Every selector's estimates, and notes on those that are missing or mend something.

    ks are log-spaced up to the smallest pool, with the powers of two and `fit_up_to` among them.
    Raises InputError for a problem without samples.
    """
    _check_counts(samples.counts)
    counts, pool = samples.counts, samples.pool
    smallest = int(counts.n_samples.min())
    powers = 2 ** np.arange(smallest.bit_length())
    ks = np.union1d(log_spaced(smallest), powers)
    if fit_up_to is not None and fit_up_to <= smallest:
        ks = np.union1d(ks, fit_up_to)
    if samples.tally is not None:
        return _tally_curves(samples, samples.tally, ks)
    if pool is None:
        n, c = counts.n_samples, counts.n_correct
        coverage = pass_at_k(n[:, None], c[:, None], ks)
        none = np.zeros_like(n)
        ids = np.array(counts.problem_ids)
        return Curves(ids, ks, n, c, none, none, {}, {COVERAGE: coverage}), []
    return _pool_curves(samples, pool, ks, rng)


def _tally_curves(
    samples: SampleSet, tally: Tally, ks: npt.NDArray[np.int64]
) -> tuple[Curves, list[str]]:
    """Coverage and votes of a large pool, from its counts."""
    counts = tally.counts
    matrices = {COVERAGE: tally.coverage(ks)}
    notes = []
    if tally.voted:
        matrices["majority"] = tally.votes(ks)
    else:
        notes.append(NO_CLASSES)
    if samples.left_out:
        notes.append(
            f"this pool is reduced to counts, for it has more than {LARGE:,} rows, so there are "
            f"no curves for the scores of {', '.join(samples.left_out)}"
        )
    if counts.n_ungradable.any():
        notes.append(_ungradable(counts.n_ungradable))
    ids = np.array(counts.problem_ids)
    n, c = counts.n_samples, counts.n_correct
    return Curves(ids, ks, n, c, tally.n_abstain, counts.n_ungradable, {}, matrices), notes


def _ungradable(n: npt.NDArray[np.int64]) -> str:
    return f"{int(n.sum()):,} ungradable samples count as wrong"


def _pool_curves(
    samples: SampleSet, pool: Pool, ks: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[Curves, list[str]]:
    """Every selector that a pool's columns allow, and why others are missing.

    An oracle weighs no votes: it already knows which answer to take.
    """
    ids, rows = pool.problems()
    correct, classes = pool.correct(), None
    notes, scores, weights = [], {}, {}
    if has_column(pool, "answer_class") and pool.table["answer_class"].null_count < len(pool):
        classes = pool.classes()
    else:
        notes.append(NO_CLASSES)
    for name in pool.score_names:
        score = pool.scores(name)
        if np.isnan(score).all():
            notes.append(f"the score {name} is missing throughout, so no curve is drawn for it")
            continue
        scores[name] = score
        if samples.is_oracle(name):
            continue
        if np.nanmin(score) >= 0:
            weights[name] = score
        elif classes is not None:
            notes.append(f"{name} goes below zero, so it ranks answers but weighs no votes")
    table = curves(rows, correct, classes, scores, ks=ks)
    matrices, errors = dict(table.matrices), {}
    if weights and classes is not None:
        voted = curves(rows, correct, classes, weights, ks=ks, rng=rng)
        errors = voted.standard_errors
        matrices |= {name: voted.matrices[name] for name in errors}
    for name, n_missing in table.n_nan_scores.items():
        if n_missing.any():
            notes.append(
                f"{int(n_missing.sum()):,} scores of {name} are missing: such samples rank lowest "
                "in best-of-k and cast no weighted vote"
            )
    if table.n_ungradable.any():
        notes.append(_ungradable(table.n_ungradable))
    named = replace(table, problems=np.array(ids), matrices=matrices, standard_errors=errors)
    return named, notes


def few(ks: Sequence[int], most: int) -> list[int]:
    """Indices of at most `most` of rising ks to show: the last, and powers of 2, of 4, of 8 …."""
    kept: list[int] = []
    for step in range(1, 64):
        kept = [
            i
            for i, k in enumerate(ks)
            if i == len(ks) - 1 or (k.bit_count() == 1 and (k.bit_length() - 1) % step == 0)
        ]
        if len(kept) <= most:
            break
    return kept


def _check_counts(counts: Counts) -> None:
    if (empty := np.flatnonzero(counts.n_samples < 1)).size:
        raise InputError(
            "a problem without samples",
            where=f"problem {counts.problem_ids[int(empty[0])]}",
            got="n_samples=0",
            hint="leave the problem out",
        )


def has_column(pool: Pool, name: str) -> bool:
    return name in pool.table.column_names
