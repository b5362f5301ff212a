"""Length: the shorter answer is the better one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ttscale.context import Context
from ttscale.strategy import Verifier
from ttscale.trace import Path, Problem


@dataclass(frozen=True)
class Length(Verifier):
    """Minus the number of generated tokens.

    Among sampled solutions of one problem the right ones tend to be shorter (Zeng et al., 2025,
    2502.12215). A baseline that every verifier should beat, and free.
    """

    async def __call__(
        self, problem: Problem, paths: Sequence[Path], ctx: Context
    ) -> Sequence[float]:
        """Count the tokens of each path without its prompt."""
        return [-float(path.n_generated) for path in paths]
