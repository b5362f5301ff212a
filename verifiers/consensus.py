"""Consensus: an answer is worth the share of the votes it has."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ttscale.context import Context
from ttscale.strategy import Verifier
from ttscale.trace import Path, Problem


@dataclass(frozen=True)
class Consensus(Verifier):
    """How many of the finished paths so far give an equivalent answer (Wang et al., 2022).

    Best-of-n by it is majority voting, with its ties; as a score of single paths it can be compared
    with, and calibrated like, any other verifier (Lyu et al., 2024, 2402.13904). Abstentions vote
    for nobody and count in the share. An answer without a vote scores 0, an unfinished path NaN.
    """

    async def __call__(
        self, problem: Problem, paths: Sequence[Path], ctx: Context
    ) -> Sequence[float]:
        """Vote among all finished paths, those to be scored included."""
        voters = [path for path in dict.fromkeys([*ctx.finished, *paths]) if path.done]
        classes = dict(zip(voters, await ctx.classes(voters), strict=True))
        votes = Counter(classes.values())
        votes[None] = 0
        return [votes[classes[p]] / len(voters) if p.done else math.nan for p in paths]
