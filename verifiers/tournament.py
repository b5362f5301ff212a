"""A tournament: a model compares responses two by two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ttscale.context import Context
from ttscale.selection.listing import shown
from ttscale.selection.verdicts import ask_about, check_template, fill, first_word_shares
from ttscale.strategy import Positive, Verifier
from ttscale.trace import Path, Problem

WORDS = ("A", "B")

PROMPT = """\
Here is a problem and two solutions to it.

### Problem
{question}

### Solution A
{first}

### Solution B
{second}

### Task
Which solution has the correct final answer? Reply with A or B."""


@dataclass(frozen=True)
class Tournament(Verifier):
    """Mean probability of beating another response (Liu et al., 2025, 2501.13007).

    Each response meets its next `opponents` in the order of sampling, around a circle, so that all
    play equally often; all pairs are played where there are at most 2 `opponents` + 1 responses.
    A pair is shown in both orders, as models prefer a place, and P(A) / (P(A) + P(B)) is read at
    the first token: two passes a pair.

    A score depends on the responses that are scored together. One that meets nobody, or only its
    equals, has 0.5; one whose comparisons do not fit the judge's context NaN.

    opponents : responses that each one challenges.
    model : name in the experiment's `models`; the policy itself if left out.
    prompt : with {question}, {first} and {second}; it asks for A or B.
    """

    opponents: Positive = 2
    model: str | None = None
    prompt: str = PROMPT

    def __post_init__(self) -> None:
        check_template(self.prompt, ["question", "first", "second"])

    async def __call__(
        self, problem: Problem, paths: Sequence[Path], ctx: Context
    ) -> Sequence[float]:
        """Play all matches at once, and average each response's results."""
        players = sorted(paths, key=lambda path: path.stream or (b"", 0))
        texts = {path: shown(path.response) for path in players}
        matches = [
            (one, other)
            for i, j in pairs(len(players), self.opponents)
            for one, other in ((players[i], players[j]), (players[j], players[i]))
        ]
        asked = {
            pair: ask_about(
                ctx,
                pair,
                lambda parts: fill(
                    self.prompt,
                    {"question": problem.question, "first": parts[0], "second": parts[1]},
                ),
                reply=1,
                model=self.model,
            )
            for pair in dict.fromkeys((texts[one], texts[other]) for one, other in matches)
            if pair[0] != pair[1]
        }
        prompts = [prompt for prompt in asked.values() if prompt is not None]
        shares = await first_word_shares(ctx, prompts, WORDS)
        wins: dict[Path | None, float] = {None: math.nan}
        wins.update(zip(prompts, shares, strict=True))
        results: dict[Path, list[float]] = {path: [] for path in paths}
        for one, other in matches:
            pair = texts[one], texts[other]
            won = wins[asked[pair]] if pair in asked else 0.5
            results[one].append(won)
            results[other].append(1 - won)
        return [_mean(results[path]) for path in paths]


def pairs(n: int, opponents: int) -> list[tuple[int, int]]:
    """Pairs of n players in which each meets its next `opponents` around a circle, none twice."""
    reach = range(1, min(opponents, n // 2) + 1)
    found = ((i, (i + step) % n) for step in reach for i in range(n))
    return list(dict.fromkeys((min(pair), max(pair)) for pair in found))


def _mean(results: Sequence[float]) -> float:
    """Of the results that are known; a half of none at all."""
    known = [result for result in results if not math.isnan(result)]
    if not results:
        return 0.5
    return math.fsum(known) / len(known) if known else math.nan
