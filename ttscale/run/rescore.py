"""Score the samples of a finished run with further verifiers; nothing is sampled anew.

The run is played again from its journal, which holds every sample, and each sample of its pool is
scored. What a verifier asks of a model is journaled and billed like everything else, under the arm
`rescore:<verifier>`, so that a scoring that was stopped goes on where it was. Afterwards the pool
has a column `score.<verifier>`, the ledger the rows, and the pool's metadata an entry in `rescored`
with what the verifier noted.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, NoReturn, TypeVar, cast

import yaml

from ttscale.benchmark.item import Item
from ttscale.context import Context
from ttscale.engine.protocol import Engine, Scorer
from ttscale.errors import InputError, TTScaleError
from ttscale.record.files import write_parquet
from ttscale.record.journal import NAME, Journal
from ttscale.record.ledger import Ledger, read_ledger, rescoring_arm
from ttscale.record.pool import Pool, make_pool, read_pool
from ttscale.run import folder as folders
from ttscale.run.config import BudgetConfig, Experiment, load
from ttscale.run.display import Display
from ttscale.run.interrupt import Interrupt
from ttscale.run.judging import Judge
from ttscale.run.models import start_models
from ttscale.run.outputs import read_summary
from ttscale.run.pairs import all_pairs, work_through
from ttscale.run.prepare import prepare
from ttscale.run.settle import pool_rows
from ttscale.run.sweep import Arm, NamedVerifier, arms, build_verifier, shorthand
from ttscale.run.work import Outcome, Sample
from ttscale.session import Session
from ttscale.strategy import Strategy
from ttscale.trace import Answer, Problem

AnyModel = TypeVar("AnyModel", Engine, Scorer)

Spec = str | Mapping[str, Any]
"""A verifier: its name, or a mapping with a `name` and its fields."""


def split_names(text: str) -> list[str]:
    """The verifiers in a list such as `exact, judge(verdicts=8, model=other)`."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def parse_spec(text: str) -> Spec:
    """A verifier as columns name it: `judge(verdicts=8)`. Raises InputError."""
    name, bracket, rest = text.partition("(")
    if not bracket:
        return text
    fields: dict[str, Any] = {}
    for field in split_names(rest.removesuffix(")")):
        key, equals, value = field.partition("=")
        try:
            fields[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            equals = ""
        if not equals or not rest.endswith(")"):
            raise InputError(
                "this names no verifier", where="--verifiers", got=text, hint="judge(verdicts=8)"
            )
    return {"name": name.strip(), **fields}


def add_missing_scores(
    sources: Sequence[FilePath], names: Sequence[str], display: Display, changes: Sequence[str] = ()
) -> list[str]:
    """Score the runs among the sources with those verifiers that no source has scores of.

    Parameters
    ----------
    sources : run folders, pools and counts files.
    names : of columns, or verifiers as columns name them.
    changes : as of `rescore`.

    Returns the columns' names.
    """
    runs = [path for path in sources if (path / NAME).is_file()]
    pools = [read_pool(path) for path in sources if path.suffix != ".csv"]
    there = {name for pool in pools for name in pool.score_names}
    missing: list[Spec] = []
    columns = []
    for name in names:
        spec = parse_spec(name) if runs and name not in there else name
        columns.append(shorthand(spec))
        if columns[-1] not in there:
            missing.append(spec)
    for run in runs if missing else ():
        rescore(run, missing, display, changes)
    return columns


def rescore(
    folder: FilePath, specs: Sequence[Spec], display: Display, changes: Sequence[str] = ()
) -> None:
    """Score every sample of a finished run with verifiers; their columns are made or replaced.

    Parameters
    ----------
    folder : of the run.
    specs : the verifiers.
    changes : `models.NAME=MODEL`, for models that a verifier asks and the run did not have.

    Raises InputError for what the user can mend, Interrupted after Ctrl-C, and TTScaleError when
    the scoring failed. In every case what was asked of models is in the journal.
    """
    from ttscale.benchmark.source import load as load_items

    experiment, extended = _experiments(folder, changes)
    built = [build_verifier(spec, "--verifiers", FilePath()) for spec in specs]
    verifiers = list({one.name: one for one in built}.values())
    summary = read_summary(folder)
    if summary is None or not summary["complete"]:
        raise InputError(
            "this run has not ended, and a finished one is scored",
            where=folders.show(folder),
            hint="finish it with `ttscale run`",
        )
    items = load_items(experiment.config.benchmark, folder=experiment.folder)
    with folders.claim(experiment, folder.resolve().parent, fresh=False):
        asyncio.run(_rescore(experiment, extended, verifiers, items, folder, display))


def _experiments(folder: FilePath, changes: Sequence[str]) -> tuple[Experiment, Experiment]:
    """The run's experiment under its folder's name, and the same with more models."""
    for change in changes:
        if not change.startswith("models."):
            raise InputError(
                "a finished run keeps its configuration; models can be added",
                where="--set",
                got=change,
                hint="--set models.prm=embedded_prm",
            )
    path = folder / "config.yaml"
    try:
        provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        provenance = {}
    found = []
    for overrides in ((), changes):
        read = load(path, overrides)
        config = read.config.model_copy(update={"name": folder.resolve().name})
        origin = (folder / provenance.get("folder", ".")).resolve()
        found.append(read._replace(config=config, folder=origin))
    return found[0], found[1]


async def _rescore(
    experiment: Experiment,
    extended: Experiment,
    verifiers: Sequence[NamedVerifier],
    items: Sequence[Item],
    folder: FilePath,
    display: Display,
) -> None:
    config = extended.config
    async with AsyncExitStack() as stack:
        journal = Journal(folder / NAME)
        stack.callback(journal.close)
        judge = await stack.enter_async_context(Judge(config, journal))
        models = await start_models(stack, config, folder, display)
        chosen = arms(experiment)
        problems = prepare(experiment, models.policy, items, chosen, display)
        replay = Session(
            _only_journaled(models.policy, folder),
            journal,
            Ledger(),
            judge,
            seed=config.seed,
            engines={k: _only_journaled(v, folder) for k, v in models.engines.items()},
            scorers={k: _only_journaled(v, folder) for k, v in models.scorers.items()},
        )
        played = await _outcomes(chosen, problems, experiment, replay, display)
        ledger = Ledger()
        session = Session(
            models.policy,
            journal,
            ledger,
            judge,
            seed=config.seed,
            engines=models.engines,
            scorers=models.scorers,
        )
        names = ", ".join(one.name for one in verifiers)
        display.say(f"scoring the samples of {folders.show(folder)} with {names}")
        scored = await _score(played, chosen, problems, extended, verifiers, session, display)
        rows = []
        for problem in problems:
            rows += await pool_rows(problem, [played[a.label, problem.id] for a in chosen], judge)
        replayed = make_pool(rows)
        pool = _with_columns(read_pool(folder), replayed, verifiers, scored, folder)
        _write_ledger(ledger, folder / "ledger.parquet")
        pool.write(folder / "pool.parquet")  # last: a column says that all of it is there


@dataclass(frozen=True)
class _Scoring(Strategy):
    """Scores samples that are there, by problem, and notes the scores with them."""

    samples: Mapping[str, Sequence[Sample]]
    column: str

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """No answer: what counts are the scores."""
        samples = self.samples.get(problem.id, ())
        scores = await ctx.score([sample.path for sample in samples])
        for sample, score in zip(samples, scores, strict=True):
            sample.scores[self.column] = score
        return Answer(None)


Outcomes = dict[tuple[str, str], Outcome]
"""What each arm made of each problem, by label and problem id, samples included."""


async def _outcomes(
    arms: Sequence[Arm],
    problems: Sequence[Problem],
    experiment: Experiment,
    session: Session,
    display: Display,
) -> Outcomes:
    """Work through all pairs, and keep everything in memory. Raises Interrupted after Ctrl-C."""
    found: Outcomes = {}
    n_pairs, n_failed = len(arms) * len(problems), 0

    async def done(problem: Problem, outcome: Outcome) -> None:
        nonlocal n_failed
        found[outcome.arm, problem.id] = outcome
        n_failed += outcome.status == "failed"
        display.done(n_failed)

    display.begin(n_pairs, session, session.engine)
    try:
        with Interrupt().ending(display, lambda: f"{len(found)} of {n_pairs}"):
            width = min(experiment.config.run.concurrency, n_pairs)
            pairs = all_pairs(arms, problems)
            await work_through(pairs, experiment, session, done, width=width)
    finally:
        display.end()
    return found


async def _score(
    played: Outcomes,
    chosen: Sequence[Arm],
    problems: Sequence[Problem],
    experiment: Experiment,
    verifiers: Sequence[NamedVerifier],
    session: Session,
    display: Display,
) -> dict[str, Counter[str]]:
    """Score the samples of a replayed run, one sample set after the other.

    Returns what each verifier noted, and how many problems it failed on as `failed_problems`.
    """
    config = experiment.config.model_copy(update={"budget": BudgetConfig()})
    for outcome in played.values():
        for sample in outcome.samples:
            for one in verifiers:
                sample.scores.pop(one.name, None)
    sets = _sample_sets(played, chosen, problems)
    noted: dict[str, Counter[str]] = {one.name: Counter() for one in verifiers}
    for sample_set, samples in sets.items():
        sampling = next(iter(samples.values()))[0].sampling
        scoring = [
            Arm(
                rescoring_arm(one.name, sample_set),
                _Scoring(samples, one.name),
                one.verifier,
                one.name,
                sampling,
            )
            for one in verifiers
        ]
        unbudgeted = experiment._replace(config=config)
        scored = await _outcomes(scoring, problems, unbudgeted, session, display)
        for arm in scoring:
            outcomes = [o for (label, _), o in scored.items() if label == arm.label]
            failed = [outcome for outcome in outcomes if outcome.status == "failed"]
            if len(failed) == len(outcomes):
                raise TTScaleError(f"{arm.label} failed on every problem: {failed[0].error}")
            counts = noted[str(arm.verifier_name)]
            counts["failed_problems"] += len(failed)
            for outcome in outcomes:
                counts.update(outcome.notes)
    for name, counts in noted.items():
        for what, count in counts.items():
            if count:
                display.say(f"{name}: {count:,} {what.replace('_', ' ')}")
    return noted


def _sample_sets(
    played: Outcomes, chosen: Sequence[Arm], problems: Sequence[Problem]
) -> dict[str, dict[str, list[Sample]]]:
    """Every distinct sample once, by sample set and problem, in the order of the pool.

    Of the arms that have a sample, its first one's entry counts, which the pool takes too.
    """
    found: dict[tuple[str, bytes, int], tuple[str, Sample]] = {}
    for arm in chosen:
        for problem in problems:
            for sample in played[arm.label, problem.id].samples:
                found.setdefault((problem.id, *sample.key), (problem.id, sample))
    sets: defaultdict[str, defaultdict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for problem_id, sample in sorted(found.values(), key=lambda pair: (pair[0], pair[1].key)):
        sets[sample.sample_set][problem_id].append(sample)
    return {name: dict(samples) for name, samples in sorted(sets.items())}


def _with_columns(
    before: Pool,
    pool: Pool,
    verifiers: Sequence[NamedVerifier],
    noted: Mapping[str, Counter[str]],
    folder: FilePath,
) -> Pool:
    """The pool as it lies in the folder, with the new columns of the replayed one."""
    table = before.table
    for column in ("problem_id", "sample_set", "sample_index", "response"):
        if not table[column].equals(pool.table[column]):
            raise InputError(
                "pool.parquet holds other samples than the journal beside it",
                where=folders.show(folder),
                hint="a run's folder as `ttscale run` left it",
            )
    for one in verifiers:
        column = f"score.{one.name}"
        if column in table.column_names:
            table = table.drop_columns([column])
        table = table.append_column(column, pool.table[column])
    oracles = {one.name for one in verifiers if one.verifier.oracle}
    rescored = {name: {k: n for k, n in counts.items() if n} for name, counts in noted.items()}
    metadata = {
        **before.metadata,
        "oracles": sorted(oracles.union(before.metadata.get("oracles", ()))),
        "rescored": {**before.metadata.get("rescored", {}), **rescored},
    }
    return Pool(table, metadata)


def _write_ledger(ledger: Ledger, path: FilePath) -> None:
    """Add the ledger's rows to the run's, in place of rows of the same arms."""
    import pyarrow as pa
    import pyarrow.compute as pc

    new, old = ledger.table(), read_ledger(path)
    again = pc.is_in(old["arm"], value_set=new["arm"].unique())
    write_parquet(pa.concat_tables([old.filter(pc.invert(again)), new.cast(old.schema)]), path)


def _only_journaled(model: AnyModel, folder: FilePath) -> AnyModel:
    """A model that is known by what the journal holds of it, and cannot be asked."""
    return cast(AnyModel, _OnlyJournaled(model, folder))


class _OnlyJournaled:
    def __init__(self, model: Engine | Scorer, folder: FilePath) -> None:
        self._model, self._folder = model, folder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def submit(self, *_: object) -> NoReturn:
        """Refuse."""
        raise InputError(
            "the journal does not hold all that this run sampled",
            where=folders.show(self._folder),
            hint="`ttscale run --fresh` with its configuration: samples are known by what they "
            "were drawn with, and this version of ttscale or of a strategy asks for others",
        )

    score = submit
