"""What a plan is made from: sample sets and runs, cut to the problems that all of them share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ttscale.errors import InputError
from ttscale.record.samples import SampleSet, imported_from, read_samples
from ttscale.stats.arrays import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    import pyarrow as pa

FEW_PROBLEMS = 20

CURVES = {
    "single": "single",
    "majority_vote": "majority",
    "best_of_n": "best_of:{verifier}",
    "weighted_majority": "weighted_majority:{verifier}",
}
"""Strategies that are a selector over independent samples, by the curve that they lie on."""


@dataclass(frozen=True)
class Run:
    """What a run's folder says beyond its pool.

    Attributes
    ----------
    ledger : one row for each sequence; None where the folder has none.
    answers : one row for each arm and problem; None likewise.
    strategies : the entries of summary.json, by label.
    max_batch : the most sequences the engine decoded at once, where the provenance says.
    """

    ledger: pa.Table | None = None
    answers: pa.Table | None = None
    strategies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    max_batch: float | None = None

    def arms_with(self, verifier: str) -> list[str]:
        """Labels of the arms that this verifier scored: those on independent samples, else all."""
        arms = [
            label for label, entry in self.strategies.items() if entry.get("verifier") == verifier
        ]
        return [label for label in arms if curve(label, verifier)] or arms


@dataclass(frozen=True)
class Rows:
    """Samples as columns of equal length.

    Attributes
    ----------
    problem : index of the problem.
    correct : 1, 0, or NaN for an ungradable answer.
    answer_class : −1 abstains; None where the pool has no answers.
    scores : by verifier, NaN where there is none.
    verdicts : by verifier, (rows, V), NaN beyond a sample's verdicts.
    n_prompt, n_generated : tokens; None where the pool has no such column.
    """

    problem: IntArray
    correct: FloatArray
    answer_class: IntArray | None = None
    scores: Mapping[str, FloatArray] = field(default_factory=dict)
    verdicts: Mapping[str, FloatArray] = field(default_factory=dict)
    n_prompt: IntArray | None = None
    n_generated: IntArray | None = None

    def __getitem__(self, where: Any) -> Rows:
        """The rows at a mask or at indices."""

        def cut(column: Any) -> Any:
            return None if column is None else column[where]

        return Rows(
            self.problem[where],
            self.correct[where],
            cut(self.answer_class),
            {name: column[where] for name, column in self.scores.items()},
            {name: column[where] for name, column in self.verdicts.items()},
            cut(self.n_prompt),
            cut(self.n_generated),
        )

    def seen_by(self, verifier: str) -> BoolArray:
        """Whether a verifier has seen each sample.

        A run may score some of its samples only, as where a best-of-8 and a majority of 64 share
        them. So what comes after a problem's last score was not seen, and a score that is missing
        before it is a failure.
        """
        scored = ~np.isnan(self.scores[verifier])
        place = np.arange(len(scored))
        last = np.full(int(self.problem.max(initial=-1)) + 1, -1)
        np.maximum.at(last, self.problem[scored], place[scored])
        return np.asarray(place <= last[self.problem], dtype=np.bool_)

    def per_problem(self, column: FloatArray | IntArray, n_problems: int) -> FloatArray:
        """Mean of a column over each problem's samples, shape (problems,)."""
        total = np.bincount(self.problem, weights=column, minlength=n_problems)
        count = np.bincount(self.problem, minlength=n_problems)
        return np.asarray(total / np.maximum(count, 1), dtype=np.float64)


@dataclass(frozen=True)
class Source:
    """One sample set over the shared problems, and the run it comes from."""

    samples: SampleSet
    rows: Rows
    n_problems: int
    run: Run = field(default_factory=Run)

    @property
    def model(self) -> str | None:
        """The model's name as the run or the pool's metadata has it."""
        name = self.samples.metadata.get("model")
        return str(name) if name else None


@dataclass(frozen=True)
class Sources:
    """Everything a plan is made from.

    Attributes
    ----------
    problem_ids : those all sources share, in the order of the first.
    sources : their independent sample sets.
    runs : by path as given, of the run folders.
    metadata : by path as given.
    notes : what a reader must know.
    """

    problem_ids: tuple[str, ...]
    sources: tuple[Source, ...]
    runs: Mapping[str, Run]
    metadata: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...]

    def is_imported(self, source: str) -> bool:
        """Whether another tool wrote the samples of a source."""
        return imported_from(self.metadata.get(source, {})) is not None


def curve(label: str, verifier: str = "") -> str | None:
    """The selector over independent samples that an arm is, by its label; None for a search."""
    name = CURVES.get(label.partition("(")[0])
    return name and name.format(verifier=verifier)


def read_sources(paths: Sequence[Path]) -> Sources:
    """Read run folders, pools and counts files.

    Raises InputError for a path given twice, sources without independent samples, of different
    benchmarks or without a common problem, and fewer than two problems.
    """
    for path in paths:
        if [p.resolve() for p in paths].count(path.resolve()) > 1:
            raise InputError("this source is given twice", where=str(path))
    sets = [each for path in paths for each in read_samples(path)]
    independent = [each for each in sets if each.independent]
    if not independent:
        raise InputError(
            "there are no independent samples to plan from: the ends of searches say nothing "
            "about other budgets",
            where=", ".join(map(str, paths)),
            hint="add a strategy such as `majority_vote` to the run",
        )
    _one_benchmark(independent)
    ids, notes = _shared_problems(independent)
    runs = {str(path): read_run(path) for path in paths if path.is_dir()}
    place = {name: index for index, name in enumerate(ids)}
    sources = tuple(
        Source(each, _rows(each, place), len(ids), runs.get(each.source, Run()))
        for each in independent
    )
    if not any(np.nansum(source.rows.correct) for source in sources):
        raise InputError(
            "no sample of any source is right, so every plan has an accuracy of 0",
            where=", ".join(map(str, paths)),
            hint="more samples, a stronger model, easier problems, or a look at the grading",
        )
    return Sources(
        ids,
        sources,
        runs,
        {each.source: each.metadata for each in sets},
        (*notes, *_standing(independent, len(ids))),
    )


def read_run(folder: Path) -> Run:
    """The ledger, the answers and the strategies of a run's folder, as far as they are there."""
    import pyarrow.parquet as pq

    def table(name: str) -> pa.Table | None:
        return pq.read_table(folder / name) if (folder / name).is_file() else None

    def mapping(name: str) -> Mapping[str, Any]:
        try:
            content = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, Mapping) else {}

    strategies = {entry["label"]: entry for entry in mapping("summary.json").get("strategies", ())}
    most = mapping("provenance.json").get("max_num_seqs")
    return Run(
        table("ledger.parquet"),
        table("answers.parquet"),
        strategies,
        float(most) if most else None,
    )


def _one_benchmark(sets: Sequence[SampleSet]) -> None:
    names = {each.source: each.metadata.get("benchmark") for each in sets}
    if len({name for name in names.values() if name}) > 1:
        raise InputError(
            "these sources are of different benchmarks, and a plan is for one",
            got="; ".join(f"{source}: {name}" for source, name in names.items()),
        )


def _shared_problems(sets: Sequence[SampleSet]) -> tuple[tuple[str, ...], list[str]]:
    held = [set(each.counts.problem_ids) for each in sets]
    shared = set.intersection(*held)
    if not shared:
        raise InputError(
            "these sources have no problem in common, and a comparison needs the same problems",
            got="; ".join(f"{each.label}: {each.counts.problem_ids[0]} …" for each in sets),
            hint="run them on the same benchmark, size, offset and seed",
        )
    if len(shared) < 2:
        raise InputError(
            "one problem bears no plan: intervals come from the spread over problems",
            where=", ".join(each.label for each in sets),
            got=next(iter(shared)),
        )
    ids = tuple(name for name in sets[0].counts.problem_ids if name in shared)
    n_all = len(set.union(*held))
    notes = []
    if len(ids) < n_all:
        notes.append(f"{len(ids)} of {n_all} problems are in every source; the others are left out")
    return ids, notes


def _standing(sets: Sequence[SampleSet], n_problems: int) -> list[str]:
    """Notes on what the numbers are worth."""
    notes = []
    simulated = [each.label for each in sets if each.simulated]
    if simulated and len(simulated) < len(sets):
        notes.append(
            f"{', '.join(simulated)} is simulated and stands beside measured samples: a comparison "
            "between the two says nothing about a real model"
        )
    elif simulated:
        notes.append("all numbers come from a simulation")
    notes += [f"{each.label} is imported from {each.imported}" for each in sets if each.imported]
    unfinished = [each.source for each in sets if each.metadata.get("complete") is False]
    if unfinished:
        notes.append(f"{', '.join(dict.fromkeys(unfinished))} is a run that has not ended")
    for each in sets:
        n_ungradable = int(each.counts.n_ungradable.sum())
        if n_ungradable:
            notes.append(f"{each.label}: {n_ungradable} ungradable answers count as wrong")
    if n_problems < FEW_PROBLEMS:
        notes.append(f"{n_problems} problems are few: intervals are rough")
    return notes


def _rows(samples: SampleSet, place: Mapping[str, int]) -> Rows:
    """The set's samples on the shared problems."""
    if samples.pool is None:
        return _rows_of_counts(samples, place)
    pool = samples.pool
    names = pool.table.column_names
    ids, code = pool.problems()
    index = np.array([place.get(name, -1) for name in ids])[code]
    rows = Rows(
        index,
        pool.correct(),
        pool.classes() if "answer_class" in names else None,
        {
            name: scores
            for name in pool.score_names
            if not np.isnan(scores := pool.scores(name)).all()
        },
        {
            name.removeprefix("verdicts."): _verdicts(pool.table[name])
            for name in names
            if name.startswith("verdicts.")
        },
        _tokens(samples, "n_prompt_tokens"),
        _tokens(samples, "n_generated_tokens"),
    )
    return rows[index >= 0]


def _rows_of_counts(samples: SampleSet, place: Mapping[str, int]) -> Rows:
    """A counts file as samples: the right ones first, which no estimator here looks at."""
    counts = samples.counts
    kept = np.array([name in place for name in counts.problem_ids])
    index = np.array([place.get(name, -1) for name in counts.problem_ids])[kept]
    n, c = counts.n_samples[kept], counts.n_correct[kept]
    if np.any(n == 0):
        raise InputError("a problem has no samples", where=samples.label)
    order = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    return Rows(np.repeat(index, n), (order < np.repeat(c, n)).astype(np.float64))


def _tokens(samples: SampleSet, name: str) -> IntArray | None:
    assert samples.pool is not None, "a counts file has no rows"
    table = samples.pool.table
    if name not in table.column_names or table[name].null_count:
        return None
    return np.asarray(table[name].to_numpy(), dtype=np.int64)


def _verdicts(column: Any) -> FloatArray:
    """A list column of verdicts as (rows, V), NaN where a verdict is null or there is none."""
    lists = column.to_pylist()
    width = max((len(each) for each in lists if each), default=0)
    verdicts = np.full((len(lists), width), np.nan)
    for row, each in enumerate(lists):
        values = [np.nan if verdict is None else float(verdict) for verdict in each or ()]
        verdicts[row, : len(values)] = values
    return verdicts
