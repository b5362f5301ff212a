"""A problem that every strategy has met, as the rows that a run writes about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ttscale.record.ledger import Ledgers
from ttscale.record.pool import make_pool
from ttscale.record.problems import problem_table
from ttscale.record.trees import tree_table
from ttscale.run.sweep import Arm
from ttscale.run.work import Outcome, Sample
from ttscale.session import Grading
from ttscale.trace import Problem

if TYPE_CHECKING:
    import pyarrow as pa


class Settled(NamedTuple):
    """What a run knows of one problem in the end.

    Attributes
    ----------
    problem_id : whose.
    outcomes : what each arm made of it, in the arms' order, without the samples.
    pool, ledger : the samples and what everything took, as rows of the run's pool and ledger.
    trees, problems : what searches grew, and the problem itself, likewise.
    """

    problem_id: str
    outcomes: list[Outcome]
    pool: pa.Table
    ledger: pa.Table
    trees: pa.Table
    problems: pa.Table


class Desk:
    """Where outcomes gather: a problem that every arm has met is settled and handed on.

    Parameters
    ----------
    arms : all of the run's.
    grading : tells which of a problem's answers are the same.
    ledgers : the session's.
    hand_on : takes a settled problem.
    """

    def __init__(
        self,
        arms: Sequence[Arm],
        grading: Grading,
        ledgers: Ledgers,
        hand_on: Callable[[Settled], None],
    ) -> None:
        self._labels = [arm.label for arm in arms]
        self._grading, self._ledgers, self._hand_on = grading, ledgers, hand_on
        self._open: dict[str, dict[str, Outcome]] = {}

    async def note(self, problem: Problem, outcome: Outcome) -> None:
        """Take what one arm made of a problem."""
        outcomes = self._open.setdefault(problem.id, {})
        outcomes[outcome.arm] = outcome
        if len(outcomes) == len(self._labels):
            await self._settle(problem)

    async def close(self, problems: Iterable[Problem]) -> None:
        """Settle what is left of an interrupted run: problems that some arms have not met."""
        for problem in problems:
            if problem.id in self._open or problem.id in self._ledgers:
                await self._settle(problem)

    async def _settle(self, problem: Problem) -> None:
        met = self._open.get(problem.id, {})
        outcomes = [met[label] for label in self._labels if label in met]
        pool = make_pool(await pool_rows(problem, outcomes, self._grading)).table
        self._open.pop(problem.id, None)
        self._hand_on(
            Settled(
                problem.id,
                [outcome.light for outcome in outcomes],
                pool,
                self._ledgers.take(problem.id),
                tree_table(problem.id, {one.arm: one.tree for one in outcomes}),
                problem_table([problem]),
            )
        )


async def pool_rows(
    problem: Problem, outcomes: Iterable[Outcome], grading: Grading
) -> list[dict[str, Any]]:
    """Every distinct finished sample of a problem once, whichever arms asked for it.

    Samples are numbered within their sample set by stream, and their answer classes are those of
    all the problem's answers together.
    """
    samples: dict[tuple[bytes, int], Sample] = {}
    for outcome in outcomes:
        for sample in outcome.samples:
            known = samples.get(sample.key)
            if known is None:
                samples[sample.key] = sample
            else:
                known.scores.update(sample.scores)
    ordered = sorted(samples.values(), key=lambda sample: (sample.sample_set, sample.key))
    classes = await grading.classes(problem, [sample.answer for sample in ordered])
    rows: list[dict[str, Any]] = []
    n_in_set: dict[str, int] = {}
    for sample, answer_class in zip(ordered, classes, strict=True):
        index = n_in_set.get(sample.sample_set, 0)
        n_in_set[sample.sample_set] = index + 1
        rows.append(
            {
                "problem_id": problem.id,
                "sample_index": index,
                "sample_set": sample.sample_set,
                "answer": sample.answer,
                "answer_class": answer_class,
                "correct": sample.correct,
                "n_prompt_tokens": len(problem.root.token_ids),
                "n_generated_tokens": sample.path.n_generated,
                "finish_reason": sample.path.finish,
                "response": sample.path.response,
                **{f"score.{name}": score for name, score in sample.scores.items()},
            }
        )
    return rows
