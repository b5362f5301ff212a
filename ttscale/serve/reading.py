"""Answers without a reference: read and compared as the benchmark has it, never graded."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from ttscale.benchmark.config import BenchmarkConfig
from ttscale.benchmark.extract import extract
from ttscale.benchmark.grading import Grader
from ttscale.errors import InputError
from ttscale.run.sweep import Arm
from ttscale.strategy import Strategy, Verifier
from ttscale.thinking import final
from ttscale.trace import Problem


class Reading:
    """Implements `ttscale.session.Grading` where there is nothing to grade against.

    Parameters
    ----------
    benchmark : its extraction rule finds answers, so that strategies can vote on them.
    grader : its rule says which answers are the same.
    """

    def __init__(self, benchmark: BenchmarkConfig, grader: Grader) -> None:
        self._rule, self._grader = benchmark.extract, grader

    def answer(self, problem: Problem, response: str) -> str | None:
        """The answer in a response, None if there is none; thinking gives none."""
        return extract(final(response), self._rule)

    async def grade(self, problem: Problem, answers: Sequence[str | None]) -> list[bool | None]:
        """Refuse: a request has no reference answer."""
        raise InputError(
            "a request has no reference answer to grade against",
            hint="a strategy whose verifier asks a model, such as judge or prm",
        )

    async def classes(self, problem: Problem, answers: Sequence[str | None]) -> list[int | None]:
        """Equivalence classes of answers, numbered by first occurrence; None for none."""
        return await self._grader.classes(answers)


def check_arms(arms: Sequence[Arm], source: str) -> None:
    """Raise InputError for a strategy that asks for what only a benchmark has.

    Parameters
    ----------
    arms : to be served.
    source : the configuration's file.
    """
    for arm in arms:
        for verifier in _verifiers(arm.strategy, arm.verifier):
            name = type(verifier).__module__.rpartition(".")[2]
            if verifier.oracle:
                missing = "looks at the reference answer, and a request has none"
            elif verifier.needs_tests:
                missing = "runs a problem's tests, and a request has none"
            else:
                continue
            raise InputError(
                f"the verifier {missing}",
                where=f"{source}: strategy {arm.label}",
                got=name,
                hint="leave the strategy out, or give it another: mean_logprob, judge, prm …",
            )


def _verifiers(*plugins: Strategy | Verifier | None) -> Iterator[Verifier]:
    """The verifiers among plug-ins, and in their fields."""
    for plugin in plugins:
        if plugin is None:
            continue
        if isinstance(plugin, Verifier):
            yield plugin
        for field in dataclasses.fields(plugin):
            value = getattr(plugin, field.name)
            inner = value if isinstance(value, tuple) else (value,)
            yield from _verifiers(*(one for one in inner if isinstance(one, Strategy | Verifier)))
