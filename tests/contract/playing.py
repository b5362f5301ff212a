"""Run one configured plug-in on simulated problems, by itself, as the runner would."""

from __future__ import annotations

import asyncio
import dataclasses
from array import array
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any, NamedTuple

import yaml

from ttscale import registry
from ttscale.benchmark.source import load as load_items
from ttscale.engine.protocol import Completion, EngineDied
from ttscale.engine.simulated import SimulatedConfig, SimulatedEngine
from ttscale.record.journal import Journal
from ttscale.record.ledger import Ledger, Totals
from ttscale.run.attempt import attempt
from ttscale.run.config import Experiment, load
from ttscale.run.judging import Judge
from ttscale.run.prepare import prepare
from ttscale.run.sweep import arms
from ttscale.run.work import Outcome
from ttscale.session import Session


class Silent:
    """A display that shows nothing."""

    def say(self, text: str) -> None: ...
    def begin(self, *_: Any) -> None: ...
    def done(self, n_failed: int) -> None: ...
    def end(self) -> None: ...


class Played(NamedTuple):
    """What came of it: chosen responses, outcomes, the books and the engine's totals.

    `policies` are the attention policies in the books.
    """

    chosen: dict[str, tuple[str | None, bool | None]]
    outcomes: list[Outcome]
    books: dict[str, Totals]
    engine_streams: int
    engine_tokens: int
    policies: set[str]


def experiment(tmp_path: FilePath, entry: dict[str, Any], **changes: Any) -> Experiment:
    """A small simulated experiment with one strategy."""
    config: dict[str, Any] = {
        "name": "contract",
        "model": {"engine": "simulated", "max_num_seqs": changes.pop("slots", 64)},
        "benchmark": {
            "simulated": {"success": {"distribution": "beta", "alpha": 1, "beta": 1}},
            "size": changes.pop("size", 6),
        },
        "sampling": {"max_tokens": 600},
        "strategies": [entry],
        **changes,
    }
    path = tmp_path / "contract.yaml"
    path.write_text(yaml.safe_dump(config))
    return load(path)


class SureEngine(SimulatedEngine):
    """A simulated engine that tells token confidences where they are asked for, as vLLM does."""

    def submit(self, *call: Any) -> list[asyncio.Future[Completion]]:
        """Begin streams; what they tell is the likelier the token, the surer the model."""
        streams = super().submit(*call)
        if call[1].top_logprobs:
            for stream in streams:
                stream.add_done_callback(_tell)
        return streams


def _tell(stream: asyncio.Future[Completion]) -> None:
    if not stream.cancelled() and stream.exception() is None:
        completion = stream.result()
        sure = array("f", [3 + logprob for logprob in completion.logprobs])
        object.__setattr__(completion, "confidences", sure)


class MortalEngine(SureEngine):
    """A simulated engine that dies after a number of streams."""

    streams_left: int

    def submit(self, *call: Any) -> list[asyncio.Future[Completion]]:
        """Begin streams, or die."""
        self.streams_left -= call[-1]
        if self.streams_left < 0:
            raise EngineDied("as the test wants it")
        return super().submit(*call)


def play(
    experiment: Experiment,
    journal_path: FilePath,
    *,
    die_after: int | None = None,
    problems: Sequence[int] | None = None,
    change_references: bool = False,
) -> Played | None:
    """Every problem of a simulated experiment at once; None if the engine died."""
    (arm,) = arms(experiment)
    items = load_items(experiment.config.benchmark, folder=experiment.folder)
    if problems is not None:
        items = tuple(items[i] for i in problems)

    async def main() -> Played | None:
        config = experiment.config.model
        assert isinstance(config, SimulatedConfig)
        engine = SureEngine(config) if die_after is None else MortalEngine(config)
        if isinstance(engine, MortalEngine):
            engine.streams_left = die_after or 0
        journal = Journal(journal_path)
        await engine.start()
        async with Judge(experiment.config, journal) as judge:
            prepared = prepare(experiment, engine, items, [arm], Silent())
            if change_references:
                prepared = [dataclasses.replace(p, reference="0") for p in prepared]
            session = Session(engine, journal, Ledger(), judge, seed=experiment.config.seed)
            ends = await asyncio.gather(
                *(
                    asyncio.create_task(attempt(session, experiment, arm, problem))
                    for problem in prepared
                ),
                return_exceptions=True,
            )
            await engine.close()
            journal.close()
        if any(isinstance(end, EngineDied) for end in ends):
            return None
        for end in ends:
            if isinstance(end, BaseException):
                raise end
        outcomes = [end for end in ends if isinstance(end, Outcome)]
        totals = engine.totals()
        return Played(
            {o.problem_id: (o.answer, o.correct) for o in outcomes},
            outcomes,
            session.ledger.totals(),
            totals.n_streams,
            totals.n_generated_tokens,
            set(session.ledger.table()["attention"].to_pylist()),
        )

    return asyncio.run(main())


CORPUS = str(FilePath(__file__).with_name("corpus.txt"))
SETTINGS: dict[str, dict[str, Any]] = {
    "sparse_generation": {"policy": "block_topk:256"},
    "beam_search": {"width": 2},
    "lookahead": {"width": 2},
    "dvts": {"width": 2},
    "a_star": {"n": 2, "max_expansions": 12},
    "mcts": {"n": 6, "width": 2, "batch": 2},
    "minimum_bayes_risk": {"languages": ["French"], "evidence": 1},
    "committee": {"width": 2, "message": 30},
    "semantic_entropy": {"rounds": 2},
    "deepconf": {"warmup": 2, "keep": 0.5, "window": 40, "check": 50},
    "budget_forcing": {"waits": 1, "maximum": 300, "close": "", "cue": "\n\nAnswer:"},
    "map_reduce": {"cue": "Step 1:", "conclusion": 100},
    "iterative_retrieval": {"corpus": CORPUS, "iterations": 2},
    "process_reward_agent": {"corpus": CORPUS, "beam": 2},
    "compute_optimal": {"pilot": 2, "budgets": [4, 3, 2]},
}
"""What a strategy needs set to have something to choose between at this size."""


def entries() -> list[dict[str, Any]]:
    """Every registered strategy, small, with a verifier where it needs one."""
    found = []
    for name in registry.names("strategies"):
        cls = registry.load("strategies", name)
        entry: dict[str, Any] = {"name": name}
        if "n" in {field.name for field in dataclasses.fields(cls)}:
            entry["n"] = 4
        entry |= SETTINGS.get(name, {})
        if cls.needs_verifier:
            entry["verifier"] = "mean_logprob"
        found.append(entry)
    return found
