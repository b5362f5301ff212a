"""One strategy on one problem, to its end: what a run and a server have in common."""

from __future__ import annotations

from typing import NamedTuple

from ttscale.context import Context, OutOfBudget
from ttscale.engine.protocol import EngineDied
from ttscale.errors import TTScaleError, shorten
from ttscale.run.config import ExperimentConfig
from ttscale.run.sweep import Arm
from ttscale.run.work import Status
from ttscale.session import Session
from ttscale.trace import Answer, Problem
from ttscale.vote import argmax, plurality


class Ending(NamedTuple):
    """How a strategy ended.

    Attributes
    ----------
    status : whether it answered, and if not, why.
    chosen : what it chose; once the budget is spent, the best of what was finished.
    text : the answer in the chosen path, None if there is none.
    error : what went wrong, of a strategy that failed.
    """

    status: Status
    chosen: Answer
    text: str | None = None
    error: str | None = None


def open_context(
    session: Session, config: ExperimentConfig, arm: Arm, problem: Problem, budget: int | None
) -> Context:
    """An arm's door on a problem.

    Parameters
    ----------
    session : what is asked of models goes through it.
    config : gives the step and whether prompts are conversations.
    arm, problem : who asks, and about what.
    budget : generated tokens that it may spend; None for no limit.
    """
    return Context(
        session,
        problem,
        arm.label,
        arm.sampling,
        arm.verifier,
        budget,
        config.step.until(),
        config.benchmark.prompt.chat,
    )


async def play(arm: Arm, ctx: Context) -> Ending:
    """Run a strategy; what goes wrong inside it is told, not raised.

    Raises TTScaleError for what the user can mend, and EngineDied.
    """
    status: Status = "answered"
    try:
        chosen = await arm.strategy(ctx.problem, ctx)
        _check(chosen, ctx)
    except OutOfBudget:
        status = "out of budget"
        chosen = await best_finished(ctx)
    except (EngineDied, TTScaleError):
        raise
    except Exception as error:  # the one place: a strategy's own failure ends nothing else
        message = shorten(f"{type(error).__name__}: {error}", 500)
        return Ending("failed", Answer(None), error=message)
    text = None if chosen.path is None else ctx.answer(chosen.path)
    if status == "answered" and text is None:
        status = "no answer"
    return Ending(status, chosen, text)


def _check(answer: Answer, ctx: Context) -> None:
    """What every strategy owes: a finished path that begins with a prompt of its own, or none."""
    if not isinstance(answer, Answer):
        raise TypeError(f"a strategy returns an Answer, not {type(answer).__name__}")
    if answer.path is not None:
        if not ctx.began(answer.path):
            raise ValueError("the answer begins neither with the problem's prompt nor ctx.prompt's")
        if not answer.path.done:
            raise ValueError("the answer is not finished")


async def best_finished(ctx: Context) -> Answer:
    """The answer when the budget ended a strategy: best score, else most votes, else none."""
    paths = ctx.finished
    scored = [path for path in paths if path in ctx.scores]
    if scored:
        best = argmax([ctx.scores[path] for path in scored], ctx.rng)
        if best.winner is not None:
            return Answer(scored[best.winner], best.share, best.tied, best.abstained)
    vote = plurality(await ctx.classes(paths), ctx.rng)
    return Answer(
        None if vote.winner is None else paths[vote.winner], vote.share, vote.tied, vote.abstained
    )
