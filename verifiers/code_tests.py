"""Unit tests as a verifier: the share that a program passes, run in a sandbox."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Gt

from ttscale.benchmark.grading.suites import run_suite, votes
from ttscale.benchmark.program import carried_tests, parts, visible_checks
from ttscale.benchmark.sandbox import Limits, run_checks
from ttscale.context import Context
from ttscale.strategy import Verifier
from ttscale.trace import Path, Problem


@dataclass(frozen=True)
class CodeTests(Verifier):
    """Share of a problem's tests that a path's program passes; the tests that decide stay hidden.

    NaN for a path without a program and for a problem without tests of this kind. Where no sandbox
    is to be had nothing is run: an `InputError` says what to install.

    Attributes
    ----------
    suite : 'visible', the examples in the question or the tests it shows (AlphaCode's filter: Li et
        al., 2022, 2203.07814); 'generated', the assertions in the responses of all paths that are
        scored together, each run on every program (CodeMonkeys: Ehrlich et al., 2025, 2501.14723).
    seconds : processor time for each test.
    """

    needs_tests: ClassVar[bool] = True

    suite: Literal["visible", "generated"] = "visible"
    seconds: Annotated[float, Gt(0)] = 5.0

    async def __call__(
        self, problem: Problem, paths: Sequence[Path], ctx: Context
    ) -> Sequence[float]:
        """Run every path's program on the tests."""
        if "setup" not in problem.metadata:
            return [math.nan] * len(paths)  # not a programming problem
        answers = [ctx.answer(path) for path in paths]
        programs = [
            None if answer is None else parts(answer, problem.question, problem.metadata)
            for answer in answers
        ]
        limits = Limits(cpu_seconds=self.seconds)
        if self.suite == "visible":
            return await asyncio.gather(
                *(_visible(problem, program, limits) for program in programs)
            )
        named = problem.metadata["function"]
        function = None if named is None else str(named)
        tests = [carried_tests(path.response, function) for path in paths]
        suite = await run_suite(programs, tests, limits)
        n_tests = len(suite.authors)
        return [
            math.nan if program is None or not n_tests else float(n_passed / n_tests)
            for program, n_passed in zip(programs, votes(suite), strict=True)
        ]


async def _visible(problem: Problem, program: Sequence[str] | None, limits: Limits) -> float:
    checks = visible_checks(problem.metadata)
    if program is None or not checks:
        return math.nan
    outcomes = [verdict.outcome for verdict in await run_checks(program, checks, limits)]
    return math.nan if "refused" in outcomes else outcomes.count("passed") / len(outcomes)
