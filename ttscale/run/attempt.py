"""One strategy on one problem: its answer checked and graded, its finished paths as samples."""

from __future__ import annotations

from ttscale.context import Context, OutOfBudget
from ttscale.engine.protocol import EngineDied, Sampling
from ttscale.errors import TTScaleError, shorten
from ttscale.run.config import Experiment
from ttscale.run.sweep import Arm
from ttscale.run.work import Outcome, Sample, Status
from ttscale.session import Session
from ttscale.trace import Answer, Path, Problem
from ttscale.vote import argmax, plurality


async def attempt(session: Session, experiment: Experiment, arm: Arm, problem: Problem) -> Outcome:
    """Run one strategy on one problem; what goes wrong inside it is recorded, not raised."""
    ctx = Context(
        session,
        problem,
        arm.label,
        arm.sampling,
        arm.verifier,
        experiment.config.budget.generated_tokens,
        experiment.config.step.until(),
        experiment.config.benchmark.prompt.chat,
    )
    status: Status = "answered"
    try:
        answer = await arm.strategy(problem, ctx)
        _check(answer, ctx)
    except OutOfBudget:
        status = "out of budget"
        answer = await best_finished(ctx)
    except (EngineDied, TTScaleError):
        raise
    except Exception as error:  # the one place: a strategy's own failure does not end the run
        message = shorten(f"{type(error).__name__}: {error}", 500)
        return Outcome(arm.label, problem.id, "failed", error=message)
    path = answer.path
    samples = await _samples(ctx, experiment, arm, path)
    text = None if path is None else ctx.answer(path)
    correct = False if path is None else (await ctx.grade([path]))[0]
    if status == "answered" and text is None:
        status = "no answer"
    return Outcome(
        arm.label,
        problem.id,
        status,
        text,
        correct,
        answer.score,
        answer.tied,
        answer.abstained,
        ctx.n_generated_tokens,
        sum(ctx.held_tokens) / len(ctx.held_tokens) if ctx.held_tokens else None,
        None,
        samples,
        dict(ctx.notes),
    )


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


async def _samples(
    ctx: Context, experiment: Experiment, arm: Arm, answer: Path | None
) -> list[Sample]:
    """The finished paths, graded, for the pool; the answer too, if it has a prompt of its own."""
    own = answer is None or answer.root is ctx.problem.root
    paths = ctx.finished if answer is None or own else [*ctx.finished, answer]
    grades = await ctx.grade(paths)
    default = experiment.config.sampling.sampling(experiment.config.benchmark.prompt.stop)
    samples = []
    for path, correct in zip(paths, grades, strict=True):
        assert path.stream is not None, "a finished path was sampled"
        plain = ctx.plain.get(path.stream[0])
        sample_set = arm.label if plain is None else describe(plain, default)
        scores = {}
        if arm.verifier_name is not None and path in ctx.scores:
            scores[arm.verifier_name] = ctx.scores[path]
        samples.append(
            Sample(
                path.stream,
                sample_set,
                plain or arm.sampling,
                path,
                ctx.answer(path),
                correct,
                scores,
            )
        )
    return samples


def describe(sampling: Sampling, default: Sampling) -> str:
    """A name for a distribution of samples: what differs from the experiment's parameters."""
    changed = [
        f"{name}={getattr(sampling, name)}"
        for name in Sampling.__dataclass_fields__
        if getattr(sampling, name) != getattr(default, name)
    ]
    return ", ".join(changed) or "samples"
