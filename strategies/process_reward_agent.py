"""Process reward agent: every step is judged at once, with documents where they help."""

from __future__ import annotations

from dataclasses import dataclass

from ttscale.context import Context
from ttscale.retrieval.corpus import read_corpus
from ttscale.search.allocation import even_widths
from ttscale.search.frontier import distinct, repeated, top
from ttscale.search.stages import stages
from ttscale.selection.asking import fitting_prompt
from ttscale.selection.verdicts import first_word_shares
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Path, Problem
from ttscale.vote import argmax

JUDGE = """\
{documents}{problem}

Here is a solution as far as it is written:

{steps}

{request}"""
SEARCH = "Would documents help to judge its last step? Write only 1 or 0."
REWARD = "Is its last step right? Write only 1 or 0."


@dataclass(frozen=True)
class ProcessRewardAgent(Strategy):
    """Online rewards with retrieval rank and prune a frozen policy's steps (PRA; 2604.09482).

    After every step the agent decides whether to look something up, then gives the step a reward:
    the probability of 1 against 0, read at one token each. A trajectory has the sum of its rewards;
    the best of them go on. An untrained model can be the agent, and a poor one.

    corpus : file of documents, JSON Lines or paragraphs; relative to where ttscale is run.
    n : continuations at each step, shared out over the trajectories.
    beam : trajectories that go on.
    documents : to retrieve.
    max_steps : the last of them goes on to the end of the response.
    model : the agent's name in the experiment's `models`; the policy if left out.
    """

    corpus: str
    n: Positive = 16
    beam: Positive = 4
    documents: Positive = 3
    max_steps: Positive = 40
    model: str | None = None

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Grow, judge, prune; the finished trajectory of the highest reward is the answer."""
        total = {problem.root: 0.0}
        live: list[Path] = [problem.root]
        finished: list[Path] = []
        for until in stages(self.max_steps, self.n):
            parents = repeated(live, even_widths(len(live), self.n))
            children = await ctx.sample(parents, until=until)
            if self.n == 1:
                return Answer(children[0])
            for child, reward in zip(children, await self.rewards(children, ctx), strict=True):
                assert child.parent is not None, "a child has a parent"
                total[child] = total[child.parent] + reward
            finished += [child for child in children if child.done]
            open_ = distinct([child for child in children if not child.done])
            live = top(open_, [total[child] for child in open_], self.beam)
            if not live:
                break
        vote = argmax([total[path] for path in finished], ctx.rng)
        winner = None if vote.winner is None else finished[vote.winner]
        return Answer(winner, vote.share, vote.tied, vote.abstained)

    async def rewards(self, paths: list[Path], ctx: Context) -> list[float]:
        """P(right) of every path's last step, with documents where the agent wants them."""
        wanted = await first_word_shares(
            ctx, [self.asked(path, SEARCH, [], ctx) for path in paths], ("1", "0")
        )
        corpus = read_corpus(self.corpus)
        found = [
            corpus.search(path.text, self.documents) if share > 0.5 else []
            for path, share in zip(paths, wanted, strict=True)
        ]
        ctx.notes["searches"] += sum(share > 0.5 for share in wanted)
        asked = [
            self.asked(path, REWARD, documents, ctx)
            for path, documents in zip(paths, found, strict=True)
        ]
        return await first_word_shares(ctx, asked, ("1", "0"))

    def asked(self, path: Path, request: str, documents: list[str], ctx: Context) -> Path:
        """A question to the agent about a path, with documents."""
        return fitting_prompt(
            ctx,
            documents,
            lambda listed: JUDGE.format(
                documents=f"{listed}\n\n" if listed else "",
                problem=ctx.problem.root.text,
                steps=path.response.strip(),
                request=request,
            ),
            name="Document",
            model=self.model,
        )
