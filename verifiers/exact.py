"""The reference answer as a verifier: an oracle, the ceiling every real verifier stays under."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ttscale.context import Context
from ttscale.strategy import Verifier
from ttscale.trace import Path, Problem


@dataclass(frozen=True)
class Exact(Verifier):
    """1 for a right answer, 0 for a wrong one, NaN where the grader could not tell."""

    oracle: ClassVar[bool] = True

    async def __call__(
        self, problem: Problem, paths: Sequence[Path], ctx: Context
    ) -> Sequence[float]:
        """Grade every path against the reference."""
        grades = await ctx.grade(paths)
        return [float("nan") if grade is None else float(grade) for grade in grades]
