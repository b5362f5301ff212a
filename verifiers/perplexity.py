"""Perplexity: how surprised the policy was by its own words, overall or where it was worst."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from ttscale.context import Context
from ttscale.strategy import Positive, Verifier
from ttscale.trace import Path, Problem


@dataclass(frozen=True)
class Perplexity(Verifier):
    """The reciprocal of perplexity, in (0, 1]: the geometric mean of the tokens' probabilities.

    of : `response` takes all generated tokens, and ranks as `mean_logprob` does; `last` the last
        `window` of them, where the answer stands; `worst` the least likely run of `window` tokens.
        The latter two are DeepConf's tail and lowest group (Fu et al., 2025, 2508.15260) with the
        probability of the sampled token in place of that of the likeliest ones.
    window : tokens of a run; a shorter response is one run.

    NaN for a path without generated tokens or without log-probabilities.
    """

    of: Literal["response", "last", "worst"] = "response"
    window: Positive = 16

    @property
    def needs_logprobs(self) -> bool:
        """It is made of them."""
        return True

    async def __call__(
        self, problem: Problem, paths: Sequence[Path], ctx: Context
    ) -> Sequence[float]:
        """Exponentiate the mean log-probability of the tokens that count."""
        return [self._score(path) for path in paths]

    def _score(self, path: Path) -> float:
        logprobs = [one for node in path.lineage() if node.parent for one in node.logprobs]
        if not logprobs:
            return math.nan
        size = min(self.window, len(logprobs)) if self.of != "response" else len(logprobs)
        sums = [0.0, *accumulate(logprobs)]
        runs = [after - before for before, after in zip(sums, sums[size:], strict=False)]
        return math.exp((min(runs) if self.of == "worst" else runs[-1]) / size)
