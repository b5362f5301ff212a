"""A judge: a model is asked whether the response is right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from ttscale.context import Context
from ttscale.selection.listing import shown
from ttscale.selection.verdicts import (
    ask_about,
    check_template,
    fill,
    first_word_shares,
    read_word,
)
from ttscale.strategy import Positive, Verifier
from ttscale.trace import Path, Problem

WORDS = ("Yes", "No")

PROMPT = """\
Here is a problem and a solution to it.

### Problem
{question}

### Solution
{response}

### Task
Check the solution step by step. Is its final answer correct? Reply with Yes or No."""


@dataclass(frozen=True)
class Judge(Verifier):
    """Probability that a model calls the response right (Zhang et al., 2024, 2408.15240).

    With `verdicts` at 0 the model answers at once: P(Yes) / (P(Yes) + P(No)) at its first token.
    Else that many verdicts are sampled, with reasoning if the prompt asks for it, and the score is
    the share of Yes among them (Zhao et al., 2025, 2502.01839): V of them give V + 1 levels, so
    that ties are the rule. What says neither is left out and noted as `unread_verdicts`; without
    any verdict the score is 0. NaN where the judge's context does not hold the question.

    Equal responses that are scored together are judged once. Thinking is not shown to the judge.

    verdicts : verdicts to sample for each response; 0 reads the probability in one pass.
    model : name in the experiment's `models`; the policy itself if left out.
    prompt : with {question} and {response}; it asks for Yes or No.
    temperature, max_tokens : of sampled verdicts. `sampling.max_tokens` bounds them too.
    """

    verdicts: Annotated[int, Ge(0)] = 0
    model: str | None = None
    prompt: str = PROMPT
    temperature: Annotated[float, Ge(0)] = 0.7
    max_tokens: Positive = 512

    def __post_init__(self) -> None:
        check_template(self.prompt, ["question", "response"])

    async def __call__(
        self, problem: Problem, paths: Sequence[Path], ctx: Context
    ) -> Sequence[float]:
        """Ask about every distinct response, all at once."""
        texts = [shown(path.response) for path in paths]
        asked = {
            text: ask_about(
                ctx,
                [text],
                lambda parts: fill(
                    self.prompt, {"question": problem.question, "response": parts[0]}
                ),
                reply=self.max_tokens if self.verdicts else 1,
                model=self.model,
            )
            for text in dict.fromkeys(texts)
        }
        prompts = [prompt for prompt in asked.values() if prompt is not None]
        ask = self._shares_of_yes if self.verdicts else first_word_shares
        scores: dict[Path | None, float] = {None: math.nan}
        scores.update(zip(prompts, await ask(ctx, prompts, WORDS), strict=True))
        return [scores[asked[text]] for text in texts]

    async def _shares_of_yes(
        self, ctx: Context, prompts: Sequence[Path], words: tuple[str, str]
    ) -> list[float]:
        replies = await ctx.sample(
            prompts,
            n=self.verdicts,
            max_tokens=self.max_tokens,
            min_tokens=0,
            temperature=self.temperature,
            stop=(),
            top_logprobs=0,
        )
        shares = []
        for start in range(0, len(replies), self.verdicts):
            read = [read_word(r.response, words) for r in replies[start : start + self.verdicts]]
            verdicts = [verdict for verdict in read if verdict is not None]
            ctx.notes["unread_verdicts"] += len(read) - len(verdicts)
            shares.append(sum(verdicts) / len(verdicts) if verdicts else 0.0)
        return shares
