"""Budget forcing: thinking is cut short, or made to go on."""

from __future__ import annotations

from dataclasses import dataclass

from ttscale.context import Context
from ttscale.errors import InputError
from ttscale.search.fields import Natural
from ttscale.strategy import Positive, Strategy, Until
from ttscale.trace import Answer, Path, Problem


@dataclass(frozen=True)
class BudgetForcing(Strategy):
    """A least and a greatest length of thinking, in tokens (s1; Muennighoff et al., 2025).

    Where thinking would end too early its end is taken off and a word is put in that makes the
    model go on; where it gets too long it is closed, and the answer is asked for (2501.19393). All
    that stands in the thinking counts, words put in included, and while it is written so does the
    mark that closes it. With `truncate` the thinking is
    sampled in full, cut at so many tokens, and an answer forced: a sweep over it gives accuracy
    against length from one trace, sampled once, which is what each of its arms is charged for. The
    length itself is noted as `thinking_tokens`.

    maximum : tokens of thinking; what `sampling.max_tokens` leaves, if left out.
    minimum : below it thinking goes on.
    waits : how often it goes on anyway.
    wait : the word for it.
    truncate : tokens of thinking that are kept.
    close : mark that ends thinking; empty for a model that has none.
    cue : words that ask for the answer.
    answer : tokens that are kept free for the answer.
    """

    maximum: Positive | None = None
    minimum: Natural = 0
    waits: Natural = 0
    wait: str = "Wait"
    truncate: Positive | None = None
    close: str = "</think>"
    cue: str = ""
    answer: Positive = 64

    def __post_init__(self) -> None:
        if not self.close + self.cue:
            raise InputError(
                "nothing tells the model to answer",
                where="budget_forcing.cue",
                hint='close: "</think>", or for a model that does not think, cue: "\\n\\nAnswer:"',
            )
        if self.maximum is not None and self.minimum > self.maximum:
            raise InputError(
                "the least thinking is more than the most",
                where="budget_forcing.minimum",
                got=f"minimum {self.minimum}, maximum {self.maximum}",
            )

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Think within the limits, then answer."""
        words = self.close + self.cue
        n_words = ctx.extend(problem.root, words).n_generated
        most = ctx.room(problem.root) - n_words - self.answer
        if most < max(1, self.minimum):
            raise InputError(
                "there is no room to think",
                where=f"strategy {ctx.arm}",
                got=f"{most} tokens beside {n_words} to close and {self.answer} to answer",
                hint="raise sampling.max_tokens or the model's max_context, or lower answer",
            )
        most = min(most, self.maximum or most)
        trace = await self.think(problem.root, most, ctx)
        n_waits, n_before = 0, -1
        while n_waits < self.waits or n_before < trace.n_generated < self.minimum:
            longer = ctx.extend(trace, self.wait)
            if longer.n_generated >= most:
                break
            n_before = trace.n_generated
            trace = await self.think(longer, most - longer.n_generated, ctx)
            n_waits += 1
        if self.truncate is not None and self.truncate < trace.n_generated:
            trace = ctx.cut(trace, self.truncate)
        ctx.notes["thinking_tokens"] += trace.n_generated
        (answered,) = await ctx.sample(ctx.extend(trace, words))
        return Answer(answered)

    async def think(self, path: Path, n_tokens: int, ctx: Context) -> Path:
        """Go on thinking for at most so many tokens; without the mark that ended it."""
        marks = (self.close,) if self.close else ()
        (thought,) = await ctx.sample(path, until=Until(marks, n_tokens))
        return ctx.cut(thought, before=self.close)
