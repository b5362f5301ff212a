"""Reading and judging answers for a run: the benchmark's grader, with a memory in the journal.

What took a worker process is noted, so that a resumed run sees the same grades, time-outs included.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from types import TracebackType
from typing import Self

import msgspec

from ttscale.benchmark.extract import extract
from ttscale.benchmark.grading import Grader
from ttscale.benchmark.item import Item
from ttscale.record.journal import Journal
from ttscale.run.config import ExperimentConfig
from ttscale.thinking import final
from ttscale.trace import Problem


class Judge:
    """Implements `ttscale.session.Grading` for one run; an async context manager."""

    def __init__(self, config: ExperimentConfig, journal: Journal) -> None:
        self._rule = config.benchmark.extract
        self._journal = journal
        self._grader = Grader(
            config.benchmark,
            workers=config.run.graders,
            time_limit_seconds=config.run.grade_seconds,
        )
        fields = config.benchmark.model_dump_json(include={"grader", "reasoning_gym", "reference"})
        self._identity = f"{fields}\0{config.run.grade_seconds}".encode()

    async def __aenter__(self) -> Self:
        await self._grader.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._grader.__aexit__(kind, error, trace)

    def answer(self, problem: Problem, response: str) -> str | None:
        """The answer in a response by the benchmark's extraction rule; thinking gives none."""
        return extract(final(response), self._rule)

    async def grade(self, problem: Problem, answers: Sequence[str | None]) -> list[bool | None]:
        """Whether each answer is right; None where the grader could not tell."""
        known: dict[str | None, bool | None] = {None: False}
        for answer in dict.fromkeys(answers):
            if answer is not None and (fact := await self._recall("grade", problem, [answer])):
                known[answer] = msgspec.msgpack.decode(fact, type=bool | None)
        new = [answer for answer in dict.fromkeys(answers) if answer not in known]
        if new:
            grades = await self._grader.grade(_item(problem), new)
            for answer, grade in zip(new, grades, strict=True):
                known[answer] = grade.correct
                self._note("grade", problem, [answer], grade.correct)
            self._journal.commit()
        return [known[answer] for answer in answers]

    async def classes(self, problem: Problem, answers: Sequence[str | None]) -> list[int | None]:
        """Equivalence classes of answers, numbered by first occurrence; None for none."""
        distinct = [answer for answer in dict.fromkeys(answers) if answer is not None]
        if fact := await self._recall("classes", problem, distinct):
            numbers = msgspec.msgpack.decode(fact, type=list[int | None])
        else:
            numbers = await self._grader.classes(distinct, _item(problem))
            self._note("classes", problem, distinct, numbers)
            self._journal.commit()
        by_answer: dict[str | None, int | None] = dict(zip(distinct, numbers, strict=True))
        by_answer[None] = None
        return [by_answer[answer] for answer in answers]

    def _key(self, kind: str, problem: Problem, answers: Sequence[str | None]) -> bytes:
        reference = problem.reference if kind == "grade" else ""
        parts = [kind, problem.id, reference, *answers]
        digest = blake2b(self._identity, digest_size=16)
        digest.update(msgspec.msgpack.encode(parts))
        return digest.digest()

    async def _recall(
        self, kind: str, problem: Problem, answers: Sequence[str | None]
    ) -> bytes | None:
        key = self._key(kind, problem, answers)
        fact = self._journal.read_fact(key)
        if fact is None and await self._journal.seek_fact(key):
            fact = self._journal.read_fact(key)
        return fact

    def _note(
        self, kind: str, problem: Problem, answers: Sequence[str | None], value: object
    ) -> None:
        self._journal.write_fact(self._key(kind, problem, answers), msgspec.msgpack.encode(value))


def _item(problem: Problem) -> Item:
    return Item(problem.id, problem.question, problem.reference, problem.metadata)
