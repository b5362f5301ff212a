"""What the trace viewer shows: samples and search trees of every problem, as far as there is room.

A page must open at once, so texts have a budget. Of each problem the same number of samples is
taken, as many as fit, right and wrong ones in turn; a text longer than a page bears is cut, and
says so. Counts are always of all samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ttscale.errors import InputError
from ttscale.record.pool import Pool
from ttscale.record.problems import Asked
from ttscale.record.samples import SampleSet
from ttscale.record.trees import Node
from ttscale.report.reading import Material
from ttscale.stats.arrays import BoolArray, FloatArray, IntArray

OVERHEAD = 80
"""Characters that a sample or a node takes beside its text."""

MOST_ANSWERS = 12
SHORT = 200  # characters of an answer in a table
TREES_SHARE = 0.4


class Room(NamedTuple):
    """How many characters of text there is room for, in all and for one text; None for no limit."""

    in_all: int
    each: int | None


IN_REPORT = Room(2_400_000, 4_000)
BY_THEMSELVES = Room(80_000_000, None)


@dataclass(frozen=True)
class Traces:
    """What the viewer reads: an entry for each problem, and its details, to be read when asked for.

    Attributes
    ----------
    index : id, independent samples, right ones and whether strategies disagree, of each problem.
    details : of each problem, in the order of the index.
    note : what is not there, in a sentence; empty if everything is.
    """

    index: Sequence[Mapping[str, Any]]
    details: Sequence[Mapping[str, Any]]
    note: str

    def __bool__(self) -> bool:
        """Whether there is anything to read."""
        return any(each["sets"] or each["trees"] for each in self.details)


def traces(material: Material, room: Room, problems: Sequence[str] | None = None) -> Traces:
    """Samples, trees and strategies' answers of a run or a pool, by problem.

    Parameters
    ----------
    problems : ids; all that were sampled when left out.

    Raises InputError for a problem that the source does not have.
    """
    ids = list(dict.fromkeys(i for each in material.sets for i in each.counts.problem_ids))
    ids = ids or list(material.problems)
    for wanted in problems or ():
        if wanted not in ids:
            raise InputError("there is no such problem in this run", where=str(material.path),
                             got=wanted, hint="one of " + ", ".join(ids[:8]))  # fmt: skip
    ids = list(problems) if problems else ids
    trees, n_trees = _trees(material, ids, room)
    share = 1 - TREES_SHARE if n_trees else 1.0
    pools = [each for each in material.sets if each.pool is not None]
    pools.sort(key=lambda each: not each.independent)
    sets = [
        _samples(each, ids, Room(int(room.in_all * share / len(pools)), room.each))
        for each in pools
    ]
    n_independent = sum(each.independent for each in pools)
    arms = _arms(material, set(ids))
    index, details = [], []
    for name in ids:
        about = material.problems.get(name, Asked())
        mine = [each.of(name) for each in sets]
        drawn = mine[:n_independent] or mine
        ends = [each["correct"] for each in arms.get(name, ())]
        index.append(
            {
                "id": name,
                "n": sum(each["n"] for each in drawn),
                "right": sum(each["right"] for each in drawn),
                "split": True in ends and False in ends,
            }
        )
        details.append(
            {
                "question": about.question,
                "reference": about.reference,
                "sets": mine,
                "arms": arms.get(name, []),
                "trees": trees.get(name, []),
            }
        )
    return Traces(index, details, _note(sets, trees, n_trees, room))


class _Set(NamedTuple):
    """The samples of one set that are shown."""

    name: str
    shown: Mapping[str, list[list[Any]]]
    totals: Mapping[str, tuple[int, int]]
    answers: Mapping[str, list[list[Any]]]
    scores: Sequence[str]
    n_shown: int
    n_all: int
    n_cut: int

    def of(self, problem: str) -> dict[str, Any]:
        n, right = self.totals.get(problem, (0, 0))
        return {
            "name": self.name,
            "n": n,
            "right": right,
            "answers": self.answers.get(problem, []),
            "scores": self.scores,
            "rows": self.shown.get(problem, []),
        }


def _samples(samples: SampleSet, ids: Sequence[str], room: Room) -> _Set:
    """Rows `[index, text, answer, class, correct, finish, tokens, n_cut, scores…]` by problem."""
    pool = samples.pool
    assert pool is not None, "a counts file has no samples to show"
    names, code = pool.problems()
    wanted = np.isin(np.array(names, dtype=object), list(ids))[code]
    correct = pool.correct()
    place = _in_turn(code, correct == 1)
    lengths = _lengths(pool, room.each) + OVERHEAD
    by_place = np.bincount(place[wanted], lengths[wanted])
    n_each = max(int(np.searchsorted(np.cumsum(by_place), room.in_all, side="right")), 1)
    kept = np.flatnonzero(wanted & (place < n_each))
    kept = kept[np.lexsort((kept, code[kept]))]
    columns = {
        name: pool.table[name].take(kept).to_pylist() if name in pool.table.column_names else None
        for name in ("sample_index", "response", "answer", "finish_reason", "n_generated_tokens")
    }
    classes = pool.classes() if "answer_class" in pool.table.column_names else None
    scores = {name: pool.scores(name) for name in pool.score_names}
    shown: dict[str, list[list[Any]]] = {}
    n_cut = 0
    for at, row in enumerate(kept.tolist()):
        index, text, answer, finish, tokens = (
            None if column is None else column[at] for column in columns.values()
        )
        text, cut = _cut(text if text is not None else answer, room.each)
        n_cut += cut > 0
        answer_class = None if classes is None or classes[row] < 0 else int(classes[row])
        shown.setdefault(names[code[row]], []).append(
            [at if index is None else index, text, _cut(answer, room.each)[0], answer_class,
             _verdict(correct[row]), finish, tokens, cut,
             *(_score(values[row]) for values in scores.values())]
        )  # fmt: skip
    counts = samples.counts
    totals = {
        name: (int(n), int(right))
        for name, n, right in zip(
            counts.problem_ids, counts.n_samples, counts.n_correct, strict=True
        )
    }
    return _Set(samples.name, shown, totals, _answers(pool, names, code, classes, correct),
                list(scores), len(kept), int(wanted.sum()), n_cut)  # fmt: skip


def _in_turn(code: IntArray, right: BoolArray) -> IntArray:
    """Each row's place within its problem when right and wrong ones take turns, (n,)."""
    group = code * 2 + right
    turn = np.empty(len(code), dtype=np.int64)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], group[order])
    turn[order] = np.arange(len(order)) - starts
    place = np.empty(len(code), dtype=np.int64)
    order = np.lexsort((~right, turn, code))
    place[order] = np.arange(len(order)) - np.searchsorted(code[order], code[order])
    return place


def _lengths(pool: Pool, each: int | None) -> FloatArray:
    import pyarrow.compute as pc

    lengths = np.zeros(len(pool))
    for name in ("response", "answer"):
        if name in pool.table.column_names:
            column = pc.fill_null(pc.utf8_length(pool.table[name].cast("string")), 0)
            lengths += np.minimum(column.to_numpy(), np.inf if each is None else each)
    return lengths


def _answers(
    pool: Pool,
    names: Sequence[str],
    code: IntArray,
    classes: IntArray | None,
    correct: FloatArray,
) -> dict[str, list[list[Any]]]:
    """The most frequent answers of each problem: `[answer, samples, correct, class]`."""
    if classes is None or "answer" not in pool.table.column_names:
        return {}
    found: dict[str, list[list[Any]]] = {}
    given = np.flatnonzero(classes >= 0)
    width = int(classes.max(initial=0)) + 1
    group, first, count = np.unique(
        code[given] * width + classes[given], return_index=True, return_counts=True
    )
    rows = given[first]
    answers = pool.table["answer"].take(rows).to_pylist()
    for at in np.lexsort((-count, group // width)).tolist():
        mine = found.setdefault(names[group[at] // width], [])
        if len(mine) < MOST_ANSWERS:
            row, text = rows[at], _cut(answers[at], SHORT)[0]
            mine.append([text, int(count[at]), _verdict(correct[row]), int(classes[row])])
    return found


def _arms(material: Material, ids: set[str]) -> dict[str, list[dict[str, Any]]]:
    """What every strategy answered, by problem, and what it cost there."""
    table = material.run.answers
    if table is None:
        return {}
    names = ("arm", "problem_id", "status", "answer", "correct", "score", "tied", "error",
             "n_generated_tokens")  # fmt: skip
    flops = _flops(material)
    found: dict[str, list[dict[str, Any]]] = {}
    for row in table.select([name for name in names if name in table.column_names]).to_pylist():
        problem = row.pop("problem_id")
        if problem in ids:
            row["answer"] = _cut(row["answer"], SHORT)[0]
            row["flops"] = flops.get((row["arm"], problem))
            found.setdefault(problem, []).append(row)
    return found


def _flops(material: Material) -> dict[tuple[str, str], float]:
    """FLOPs by arm and problem; empty where a model's shape is unknown."""
    from ttscale.plan.pricing import Meter, ledger_amounts

    ledger = material.run.ledger
    if ledger is None or not ledger.num_rows:
        return {}
    try:
        amounts = ledger_amounts(
            material.run, np.ones(ledger.num_rows, dtype=np.bool_), Meter("flops"),
            str(material.path),
        )  # fmt: skip
    except InputError:
        return {}
    sums = (
        ledger.select(["arm", "problem_id"])
        .append_column("flops", [amounts])
        .group_by(["arm", "problem_id"])
        .aggregate([("flops", "sum")])
    )
    return {(row["arm"], row["problem_id"]): row["flops_sum"] for row in sums.to_pylist()}


def _trees(
    material: Material, ids: Sequence[str], room: Room
) -> tuple[dict[str, list[dict[str, Any]]], int]:
    """Trees by problem, each arm in turn until there is no room, and how many there are in all.

    Nodes are `[parent, text, finish, tokens, score, answer, correct, chosen, n_cut]`.
    """
    wanted = set(ids)
    mine = {key: nodes for key, nodes in material.trees.items() if key[1] in wanted}
    left = room.in_all * TREES_SHARE
    found: dict[str, list[dict[str, Any]]] = {}
    for arm, problem, nodes in _by_arm(mine):
        rows = []
        for node in nodes:
            text, cut = _cut(node.text, room.each)
            answer = _cut(node.answer, room.each)[0]
            rows.append([node.parent, text, node.finish, node.n_tokens, _score(node.score),
                         answer, node.correct, node.chosen, cut])  # fmt: skip
            left -= len(text or "") + OVERHEAD
        if left < 0 and found:
            break
        found.setdefault(problem, []).append({"arm": arm, "nodes": rows})
    return found, len(mine)


def _by_arm(
    trees: Mapping[tuple[str, str], Sequence[Node]],
) -> Iterator[tuple[str, str, Sequence[Node]]]:
    """Problem after problem, all arms of each."""
    order = {problem: at for at, problem in enumerate(dict.fromkeys(p for _, p in trees))}
    for (arm, problem), nodes in sorted(trees.items(), key=lambda item: order[item[0][1]]):
        yield arm, problem, nodes


def _cut(text: str | None, most: int | None) -> tuple[str | None, int]:
    """The beginning of a text, and how many characters were left out."""
    if text is None or most is None or len(text) <= most:
        return text, 0
    return text[:most], len(text) - most


def _verdict(correct: float) -> bool | None:
    return None if np.isnan(correct) else bool(correct)


def _score(value: float) -> float | None:
    return float(f"{value:.5g}") if np.isfinite(value) else None


def _note(
    sets: Sequence[_Set],
    trees: Mapping[str, Sequence[Any]],
    n_trees: int,
    room: Room,
) -> str:
    """What the rule of room left out."""
    notes = []
    for each in sets:
        if each.n_shown < each.n_all:
            most = max(map(len, each.shown.values()))
            notes.append(
                f"{each.n_shown:,} of {each.n_all:,} {each.name or 'samples'} are here: up to "
                f"{most:,} of each problem, right and wrong ones in turn"
            )
        if each.n_cut:
            notes.append(f"{each.n_cut:,} long texts are cut after {room.each:,} characters")
    n_shown = sum(map(len, trees.values()))
    if n_shown < n_trees:
        notes.append(f"{n_shown:,} of {n_trees:,} search trees are here, problem after problem")
    return "; ".join(notes)
