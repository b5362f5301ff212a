"""Solutions and rollouts from the policy: which steps lead to the right answer, and how often.

Math-Shepherd (Wang et al., 2023, 2312.08935, §3.2): a step is as good as the share of completions
from it that reach the right answer. Everything is sampled through the context, so it is journaled
by token ids, and a run that was stopped pays for nothing twice.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path as FilePath
from typing import NamedTuple

from ttscale.benchmark.item import Item
from ttscale.context import Context
from ttscale.engine.protocol import Sampling
from ttscale.prm.recipe import Labels
from ttscale.record.files import write_json
from ttscale.record.journal import NAME, Journal
from ttscale.record.ledger import Ledger
from ttscale.run.config import Experiment, make_engine
from ttscale.run.display import Display
from ttscale.run.judging import Judge
from ttscale.run.prepare import prepare
from ttscale.run.runner import borrow
from ttscale.run.sweep import arms
from ttscale.session import Session
from ttscale.trace import Path, Problem

Decode = Callable[[Sequence[int]], str]


class Sampled(NamedTuple):
    """One response: a solution, a prefix of one with a rollout behind it, or an altered prefix.

    Attributes
    ----------
    token_ids : the whole response, int32, without its prompt.
    ends : numbers of its tokens after which a step ends; the last is the response's length.
    steps : the text of each step.
    right : whether its answer is right; a response without an answer is wrong.
    answer : its answer, None if it gives none.
    n_prefix : tokens of the prefix it was rolled out from; 0 for a solution, all where it ends with
        an altered step (`ttscale.prm.altering`).
    logprobs : of a solution's tokens, float32; empty for a rollout.
    """

    token_ids: array[int]
    ends: tuple[int, ...]
    steps: tuple[str, ...]
    right: bool
    answer: str | None = None
    n_prefix: int = 0
    logprobs: array[float] = array("f")


class Labelled(NamedTuple):
    """A problem, the token ids that the reward model reads before a response, and all responses."""

    problem_id: str
    question: str
    prompt: array[int]
    responses: list[Sampled]

    @property
    def solutions(self) -> list[Sampled]:
        """The responses that were sampled from the prompt."""
        return [response for response in self.responses if not response.n_prefix]

    @property
    def mixed(self) -> bool:
        """Whether some responses are right and some wrong."""
        return len({response.right for response in self.responses}) == 2


def step_ends(token_ids: Sequence[int], delimiter: str, decode: Decode) -> tuple[int, ...]:
    """How many tokens stand before each end of a step; the last end is the response's own.

    A step ends with the token that completes the delimiter, as an engine cuts it: what else that
    token holds belongs to the step, and the text of the next one begins behind it.
    """
    ends, start = [], 0
    for end in range(1, len(token_ids) + 1):
        if delimiter in decode(token_ids[start:end]):
            ends.append(end)
            start = end
    if start < len(token_ids):
        ends.append(len(token_ids))
    return tuple(ends)


async def label(
    problem: Problem, ctx: Context, labels: Labels, prompt: array[int], decode: Decode
) -> Labelled:
    """Sample solutions of a problem, and rollouts from every distinct prefix of the right ones.

    A wrong solution is not rolled out: most of what follows a wrong step is wrong, and is seen in
    the solutions often enough. What follows a good one is right and wrong in turn, and shows which
    of the next steps are to blame.
    """
    paths = await ctx.sample(problem.root, n=labels.solutions)
    grades = await ctx.grade(paths)
    prefixes: dict[bytes, Path] = {}
    for solution, right in zip(paths, grades, strict=True):
        ids = solution.token_ids
        for end in step_ends(ids, labels.step, decode)[:-1] if right is True else ():
            prefix = ids[:end]
            if prefix.tobytes() not in prefixes:
                prefixes[prefix.tobytes()] = _prefix(problem.root, prefix, decode)
    if prefixes and labels.rollouts:
        rollouts = await ctx.sample(list(prefixes.values()), n=labels.rollouts)
        paths, grades = [*paths, *rollouts], [*grades, *await ctx.grade(rollouts)]
    responses = []
    for path, right in zip(paths, grades, strict=True):
        ids = path.all_token_ids()[problem.root.n_tokens :]
        ends = step_ends(ids, labels.step, decode)
        responses.append(
            Sampled(
                ids,
                ends,
                tuple(decode(ids[start:end]) for start, end in pairwise([0, *ends])),
                right is True,
                ctx.answer(path),
                n_prefix=path.n_prefix - problem.root.n_tokens,
                logprobs=path.logprobs if path.depth == 1 else array("f"),
            )
        )
    return Labelled(problem.id, problem.question, prompt, responses)


def _prefix(root: Path, ids: array[int], decode: Decode) -> Path:
    """The first steps of a solution as a path of their own, for others to continue."""
    return Path(ids, decode(ids), root, "step", n_prefix=root.n_tokens, depth=1)


def overlap(items: Sequence[Item], unseen: Sequence[Item]) -> list[str]:
    """Questions that stand in both sets, whatever their ids."""
    questions = {item.question for item in unseen}
    return [item.question for item in items if item.question in questions]


async def label_all(
    session: Session,
    problems: Sequence[Problem],
    arm: str,
    sampling: Sampling,
    labels: Labels,
    question: str | None,
    display: Display,
) -> list[Labelled]:
    """Label every problem, all in flight at once; `arm` is whose the samples are in the ledger."""

    async def one(problem: Problem) -> Labelled:
        ctx = Context(session, problem, arm, sampling)
        prompt = problem.root.token_ids
        if question is not None:
            prompt = session.engine.encode(question.replace("{question}", problem.question))
        labelled = await label(problem, ctx, labels, prompt, session.engine.decode)
        display.done(0)
        return labelled

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(problem)) for problem in problems]
    return [task.result() for task in tasks]


async def sample(
    experiment: Experiment,
    folder: FilePath,
    parts: Mapping[str, tuple[Sequence[Item], Labels]],
    question: str | None,
    display: Display,
    *,
    fresh: bool,
) -> dict[str, list[Labelled]]:
    """Sample and label several sets of problems; resumes from the folder's journal.

    `question` is what the reward model reads before a response; the policy's prompt if None. Unless
    `fresh`, what runs beside it have sampled is not sampled again.
    """
    async with AsyncExitStack() as stack:
        journal = Journal(folder / NAME)
        stack.callback(journal.close)
        if (n_calls := journal.n_calls()) > 0:
            display.say(f"resuming: {n_calls:,} samples are in the journal")
        engine = make_engine(experiment.config.model, folder / "engine.log")
        stack.push_async_callback(engine.close)
        judge = await stack.enter_async_context(Judge(experiment.config, journal))
        display.say(f"loading {engine.model} …")
        await engine.start()
        provenance = {"fingerprint": engine.fingerprint, **engine.provenance()}
        write_json(provenance, folder / "provenance.json")
        borrow(journal, folder, engine.fingerprint, display, fresh=fresh)
        (arm,) = arms(experiment)
        ledger = Ledger()
        session = Session(engine, journal, ledger, judge, seed=experiment.config.seed)
        problems = {
            name: prepare(experiment, engine, items, [arm], display)
            for name, (items, _) in parts.items()
        }
        display.begin(sum(map(len, problems.values())), session, engine)
        try:
            return {
                name: await label_all(
                    session, problems[name], name, arm.sampling, labels, question, display
                )
                for name, (_, labels) in parts.items()
            }
        finally:
            display.end()
            journal.commit()
            ledger.write(folder / "ledger.parquet")
