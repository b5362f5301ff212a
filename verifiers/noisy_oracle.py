"""A verifier that errs as often as it is told to, for studies of what errors cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated, ClassVar

from annotated_types import Ge, Le

from ttscale.context import Context
from ttscale.strategy import Verifier
from ttscale.trace import Path, Problem

Rate = Annotated[float, Ge(0), Le(1)]


@dataclass(frozen=True)
class NoisyOracle(Verifier):
    """1 or 0: accepts right and wrong answers at set rates, by looking at the reference.

    The setting in which the ceilings of Stroebl et al. (2024, 2411.17501) hold in closed form.

    true_positive : P(accept | right), completeness.
    false_positive : P(accept | wrong), one minus soundness.
    seed : of the errors. A sample's verdict depends on it and the sample alone: asking in another
        order, or again, gives the same.

    NaN where the grader could not tell.
    """

    oracle: ClassVar[bool] = True

    true_positive: Rate = 0.9
    false_positive: Rate = 0.1
    seed: int = 0

    async def __call__(
        self, problem: Problem, paths: Sequence[Path], ctx: Context
    ) -> Sequence[float]:
        """Grade every path, then err."""
        grades = await ctx.grade(paths)
        return [
            math.nan
            if grade is None
            else float(self._chance(path) < (self.true_positive if grade else self.false_positive))
            for path, grade in zip(paths, grades, strict=True)
        ]

    def _chance(self, path: Path) -> float:
        """Uniform in [0, 1), keyed by the seed and the sample: its stream and its tokens."""
        call, index = path.stream or (b"", 0)
        sample = call + index.to_bytes(8, "big") + path.all_token_ids().tobytes()
        digest = blake2b(sample, digest_size=8, key=str(self.seed).encode()).digest()
        return (int.from_bytes(digest, "big") >> 11) / 2**53
