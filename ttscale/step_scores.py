"""Scores of steps: what a reward model is shown of a path, and what that is billed at."""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Sequence

from ttscale.branch import in_step
from ttscale.engine.protocol import Scorer, Solution
from ttscale.prefixes import Prefixes
from ttscale.record.ledger import Entry
from ttscale.session import Session
from ttscale.steps import split
from ttscale.strategy import Until
from ttscale.trace import TOKEN, Path, Problem


class StepScores:
    """Reward models' scores for one strategy on one problem.

    Parameters
    ----------
    session : what the run shares.
    problem : the problem at hand.
    arm, payer : the ledger's and the journal's name for who asks.
    """

    def __init__(self, session: Session, problem: Problem, arm: str, payer: str) -> None:
        self._session, self._problem, self._arm, self._payer = session, problem, arm, payer
        self._judged: defaultdict[str, Prefixes] = defaultdict(Prefixes)

    async def of(
        self, model: str, paths: Sequence[Path], step: Until, *, as_one_step: bool
    ) -> list[list[float]]:
        """See `Context.step_scores`."""
        scorer = self._session.scorer(model)
        jobs = []
        for path in paths:
            solution = self._solution(path, scorer, step, as_one_step=as_one_step)
            if not solution.steps:
                jobs.append(_nothing())
                continue
            layout = scorer.lay_out(solution)
            fitting = [place for place in layout.positions if place < scorer.max_context]
            ids = layout.token_ids[: fitting[-1] + 1] if fitting else array(TOKEN)
            shared = self._judged[model].add(ids)
            jobs.append(self._judge(scorer, ids, fitting, shared, len(layout.positions)))
        return await in_step(jobs)

    def _solution(self, path: Path, scorer: Scorer, step: Until, *, as_one_step: bool) -> Solution:
        """A path as a reward model is shown it."""
        question, ids = self._problem.question, path.all_token_ids()
        n_prompt = len(self._problem.root.token_ids)
        if as_one_step:
            text = path.response.strip()
            steps = (text,) if text else ()
            return Solution(question, steps, ids, (path.n_tokens - 1,), n_prompt)
        decode = self._session.engine.decode if scorer.policy_tokens else None
        texts: list[str] = []
        ends: list[int] = []
        for node in path.lineage():
            if node.parent is None:
                continue
            parts = split(node.token_ids, node.text, step, decode)
            texts += parts.texts
            ends += [node.n_prefix + end for end in parts.ends]
            if not parts.texts and ends:
                ends[-1] = node.n_tokens - 1  # white space belongs to the step before it
        return Solution(question, tuple(texts), ids, tuple(ends), n_prompt)

    async def _judge(
        self, scorer: Scorer, ids: array[int], positions: list[int], shared: int, n_scores: int
    ) -> list[float]:
        """The scores at positions of one sequence, billed, and NaN for those that did not fit."""
        missing = [math.nan] * (n_scores - len(positions))
        if not positions:
            return missing
        session = self._session
        keys = session.score_keys(scorer, ids, positions)
        stored = await session.score(scorer, ids, positions, keys, self._payer)
        if shared < len(ids):
            last = stored[-1]
            session.ledger.add(
                Entry(
                    self._arm,
                    self._problem.id,
                    scorer.model,
                    "score",
                    len(ids),
                    shared,
                    last.scores.n_cached_tokens,
                    0,
                    "dense",
                    last.scores.started,
                    last.scores.seconds,
                    last.payer != self._payer,
                )
            )
        return [one.scores.values[0] for one in stored] + missing


async def _nothing() -> list[float]:
    """The scores of a path without steps."""
    return []
