"""The final choice among finished paths."""

from __future__ import annotations

from collections.abc import Sequence

from ttscale.context import Context
from ttscale.search.fields import Pick
from ttscale.search.scores import are_probabilities, vote_weights
from ttscale.trace import Answer, Path
from ttscale.vote import argmax, plurality


async def choose(finished: Sequence[Path], ctx: Context, pick: Pick) -> Answer:
    """The answer that finished paths give together.

    `best` is the path with the highest score. `weighted` is the answer with the largest sum of its
    paths' scores (weighted best-of-N; Li et al., 2023, 2206.02336), each in [0, 1]: where the
    problem's scores are not all probabilities, they count by their sigmoid.
    """
    assert all(path.done for path in finished), "an unfinished path has no vote"
    scores = await ctx.score(finished)
    if pick == "best":
        vote = argmax(scores, ctx.rng)
    else:
        bounded = are_probabilities(ctx.scores.values())
        weights = vote_weights(scores, probabilities=bounded).tolist()
        vote = plurality(await ctx.classes(finished), ctx.rng, weights)
    winner = None if vote.winner is None else finished[vote.winner]
    return Answer(winner, vote.share, vote.tied, vote.abstained)
