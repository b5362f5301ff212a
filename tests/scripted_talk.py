"""A scripted model that is asked things, and everything a strategy made of its replies."""

from __future__ import annotations

import asyncio
import re
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tests.scripted import ScriptedEngine, make_problem, make_session
from ttscale.context import Context, OutOfBudget
from ttscale.engine.protocol import Completion, Sampling
from ttscale.record.journal import Journal
from ttscale.run.play import best_finished
from ttscale.strategy import Strategy, Verifier
from ttscale.trace import Answer, Path

PROMPT = "1+1"
SAMPLING = Sampling(temperature=0.8, max_tokens=1000)
Script = Mapping[str, Sequence[str]]


@dataclass
class TalkEngine(ScriptedEngine):
    """Replies by the first pattern that is found in the prefix, one entry a stream in turn.

    `sure` gives the confidence of every token of a reply, where confidences are asked for;
    `greedy` is the reply at temperature 0.
    """

    reply: Callable[[str, int], str] = lambda prefix, seed: ""
    script: Script = field(default_factory=dict)
    greedy: str = ""
    sure: Callable[[str], Sequence[float]] | None = None
    said: list[str] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)

    def _stream(self, prefix: str, sampling: Sampling, seed: int) -> asyncio.Future[Completion]:
        text = self.greedy
        if sampling.temperature > 0 or not self.greedy:
            pattern = next(p for p in self.script if re.search(p, prefix, re.DOTALL))
            replies = self.script[pattern]
            text = replies[self.asked[pattern] % len(replies)]
            self.asked[pattern] += 1
        self.reply = lambda prefix, seed: text
        self.said.append(self._cut(text, sampling)[0])
        return super()._stream(prefix, sampling, seed)

    def _resolve(self, future: asyncio.Future[Completion], *told: Any) -> None:
        super()._resolve(future, *told)
        completion = future.result()
        if completion.confidences and self.sure is not None:
            sure = array("f", self.sure(completion.text))
            object.__setattr__(completion, "confidences", sure)


class Talked(NamedTuple):
    """What a strategy did.

    Attributes
    ----------
    text : the response of the answer's path; None without one.
    answer : the answer that was extracted from it.
    result : the Answer itself.
    said : every reply, in the order of asking.
    requests : (prefix, max_tokens, n) of every request.
    finished : responses of the finished samples of the problem's prompt.
    notes : what the strategy noted.
    ledger : (prompt, shared, generated) tokens of every sequence.
    error : the budget's end, if it ended the strategy.
    """

    text: str | None
    answer: str | None
    result: Answer
    said: list[str]
    requests: list[tuple[str, int, int]]
    finished: list[str]
    notes: Mapping[str, int]
    ledger: list[tuple[int, int, int]]
    error: str | None

    @property
    def n_generated(self) -> int:
        """Generated tokens, billed."""
        return sum(row[2] for row in self.ledger)


def talk(
    tmp_path: FilePath,
    strategy: Strategy,
    script: Script,
    *,
    sampling: Sampling = SAMPLING,
    verifier: Verifier | None = None,
    budget: int | None = None,
    seed: int = 0,
    **engine: object,
) -> Talked:
    """Run a strategy on a scripted model, as the runner would."""

    async def run(journal: Journal) -> Talked:
        model = TalkEngine(script=script, **engine)  # type: ignore[arg-type]
        session = make_session(model, journal, seed)
        ctx = Context(session, make_problem(PROMPT), "arm", sampling, verifier, budget)
        error = None
        try:
            result = await strategy(ctx.problem, ctx)
        except OutOfBudget as out:
            result, error = await best_finished(ctx), str(out)
        rows = session.ledger.table().to_pylist()
        names = ("n_prompt_tokens", "n_shared_tokens", "n_generated_tokens")
        return Talked(
            None if result.path is None else result.path.response,
            None if result.path is None else ctx.answer(result.path),
            result,
            model.said,
            [(prefix, asked.max_tokens, n) for prefix, asked, _, n in model.requests],
            [path.response for path in ctx.finished],
            +ctx.notes,
            [tuple(row[name] for name in names) for row in rows],
            error,
        )

    async def main() -> Talked:
        with TemporaryDirectory(dir=tmp_path) as folder:
            journal = Journal(FilePath(folder) / "journal.sqlite")
            talked = await run(journal)
            journal.close()
            return talked

    return asyncio.run(main())


def drawn(text: str, name: int = 0) -> Path:
    """A sampled path made by hand, one token a character."""
    root = make_problem(PROMPT).root
    ids = array("i", map(ord, text))
    return Path(ids, text, root, "stop", stream=(b"x", name), n_prefix=root.n_tokens, depth=1)
