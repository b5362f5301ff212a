"""Minimum Bayes risk: answer with the solution that has most in common with the others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ttscale.context import Context
from ttscale.search.fields import Natural
from ttscale.selection.drawing import draw
from ttscale.selection.listing import shown
from ttscale.selection.risk import overlap, same_answer
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Problem
from ttscale.vote import plurality

ELSEWHERE = "{problem}\n\nThink and answer in {language}."


@dataclass(frozen=True)
class MinimumBayesRisk(Strategy):
    """The candidate of the highest mean utility over evidence (Khairi et al., 2025, 2506.20544).

    The evidence is the candidates themselves, and with `languages` also samples in these (X-MBR):
    what a model says in several languages it more probably knows. With the utility `answers` and
    no languages this is majority voting. A candidate without an answer cannot win.

    n : candidates.
    utility : `answers`, whether they are the same; or `text`, the overlap of character n-grams
        (chrF), for tasks without short answers.
    languages : of further evidence, such as [French, German].
    evidence : samples in each language.
    hedged : whether one candidate is greedy.
    """

    n: Positive = 16
    utility: Literal["answers", "text"] = "answers"
    languages: tuple[str, ...] = ()
    evidence: Natural = 3
    hedged: bool = False

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Sample candidates and evidence, and compare all with all."""
        candidates = await draw(problem, ctx, self.n, hedged=self.hedged)
        evidence = list(candidates)
        if self.n > 1 and self.languages and self.evidence:
            elsewhere = [
                ctx.prompt(ELSEWHERE.format(problem=problem.root.text, language=language))
                for language in self.languages
            ]
            evidence += await ctx.sample(elsewhere, n=self.evidence)
        classes = await ctx.classes(evidence)
        if self.utility == "answers":
            utilities = same_answer(classes[: self.n], classes)
        else:
            texts = [shown(path.response) for path in evidence]
            utilities = overlap(texts[: self.n], texts)
        gains = utilities.mean(axis=1).tolist()
        answering = [i for i in range(self.n) if classes[i] is not None]
        most = max((gains[i] for i in answering), default=math.nan)
        top = [i for i in answering if gains[i] == most]
        vote = plurality([classes[i] for i in top], ctx.rng)
        winner = None if vote.winner is None else candidates[top[vote.winner]]
        return Answer(winner, most if top else None, vote.tied, self.n - len(answering))
