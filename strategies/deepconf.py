"""DeepConf: only traces that the model is sure of may vote; weak ones are not finished."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from ttscale.adaptive.confidence import (
    Trust,
    bar,
    group_confidences,
    token_confidences,
    trace_confidence,
)
from ttscale.context import Context
from ttscale.search.fields import Natural
from ttscale.strategy import Positive, Share, Strategy, Until
from ttscale.trace import Answer, Path, Problem
from ttscale.vote import plurality


@dataclass(frozen=True)
class DeepConf(Strategy):
    """Confidence filtering and early abort (Deep Think with Confidence; Fu et al., 2025).

    A token's confidence is over its likeliest alternatives, a group's is the mean of a window of
    tokens (2508.15260). Offline, all n traces are finished; those whose confidence is among the
    highest vote, weighted by it. Online, the first ones set a bar for the lowest group, and a later
    trace is given up at the first check that finds a group below it; its tokens are billed.

    n : traces.
    warmup : traces that set the bar; 0 is offline.
    keep : share of the traces that the bar lets pass.
    trust : what of a trace its confidence is of: `mean`, `tail` (the last group), `bottom` (the
        lowest tenth of the groups) or `lowest` (the lowest group). Online filters by `lowest`.
    window : tokens of a group; 2048 in the paper, for traces of many thousand tokens.
    check : tokens between checks.
    top_logprobs : likeliest tokens; see `self_certainty`.
    """

    n: Positive = 16
    warmup: Natural = 0
    keep: Share = 0.1
    trust: Trust = "tail"
    window: Positive = 2048
    check: Positive = 128
    top_logprobs: Annotated[int, Ge(1), Le(20)] = 20

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Sample, filter, and vote by confidence."""
        if self.n == 1:
            (path,) = await ctx.sample(problem.root)
            return Answer(path)
        n_first = min(self.warmup or self.n, self.n)
        traces = await ctx.sample(problem.root, n=n_first, top_logprobs=self.top_logprobs)
        filtered: Trust = "lowest" if self.warmup else self.trust
        least = bar([self.confidence(trace, filtered) for trace in traces], self.keep)
        live = [problem.root] * (self.n - n_first)
        while live:
            grown = await ctx.sample(
                live, until=Until(n_tokens=self.check), top_logprobs=self.top_logprobs
            )
            traces += [trace for trace in grown if trace.done]
            open_ = [trace for trace in grown if not trace.done]
            live = [trace for trace in open_ if not self.is_weak(trace, least)]
            ctx.notes["aborted_traces"] += len(open_) - len(live)
        classes = await ctx.classes(traces)
        kept = [self.confidence(trace, filtered) >= least for trace in traces]
        weights = np.nan_to_num([self.confidence(trace, self.trust) for trace in traces])
        heard = [one if passes else None for one, passes in zip(classes, kept, strict=True)]
        vote = plurality(heard, ctx.rng, weights.tolist())
        if vote.winner is None:
            vote = plurality(classes, ctx.rng)
        winner = None if vote.winner is None else traces[vote.winner]
        return Answer(winner, vote.share, vote.tied, sum(one is None for one in classes))

    def confidence(self, trace: Path, trust: Trust) -> float:
        """A trace's confidence."""
        return trace_confidence(token_confidences(trace), self.window, trust)

    def is_weak(self, trace: Path, least: float) -> bool:
        """Whether a full group of a trace is below the bar."""
        values = token_confidences(trace)
        return len(values) >= self.window and bool(
            group_confidences(values, self.window).min() < least
        )
