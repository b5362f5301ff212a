"""The grader: is an answer right, and which answers are the same?"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from ttscale.benchmark.config import BenchmarkConfig, Regex, shipped_patterns
from ttscale.benchmark.extract import extract
from ttscale.benchmark.generated import DECIMAL_TASKS, DEFAULT_SIZE
from ttscale.benchmark.grading import plain
from ttscale.benchmark.grading.classes import partition
from ttscale.benchmark.grading.code import ProgramJudge
from ttscale.benchmark.grading.processes import Processes, Reply
from ttscale.benchmark.item import Item
from ttscale.benchmark.sandbox import Outcome, ready
from ttscale.errors import InputError

MEMORY_LIMIT_BYTES = 4 << 30
_REMEMBERED = 65_536


class Grade(NamedTuple):
    """A verdict with its reason; `correct` is None where the grader could not tell."""

    correct: bool | None
    reason: str


NO_ANSWER = Grade(False, "no answer")
EQUAL = Grade(True, "equal")
DIFFERENT = Grade(False, "not equal")


class Grader:
    """Grades the answers of one benchmark; an async context manager.

    What can be settled by sight (equal strings, plain numbers, letters) is settled in this process;
    algebra and a task's own scorer run in worker processes, which are started when first needed;
    programs run in sandboxes (see `code.py`).
    A job that runs out of time or memory, or that kills its worker, leaves one answer ungradable
    and nothing else.

    Parameters
    ----------
    config : the benchmark.
    workers : the most worker processes at a time.
    time_limit_seconds : processor time for one comparison. It is the worker's own, not the
        machine's, so load does not change grades. A worker that does nothing at all for ten times
        as long is killed.

    Raises
    ------
    InputError : on entry, when the package that grades, or the sandbox, is not to be had.
    """

    def __init__(
        self, config: BenchmarkConfig, workers: int = 1, time_limit_seconds: float = 5.0
    ) -> None:
        assert workers >= 1, "there is at least one worker"
        assert time_limit_seconds > 0, "a time limit is positive"
        self._config = config
        self._n_workers, self._limit = workers, time_limit_seconds
        self._opened = False
        self._crews: dict[str, Processes] = {}
        self._known: dict[Hashable, Grade] = {}
        self._programs = ProgramJudge(time_limit_seconds)

    async def __aenter__(self) -> Self:
        if self._config.grader == "math" and importlib.util.find_spec("math_verify") is None:
            raise InputError(
                "Mathematics is graded by math-verify, which is not installed.",
                where="benchmark.grader",
                hint="pip install math-verify",
            )
        if self._config.grader == "code":
            await ready()
        self._opened = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._opened = False
        for crew in self._crews.values():
            await crew.close()
        self._crews.clear()

    @property
    def worker_pids(self) -> list[int]:
        """The process ids of the idle workers."""
        return [pid for crew in self._crews.values() for pid in crew.pids]

    @property
    def outcomes(self) -> Mapping[Outcome, int]:
        """How many programs came to what end when they were graded."""
        return self._programs.outcomes

    async def extract(self, text: str) -> str | None:
        """The answer in a response, by the configuration's rule.

        A pattern of the user's own is matched in a worker; when it runs out of time there, the
        response counts as one without an answer.
        """
        rule = self._config.extract
        parts = rule if isinstance(rule, tuple) else (rule,)
        if all(not isinstance(p, Regex) or p.regex in shipped_patterns() for p in parts):
            return extract(text, rule)
        reply = await self._ask("pattern", (rule, text))
        return reply.value if isinstance(reply.value, str) else None

    async def grade(self, item: Item, answers: Sequence[str | None]) -> list[Grade]:
        """One grade for each answer, in order; equal strings are judged once.

        None, an answer that was not given, is wrong for the reason 'no answer'.
        """
        distinct = list(dict.fromkeys(answer for answer in answers if answer is not None))
        grades = await asyncio.gather(*(self._grade(item, answer) for answer in distinct))
        found = dict(zip(distinct, grades, strict=True))
        return [NO_ANSWER if answer is None else found[answer] for answer in answers]

    async def same(self, item: Item, a: str, b: str) -> bool | None:
        """Whether two answers to a problem are the same; None where the grader could not tell."""
        if self._config.grader == "code":
            first, second = await self._programs.signatures(item, [a, b])
            return first == second
        if self._key(a) == self._key(b):
            return True
        return await self._same(a, b) if self._config.grader == "math" else False

    async def classes(
        self, answers: Sequence[str | None], item: Item | None = None
    ) -> list[int | None]:
        """The equivalence class of each answer, numbered by first occurrence; None for None.

        Classes are the connected components of 'the same answer' over all pairs (see `classes.py`).
        The work grows with the number of distinct formulas, not with the number of answers.

        Parameters
        ----------
        answers : of one problem.
        item : the problem; programs are told apart by what they do on its visible tests.
        """
        if self._config.grader == "code" and item is not None:
            programs = list(dict.fromkeys(answer for answer in answers if answer is not None))
            found = await self._programs.signatures(item, programs)
            by_text = dict(zip(programs, found, strict=True))
            keys = [None if answer is None else by_text[answer] for answer in answers]
        else:
            keys = [None if answer is None else self._key(answer) for answer in answers]
        if self._config.grader == "math":
            formulas = list(dict.fromkeys(key for key in keys if isinstance(key, str)))
            parts = await partition(formulas, self._same)
            keys = [parts.find(key) if isinstance(key, str) else None for key in keys]
        numbers: dict[Hashable, int] = {}
        return [None if key is None else numbers.setdefault(key, len(numbers)) for key in keys]

    def _key(self, answer: str) -> Hashable:
        """What settles on sight that two answers are the same."""
        match self._config.grader:
            case "math":
                return plain.mathematics(answer)
            case "exact":
                return plain.exact(answer)
            case "choice":
                return plain.choice(answer)
            case "reasoning_gym":
                generated = self._config.reasoning_gym
                decimal = generated is not None and generated.task in DECIMAL_TASKS
                return plain.decimal(answer.strip()) if decimal else answer.strip()
            case "code":
                return answer.strip()

    async def _grade(self, item: Item, answer: str) -> Grade:
        """The grade of one answer, from memory if it has been judged before."""
        known = self._known.get((item.id, answer))
        if known is not None:
            return known
        grade = await self._judge(item, answer)
        if grade.correct is not None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[item.id, answer] = grade
        return grade

    async def _judge(self, item: Item, answer: str) -> Grade:
        if self._config.grader == "code":
            verdict = await self._programs.grade(item, answer)
            if verdict.outcome == "refused":
                return Grade(None, f"refused: {verdict.reason}")
            reason = f"{verdict.outcome}: {verdict.reason}" if verdict.reason else verdict.outcome
            return Grade(verdict.outcome == "passed", reason)
        if item.reference is not None and self._key(item.reference) == self._key(answer):
            return EQUAL
        if item.metadata.get("scoring") == "own":
            return _grade(await self._ask("reasoning_gym", (answer, item.metadata["entry"])))
        if item.reference is None:
            return Grade(None, "no reference answer")
        if self._config.grader != "math":
            return DIFFERENT
        a, b = plain.mathematics(item.reference), plain.mathematics(answer)
        x, y = plain.number(a), plain.number(b)
        if x is not None and y is not None:
            return EQUAL if plain.same_number(x, y) else DIFFERENT
        if fault := plain.too_much(b):
            return Grade(None, fault)
        return _grade(await self._ask("math", ("grade", a, b)))

    async def _same(self, a: str, b: str) -> bool | None:
        """Whether two answers, as `plain.mathematics` leaves them, are equal."""
        x, y = plain.number(a), plain.number(b)
        if x is not None and y is not None:
            return plain.same_number(x, y)
        if plain.too_much(a) or plain.too_much(b):
            return None
        reply = await self._ask("math", ("same", a, b))
        return reply.value if isinstance(reply.value, bool) else None

    async def _ask(self, judge: str, job: object) -> Reply:
        assert self._opened, "a grader is used inside `async with`"
        if judge not in self._crews:
            self._crews[judge] = Processes(
                self._n_workers,
                judge,
                self._arguments(judge),
                time_limit_seconds=self._limit,
                patience_seconds=10 * self._limit + 5,
                memory_limit_bytes=MEMORY_LIMIT_BYTES,
            )
        return await self._crews[judge].ask(job)

    def _arguments(self, judge: str) -> dict[str, Any]:
        if judge != "reasoning_gym":
            return {}
        generated = self._config.reasoning_gym
        assert generated is not None, "only a generated problem has a scorer of its own"
        return {
            "task": generated.task,
            "params": generated.params,
            "seed": self._config.seed,
            "size": self._config.size or DEFAULT_SIZE,
        }


def _grade(reply: Reply) -> Grade:
    if isinstance(reply.value, bool):
        return EQUAL if reply.value else DIFFERENT
    return Grade(None, reply.fault or "the worker answered nonsense")
