"""One strategy on one problem, for the record: graded, its finished paths as samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ttscale.context import Context
from ttscale.engine.protocol import Sampling
from ttscale.record.trees import Judged, Node, make_tree
from ttscale.run.config import Experiment
from ttscale.run.play import open_context, play
from ttscale.run.sweep import Arm
from ttscale.run.work import Outcome, Sample
from ttscale.session import Session
from ttscale.trace import Path, Problem


async def attempt(session: Session, experiment: Experiment, arm: Arm, problem: Problem) -> Outcome:
    """Run one strategy on one problem; what goes wrong inside it is recorded, not raised."""
    config = experiment.config
    ctx = open_context(session, config, arm, problem, config.budget.generated_tokens)
    ending = await play(arm, ctx)
    if ending.status == "failed":
        return Outcome(arm.label, problem.id, "failed", error=ending.error)
    chosen = ending.chosen
    samples = await _samples(ctx, experiment, arm, chosen.path)
    correct = False if chosen.path is None else (await ctx.grade([chosen.path]))[0]
    return Outcome(
        arm.label,
        problem.id,
        ending.status,
        ending.text,
        correct,
        chosen.score,
        chosen.tied,
        chosen.abstained,
        ctx.n_generated_tokens,
        sum(ctx.held_tokens) / len(ctx.held_tokens) if ctx.held_tokens else None,
        None,
        samples,
        dict(ctx.notes),
        _tree(ctx, samples, chosen.path),
    )


async def _samples(
    ctx: Context, experiment: Experiment, arm: Arm, answer: Path | None
) -> list[Sample]:
    """The finished paths, graded, for the pool; the answer too, if it has a prompt of its own."""
    own = answer is None or answer.root is ctx.problem.root
    paths = ctx.finished if answer is None or own else [*ctx.finished, answer]
    grades = await ctx.grade(paths)
    config = experiment.config
    default = replace(
        config.sampling.sampling(config.benchmark.prompt.stop), attention=config.attention
    )
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


def _tree(ctx: Context, samples: Sequence[Sample], answer: Path | None) -> list[Node]:
    """What a strategy sampled, unless that is independent samples of the prompt and no more."""
    if all(path.stream is not None and path.stream[0] in ctx.plain for path in ctx.grown):
        return []
    judged = {sample.path: Judged(sample.answer, sample.correct) for sample in samples}
    return make_tree(ctx.grown, ctx.scores, judged, answer)


def describe(sampling: Sampling, default: Sampling) -> str:
    """A name for a distribution of samples: what differs from the experiment's parameters."""
    changed = [
        f"{name}={getattr(sampling, name)}"
        for name in Sampling.__dataclass_fields__
        if getattr(sampling, name) != getattr(default, name)
    ]
    return ", ".join(changed) or "samples"
