"""A scripted model whose solutions form a tree that a test writes down, and a verifier to match.

A partial solution is named by its steps: "a b" is step a, then step b. A step that begins with "="
ends the solution and is its answer.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.scripted import ScriptedEngine, make_problem, make_session
from ttscale.context import Context
from ttscale.engine.protocol import Completion, Sampling
from ttscale.record.journal import Journal
from ttscale.strategy import Strategy, Verifier
from ttscale.trace import Answer, Path, Problem

END = "\n\n"
PROMPT = "1+1"


def name(path: Path) -> str:
    """The name of a path: its steps, separated by blanks."""
    return " ".join(path.response.replace(END, " ").split())


def written(steps: str) -> str:
    """The text of steps: each but an answer ends with a blank line."""
    return "".join(step if step.startswith("=") else step + END for step in steps.split())


@dataclass
class TreeEngine(ScriptedEngine):
    """Continues "a" by `tree["a"]`, one entry a stream in turn; greedily by `greedy["a"]`.

    An entry of several steps, such as "b =2", is cut after the first where a step is asked for.
    """

    reply: Callable[[str, int], str] = lambda prefix, seed: ""
    tree: Mapping[str, Sequence[str]] = field(default_factory=dict)
    greedy: Mapping[str, str] = field(default_factory=dict)
    grown: list[str] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)

    def _stream(self, prefix: str, sampling: Sampling, seed: int) -> asyncio.Future[Completion]:
        here = " ".join(prefix.removeprefix(PROMPT).replace(END, " ").split())
        if sampling.temperature == 0:
            steps = self.greedy[here]
        else:
            steps = self.tree[here][self.asked[here] % len(self.tree[here])]
            self.asked[here] += 1
        text, _ = self._cut(written(steps), sampling)
        self.grown.append(f"{here} {text}".replace(END, " ").strip())
        self.reply = lambda prefix, seed: written(steps)
        return super()._stream(prefix, sampling, seed)


@dataclass(frozen=True)
class Table(Verifier):
    """Scores by name; `asked` notes which paths were scored."""

    scores: Mapping[str, float] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def __call__(
        self, problem: Problem, paths: Sequence[Path], ctx: Context
    ) -> Sequence[float]:
        """Look every path up."""
        self.asked.extend(map(name, paths))
        return [self.scores[name(path)] for path in paths]


class Grown(NamedTuple):
    """What a strategy did.

    Attributes
    ----------
    answer : its answer's path by name, None without one.
    result : the Answer itself.
    grown : every sampled continuation by name, in the order of asking.
    finished : every finished path by name.
    scored : every scored path by name.
    n_generated_tokens : tokens billed.
    """

    answer: str | None
    result: Answer
    grown: list[str]
    finished: list[str]
    scored: list[str]
    n_generated_tokens: int


def grow(
    tmp_path: FilePath,
    strategy: Strategy,
    tree: Mapping[str, Sequence[str]],
    scores: Mapping[str, float],
    *,
    greedy: Mapping[str, str] | None = None,
) -> Grown:
    """Run a strategy on a scripted tree."""
    (grown,) = grow_many(tmp_path, strategy, tree, scores, 1, greedy=greedy)
    return grown


def grow_many(
    tmp_path: FilePath,
    strategy: Strategy,
    tree: Mapping[str, Sequence[str]],
    scores: Mapping[str, float],
    n_runs: int,
    *,
    greedy: Mapping[str, str] | None = None,
) -> list[Grown]:
    """Run a strategy on a scripted tree with the seeds 0 to n_runs - 1."""

    async def run(journal: Journal, seed: int) -> Grown:
        engine = TreeEngine(tree=tree, greedy=greedy or {})
        verifier = Table(scores)
        session = make_session(engine, journal, seed)
        sampling = Sampling(temperature=0.8, max_tokens=1000)
        ctx = Context(session, make_problem(PROMPT), "arm", sampling, verifier)
        result = await strategy(ctx.problem, ctx)
        return Grown(
            None if result.path is None else name(result.path),
            result,
            engine.grown,
            [name(path) for path in ctx.finished],
            verifier.asked,
            sum(totals.n_generated_tokens for totals in session.ledger.totals().values()),
        )

    async def main() -> list[Grown]:
        with TemporaryDirectory(dir=tmp_path) as folder:
            journal = Journal(FilePath(folder) / "journal.sqlite")
            grown = [await run(journal, seed) for seed in range(n_runs)]
            journal.close()
            return grown

    return asyncio.run(main())


def prompt() -> Path:
    """The prompt, a token a character."""
    return make_problem(PROMPT).root


def extended(parent: Path, step: str) -> Path:
    """A path made by hand: one more step, a token a character."""
    ids = array("i", map(ord, written(step)))
    return Path(
        ids, written(step), parent, "step", n_prefix=parent.n_tokens, depth=parent.depth + 1
    )
