"""Mean token log-probability: the policy's own confidence, for nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ttscale.context import Context
from ttscale.strategy import Verifier
from ttscale.trace import Path, Problem


@dataclass(frozen=True)
class MeanLogprob(Verifier):
    """Average log-probability of the generated tokens under the model that wrote them.

    Length-normalised likelihood, as Wang et al. (2023, 2203.11171, table 1) compare it with votes.
    NaN for a path without generated tokens or without log-probabilities.
    """

    @property
    def needs_logprobs(self) -> bool:
        """It is nothing else."""
        return True

    async def __call__(
        self, problem: Problem, paths: Sequence[Path], ctx: Context
    ) -> Sequence[float]:
        """Average over all generated tokens of each path."""
        return [mean_logprob(path) for path in paths]


def mean_logprob(path: Path) -> float:
    """Mean of the log-probabilities of a path's generated tokens."""
    spans = [node.logprobs for node in path.lineage() if node.parent is not None]
    n_tokens = sum(map(len, spans))
    return math.fsum(math.fsum(span) for span in spans) / n_tokens if n_tokens else math.nan
