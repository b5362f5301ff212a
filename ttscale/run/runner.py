"""Run every arm on every problem, all in flight together, and write down what came of it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

from ttscale.benchmark.item import Item
from ttscale.context import Context
from ttscale.engine.protocol import Engine, EngineDied, Sampling
from ttscale.errors import InputError, Interrupted, TTScaleError
from ttscale.record.files import write_json
from ttscale.record.journal import NAME, Journal
from ttscale.record.ledger import Ledger
from ttscale.run import folder as folders
from ttscale.run.attention import check_attention
from ttscale.run.config import Experiment
from ttscale.run.display import Display
from ttscale.run.interrupt import Interrupt
from ttscale.run.judging import Judge
from ttscale.run.models import start_models
from ttscale.run.outputs import read_summary, write_outputs
from ttscale.run.play import open_context, play
from ttscale.run.sweep import Arm, arms
from ttscale.run.work import Outcome, Sample, Work
from ttscale.session import Session
from ttscale.trace import Path, Problem


def run(
    experiment: Experiment,
    results: FilePath,
    display: Display,
    *,
    fresh: bool,
    interrupt: Interrupt | None = None,
) -> FilePath:
    """Run, or resume, an experiment; returns its folder.

    In the main thread Ctrl-C stops it in order; from another thread `interrupt.press` does.

    Raises InputError for what the user can mend, Interrupted after Ctrl-C, and TTScaleError when
    the run failed. In every case what was sampled is in the journal.
    """
    from ttscale.benchmark.source import load as load_items

    chosen = arms(experiment)
    items = load_items(experiment.config.benchmark, folder=experiment.folder)
    with folders.claim(experiment, results, fresh=fresh) as folder:
        if (before := read_summary(folder)) and before["complete"] and not before["n_failed"]:
            display.say(f"{folders.show(folder)} is complete (--fresh runs it anew)")
            return folder
        interrupt = interrupt or Interrupt()
        return asyncio.run(_run(experiment, chosen, items, folder, display, fresh, interrupt))


async def _run(
    experiment: Experiment,
    chosen: list[Arm],
    items: Sequence[Item],
    folder: FilePath,
    display: Display,
    fresh: bool,
    interrupt: Interrupt,
) -> FilePath:
    interrupt.listen()
    config = experiment.config
    async with AsyncExitStack() as stack:
        journal = Journal(folder / NAME)
        stack.callback(journal.close)
        if (n_calls := journal.n_calls()) > 0:
            display.say(f"resuming {folders.show(folder)}: {n_calls:,} samples are in its journal")
        judge = await stack.enter_async_context(Judge(config, journal))
        models = await start_models(stack, config, folder, display)
        engine = models.policy
        check_attention(engine, chosen, experiment.source)
        _borrow(journal, folder, engine, display, fresh=fresh)
        problems = prepare(experiment, engine, items, chosen, display)
        session = Session(
            engine,
            journal,
            Ledger(),
            judge,
            seed=config.seed,
            engines=models.engines,
            scorers=models.scorers,
        )
        provenance = {
            **_provenance(experiment),
            "folder": os.path.relpath(experiment.folder, folder),
            "fingerprint": engine.fingerprint,
            **engine.provenance(),
            "models": {name: other.provenance() for name, other in models.others.items()},
        }
        write_json(provenance, folder / "provenance.json")
        work = Work(experiment, chosen, problems, provenance, session.ledger, engine.simulated)
        started = time.monotonic()
        display.begin(len(chosen) * len(problems), session, engine)
        try:
            await work_through(work, session, display, interrupt)
        finally:
            display.end()
            journal.commit()
            work.seconds = time.monotonic() - started
            work.n_fresh_tokens = session.n_fresh_tokens
            work.step_ends = dict(session.step_ends)
            if work.outcomes:
                await write_outputs(work, judge, folder)
    if work.n_failed == len(work.outcomes):
        first = next(iter(work.outcomes.values()))
        raise TTScaleError(f"every problem failed; the first with: {first.error}")
    return folder


def _borrow(
    journal: Journal, folder: FilePath, engine: Engine, display: Display, *, fresh: bool
) -> None:
    """Let the journal read samples of the runs beside it, unless the run was begun fresh."""
    alone = journal.read_fact(b"alone")
    if alone is None:
        alone = b"1" if fresh else b"0"
        journal.write_fact(b"alone", alone)
        journal.commit()
    if alone == b"0" and (runs := folders.siblings(folder, engine.fingerprint)):
        journal.borrow_from(runs)
        names = ", ".join(run.name for run in runs)
        display.say(f"samples that {names} has are not asked for again (--fresh samples anew)")


def prepare(
    experiment: Experiment,
    engine: Engine,
    items: Sequence[Item],
    chosen: Sequence[Arm],
    display: Display,
) -> list[Problem]:
    """Problems out of items: prompts rendered and tokenised, and checked against the context."""
    from ttscale.benchmark.prompt import completion, messages

    prompt = experiment.config.benchmark.prompt
    problems = []
    for item in items:
        if prompt.chat:
            turns = messages(item, prompt)
            ids, text = engine.encode_chat(turns), turns[-1]["content"]
        else:
            text = completion(item, prompt)
            ids = engine.encode(text)
        if len(ids) >= engine.max_context:
            raise InputError(
                "a prompt is longer than the model's context",
                where=f"problem {item.id}",
                got=f"{len(ids)} tokens, the context holds {engine.max_context}",
                hint="raise model.max_context, shorten the prompt, or leave the problem out",
            )
        root = Path(ids, text)
        problems.append(Problem(item.id, item.question, root, item.reference, item.metadata))
    longest = max(len(problem.root.token_ids) for problem in problems)
    wanted = max(arm.sampling.max_tokens for arm in chosen)
    if longest + wanted > engine.max_context:
        display.say(
            f"warning: the longest prompt ({longest} tokens) and sampling.max_tokens ({wanted}) "
            f"do not fit the context of {engine.max_context}; its responses end earlier"
        )
    prompts = {problem.root.token_ids.tobytes() for problem in problems}
    if len(prompts) < len(problems):
        display.say(
            f"warning: {len(problems) - len(prompts)} prompts stand twice in this benchmark; "
            "they share their samples"
        )
    return problems


async def work_through(
    work: Work, session: Session, display: Display, interrupt: Interrupt | None = None
) -> None:
    """All arms over all problems, `concurrency` pairs in flight, arm by arm."""
    pairs: Iterator[tuple[Arm, Problem]] = (
        (arm, problem) for arm in work.arms for problem in work.problems
    )

    async def worker() -> None:
        for arm, problem in pairs:
            outcome = await attempt(session, work.experiment, arm, problem)
            work.outcomes[arm.label, problem.id] = outcome
            display.done(work.n_failed)

    n_workers = min(work.experiment.config.run.concurrency, len(work.arms) * len(work.problems))
    workers = [asyncio.create_task(worker()) for _ in range(n_workers)]
    with (interrupt or Interrupt()).stopping(workers, display):
        await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        interrupted = any(task.cancelled() for task in workers)
        for task in workers:
            task.cancel()
        ends = await asyncio.gather(*workers, return_exceptions=True)
    for error in ends:
        if isinstance(error, EngineDied):
            raise TTScaleError(
                f"the engine died: {error}\n"
                "  try:   see engine.log in the run folder; the same command goes on from here"
            ) from error
        if isinstance(error, Exception):
            raise error
    if interrupted:
        raise Interrupted(
            f"stopped after {len(work.outcomes)} of "
            f"{len(work.arms) * len(work.problems)}; the same command goes on from here"
        )


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


def describe(sampling: Sampling, default: Sampling) -> str:
    """A name for a distribution of samples: what differs from the experiment's parameters."""
    changed = [
        f"{name}={getattr(sampling, name)}"
        for name in Sampling.__dataclass_fields__
        if getattr(sampling, name) != getattr(default, name)
    ]
    return ", ".join(changed) or "samples"


def _provenance(experiment: Experiment) -> dict[str, Any]:
    """What can change a result, apart from the engine."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version()}
    for package in ("ttscale", "numpy", "math-verify", "sympy", "reasoning-gym", "datasets"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "config_hash": experiment.hash,
        "seed": experiment.config.seed,
        "software": versions,
        "platform": platform.platform(),
        "command": " ".join(["ttscale", *sys.argv[1:]]),
    }
