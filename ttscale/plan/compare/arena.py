"""What verifiers are compared on: scored samples, joined over the problems that all pools share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ttscale.errors import InputError, closest
from ttscale.plan.sources import Rows, Run, Source, read_run
from ttscale.record.large import LARGE
from ttscale.record.samples import SampleSet
from ttscale.stats.arrays import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    import pyarrow as pa

TO_GET_SCORES = "`ttscale compare RUN --verifiers judge` scores the samples of a finished run first"


@dataclass(frozen=True)
class Arena:
    """One set of independent samples on the shared problems, with the scores it holds.

    Attributes
    ----------
    source : the set and its rows; `source.rows.problem` counts in the order of the problem ids.
    names : label of each verifier, by column.
    n_truncated : samples that ended at the token limit.
    notes : what was left out of the set.
    """

    source: Source
    names: dict[str, str]
    n_truncated: int = 0
    notes: tuple[str, ...] = field(default=())

    @property
    def rows(self) -> Rows:
        """The samples."""
        return self.source.rows

    @property
    def samples(self) -> SampleSet:
        """The set."""
        return self.source.samples

    @property
    def n_samples(self) -> IntArray:
        """Samples of each problem, (problems,)."""
        return np.bincount(self.rows.problem, minlength=self.source.n_problems)


def arenas(
    samples: Sequence[SampleSet], verifiers: Sequence[str] | None = None
) -> tuple[tuple[str, ...], list[Arena]]:
    """Problem ids, and the sample sets that hold scores, on these problems in this order.

    `verifiers` restricts to some columns. Raises InputError for counts files and pools without
    scores, a verifier that no pool has, sets over different problems or benchmarks, and fewer than
    two shared problems.
    """
    _refuse_unknown(samples, verifiers)
    scored = {id(each): _columns(each, samples, verifiers) for each in samples}
    kept = [each for each in samples if scored[id(each)]]
    if not kept:
        raise InputError(
            "there are no scores to compare",
            where=", ".join(dict.fromkeys(each.label for each in samples)),
            got="; ".join(f"{each.label}: {_why_not(each)}" for each in samples),
            hint=f"a pool with columns score.<verifier>; {TO_GET_SCORES}",
        )
    ids, notes = _shared(kept)
    place = {name: index for index, name in enumerate(ids)}
    every = [name for each in kept for name in scored[id(each)]]
    found = []
    for each in kept:
        names = {
            name: name if every.count(name) == 1 else f"{name} [{each.label}]"
            for name in scored[id(each)]
        }
        found.append(_arena(each, names, place, notes))
        notes = ()
    return ids, found


def _columns(
    samples: SampleSet, among: Sequence[SampleSet], verifiers: Sequence[str] | None
) -> list[str]:
    """Score columns of a set, in the order asked for.

    All sets of a pool have the same columns. One that is empty here and filled in another set of
    the pool was never asked about these samples; one that is empty everywhere is a failure.
    """
    if samples.pool is None or not samples.independent:
        return []
    names = samples.pool.score_names
    wanted = names if verifiers is None else [name for name in verifiers if name in names]
    filled = {
        name: [
            id(each)
            for each in among
            if each.source == samples.source
            and each.pool is not None
            and not np.isnan(each.pool.scores(name)).all()
        ]
        for name in wanted
    }
    return [name for name in wanted if not filled[name] or id(samples) in filled[name]]


def _refuse_unknown(samples: Sequence[SampleSet], verifiers: Sequence[str] | None) -> None:
    there = {name for each in samples if each.pool for name in each.pool.score_names}
    for name in verifiers or ():
        if name not in there:
            columns = ", ".join(sorted(there)) or "none"
            raise InputError(
                f"no pool here holds scores of this verifier (there are: {columns})",
                where="--verifiers",
                got=name,
                hint=f"{closest(name, there)} {TO_GET_SCORES}",
            )


def _why_not(samples: SampleSet) -> str:
    if samples.tally is not None:
        return f"a pool of more than {LARGE:,} rows is read as counts, without its scores"
    if samples.pool is None:
        return "a counts file has no scores"
    if not samples.independent:
        return "the ends of a search, no independent samples"
    return "columns " + ", ".join(samples.pool.table.column_names)


def _shared(sets: Sequence[SampleSet]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    benchmarks = {
        str(each.metadata["benchmark"]) for each in sets if each.metadata.get("benchmark")
    }
    problems = [set(each.counts.problem_ids) for each in sets]
    shared = set.intersection(*problems)
    if len(benchmarks) > 1 or not shared:
        raise InputError(
            "these pools are over different problems, and verifiers are compared on the same ones",
            got="; ".join(
                f"{each.label}: {each.metadata.get('benchmark') or each.counts.problem_ids[0]} …"
                for each in sets
            ),
            hint="run them on the same benchmark, size, offset and seed",
        )
    if len(shared) < 2:
        raise InputError(
            "one problem bears no comparison: intervals come from the spread over problems",
            where=", ".join(each.label for each in sets),
            got=next(iter(shared)),
        )
    ids = tuple(name for name in sets[0].counts.problem_ids if name in shared)
    n_all = len(set.union(*problems))
    if len(ids) == n_all:
        return ids, ()
    return ids, (f"{len(ids)} of {n_all} problems are in every pool; the others are left out",)


def _arena(
    samples: SampleSet, names: dict[str, str], place: dict[str, int], notes: tuple[str, ...]
) -> Arena:
    pool = samples.pool
    assert pool is not None, "only sets with rows have scores"
    columns = pool.table.column_names
    ids, code = pool.problems()
    problem = np.array([place.get(name, -1) for name in ids])[code]
    scores = {name: pool.scores(name) for name in names}
    classes = pool.classes() if "answer_class" in columns else None
    order = _order(pool.table, problem)
    asked = _asked(order, scores)
    if not asked.all():
        n_left = int((~asked & (problem >= 0)).sum())
        notes += (
            f"{samples.label}: {n_left} of {int((problem >= 0).sum())} samples, the last ones of "
            "every problem, have no score from some verifier in any problem: they were never "
            "scored, and all verifiers are compared on the others",
        )
    rows = Rows(
        problem,
        pool.correct(),
        classes if classes is not None and (classes >= 0).any() else None,
        scores,
        {},
        *(
            np.asarray(pool.table[name].to_numpy(), dtype=np.int64)
            if name in columns and not pool.table[name].null_count
            else None
            for name in ("n_prompt_tokens", "n_generated_tokens")
        ),
    )
    kept = asked & (problem >= 0)
    run = read_run(Path(samples.source)) if Path(samples.source).is_dir() else Run()
    finish = pool.table["finish_reason"].to_pylist() if "finish_reason" in columns else []
    n_truncated = sum(one == "length" and k for one, k in zip(finish, kept, strict=False))
    source = Source(samples, rows[kept], len(place), run)
    return Arena(source, names, n_truncated, notes)


def _order(table: pa.Table, problem: IntArray) -> IntArray:
    """Place of each row among its problem's samples: by sample_index, else as they stand."""
    index = np.arange(len(problem))
    if "sample_index" in table.column_names and not table["sample_index"].null_count:
        index = np.asarray(table["sample_index"].to_numpy())
    order = np.lexsort((index, problem))
    place = np.empty(len(problem), dtype=np.int64)
    ordered = problem[order]
    place[order] = np.arange(len(problem)) - np.searchsorted(ordered, ordered)
    return place


def _asked(order: IntArray, scores: dict[str, FloatArray]) -> BoolArray:
    """Rows that every verifier was asked about.

    A strategy with a verifier scores the first samples of each problem, another may have drawn
    more. Places where a verifier has no score in *any* problem were not asked about; a missing
    score elsewhere is a failure of the verifier, and stays. A verifier without any score failed.
    """
    reach = len(order)
    for column in scores.values():
        known = order[~np.isnan(column)]
        if len(known):
            reach = min(reach, int(known.max()) + 1)
    asked: BoolArray = order < reach
    return asked
