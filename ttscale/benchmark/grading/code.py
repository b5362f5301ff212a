"""Grading programs: all tests that decide have to pass, in the sandbox.

Two programs count as the same answer when they give the same outputs on the inputs of the visible
tests (Shi et al., 2022, 2204.11454: execution-based agreement): what the tests expect is not looked
at, nor are the hidden ones. Programs that give no output on any of those inputs, or of a problem
without visible tests, are the same when their texts are.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Hashable, Sequence

from ttscale.benchmark.item import Item
from ttscale.benchmark.program import parts, probes, visible_checks
from ttscale.benchmark.sandbox import Check, Limits, Outcome, Verdict, run_checks

_REMEMBERED = 65_536


class ProgramJudge:
    """Runs the programs of one benchmark.

    Parameters
    ----------
    cpu_seconds : processor time for one program with its tests.
    """

    def __init__(self, cpu_seconds: float) -> None:
        self._limits = Limits(cpu_seconds=cpu_seconds)
        self._signatures: dict[tuple[str, str], Hashable] = {}
        self.outcomes: Counter[Outcome] = Counter()
        """How many programs came to what end when they were graded."""

    async def grade(self, item: Item, program: str) -> Verdict:
        """What became of a program under the tests that decide.

        Raises
        ------
        InputError : there is no sandbox to be had on this machine.
        """
        assert item.reference is not None, "a programming problem has tests"
        pieces = parts(program, item.question, item.metadata)
        (verdict,) = await run_checks(pieces, [Check(item.reference)], self._limits)
        self.outcomes[verdict.outcome] += 1
        return verdict

    async def signatures(self, item: Item, programs: Sequence[str]) -> list[Hashable]:
        """A value for each program, the same for programs that are the same answer."""
        asked = probes(visible_checks(item.metadata))
        return list(await asyncio.gather(*(self._signature(item, p, asked) for p in programs)))

    async def _signature(self, item: Item, program: str, asked: Sequence[Check]) -> Hashable:
        known = self._signatures.get((item.id, program))
        if known is not None:
            return known
        pieces = parts(program, item.question, item.metadata)
        verdicts = await run_checks(pieces, asked, self._limits)
        signature: Hashable = program.strip()
        if any(verdict.outcome == "passed" for verdict in verdicts):
            signature = tuple((verdict.outcome, verdict.value) for verdict in verdicts)
        if len(self._signatures) >= _REMEMBERED:
            self._signatures.clear()
        self._signatures[item.id, program] = signature
        return signature
