"""Parallel thinking: paths that think side by side, and a summary that reads them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ttscale.context import Context
from ttscale.selection.asking import fitting, fitting_prompt
from ttscale.strategy import Positive, Strategy, Until
from ttscale.trace import Answer, Path, Problem
from ttscale.vote import plurality

SUMMARISE = """\
{problem}

Here are lines of thought about the problem, some of them perhaps unfinished or wrong.

{solutions}

Weigh them against each other, and give the final answer to the problem."""


@dataclass(frozen=True)
class ParallelThinking(Strategy):
    """Independent paths, then a summary over them (ParaThinker; Wen et al., 2025, 2509.04475).

    `prompted` needs no training: the paths are samples of the prompt, the summary is a prompt with
    all paths in a random order, which is computed anew and charged. `native` is for checkpoints
    that have path tokens: path i is opened by its own token, and the summary follows all paths in
    one response of at most `sampling.max_tokens`. Positions run on through the paths, as engines
    have them, which the paper found worse than starting each path's anew. Paths that the context
    does not hold lose their beginnings (`shortened_texts`, `cut_characters` in the notes). Where
    the summary gives no answer, the paths vote.

    n : paths; one alone is a plain sample.
    finish : paths that end before the others are cut, whose partial texts are kept; all, if left
        out. The paper ends at the first.
    tokens : of the summary; native, what is kept free for it.
    mode : `prompted` or `native`.
    open, close, summary : native tokens; {i} is the path's number.
    """

    n: Positive = 4
    finish: Positive | None = None
    tokens: Positive = 512
    mode: Literal["prompted", "native"] = "prompted"
    open: str = "<think{i}>"
    close: str = "</think{i}>"
    summary: str = "<summary>"

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Think in parallel, summarise, answer."""
        if self.n == 1:
            (path,) = await ctx.sample(problem.root)
            return Answer(path)
        if self.mode == "native":
            paths, asked = await self.natively(problem, ctx)
        else:
            paths = await self.grow([problem.root], self.n, None, ctx)
            order = ctx.rng.permutation(self.n).tolist()
            asked = fitting_prompt(
                ctx,
                [paths[i].response.strip() for i in order],
                lambda texts: SUMMARISE.format(problem=problem.root.text, solutions=texts),
                name="Path",
            )
        (summary,) = await ctx.sample(asked, max_tokens=self.tokens)
        if ctx.answer(summary) is not None:
            return Answer(summary)
        vote = plurality(await ctx.classes(paths), ctx.rng)
        winner = (
            summary if vote.winner is None or not paths[vote.winner].done else (paths[vote.winner])
        )
        return Answer(winner, vote.share, vote.tied, vote.abstained + 1)

    async def natively(self, problem: Problem, ctx: Context) -> tuple[list[Path], Path]:
        """The paths, opened by tokens of their own, and the response that the summary ends."""
        numbers = range(1, self.n + 1)
        opens = [self.open.format(i=i) for i in numbers]
        closes = [self.close.format(i=i) for i in numbers]

        def joined(texts: list[str]) -> Path:
            parts = zip(opens, texts, closes, strict=True)
            words = "".join("".join(part) for part in parts)
            return ctx.extend(problem.root, words + self.summary)

        room = ctx.room(joined([""] * self.n)) - self.tokens
        until = Until(tuple(closes), max(1, room // self.n))
        starts = [ctx.extend(problem.root, words) for words in opens]
        paths = await self.grow(starts, 1, until, ctx)
        texts = [
            path.response.removeprefix(words).partition(end)[0]
            for path, words, end in zip(paths, opens, closes, strict=True)
        ]
        reply = max(1, min(self.tokens, room))
        return paths, fitting(ctx, texts, lambda parts: joined(list(parts)), reply)

    async def grow(
        self, starts: list[Path], n: int, until: Until | None, ctx: Context
    ) -> list[Path]:
        """All paths to their ends, or some, and what the others have by then."""
        if self.finish is None or self.finish >= self.n:
            return await ctx.sample(starts, n=n, until=until)
        return await ctx.race(starts, n=n, finish=self.finish, until=until)
