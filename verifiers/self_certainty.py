"""Self-certainty: how far the policy's next-token distributions were from uniform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ttscale.adaptive.confidence import self_certainty, token_confidences
from ttscale.context import Context
from ttscale.errors import InputError
from ttscale.strategy import Verifier
from ttscale.trace import Path, Problem


@dataclass(frozen=True)
class SelfCertainty(Verifier):
    """Mean over tokens of KL(uniform || model) (Kang et al., 2025, 2502.18581), over the likeliest.

    Over the k likeliest tokens, not normalised anew: minus their mean log-probability, less log k.
    The samples must have been drawn with `sampling.top_logprobs: k`, as k is what engines tell; it
    costs nothing more. NaN for a path without generated tokens.
    """

    async def __call__(
        self, problem: Problem, paths: Sequence[Path], ctx: Context
    ) -> Sequence[float]:
        """Average over all generated tokens of each path."""
        k = ctx.sampling.top_logprobs
        if not k:
            raise InputError(
                "self-certainty needs the likeliest tokens' log-probabilities, and these samples "
                "were drawn without",
                where="sampling.top_logprobs",
                got=k,
                hint="set `sampling: {top_logprobs: 20}` and sample anew",
            )
        return [self_certainty(token_confidences(path), k) for path in paths]
