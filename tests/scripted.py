"""An engine whose replies a test writes: one token a character, finished in an order it chooses."""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ttscale.engine.protocol import (
    Completion,
    ContextTooLong,
    Engine,
    Layout,
    Load,
    Sampling,
    Scorer,
    Scores,
    Solution,
)
from ttscale.record.journal import Journal
from ttscale.record.ledger import Ledger
from ttscale.session import Session
from ttscale.trace import TOKEN, Path, Problem


@dataclass
class ScriptedEngine:
    """Replies `reply(prefix text, seed)`, each after `delay(prefix, seed)` turns of the loop.

    Watched tokens have the probabilities `first(prefix text)`, 0 where it names none; confidences
    are 3 more than log-probabilities.
    """

    reply: Callable[[str, int], str]
    delay: Callable[[str, int], int] = lambda prefix, seed: 0
    first: Callable[[str], Mapping[str, float]] = lambda prefix: {}
    max_context: int = 10_000
    fingerprint: str = "scripted"
    model: str = "scripted"
    simulated: bool = True
    requests: list[tuple[str, Sampling, int, int]] = field(default_factory=list)
    n_generated: int = 0
    n_streams: int = 0
    running: dict[asyncio.Future[Completion], tuple[str, str]] = field(default_factory=dict)

    async def start(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to free."""

    def provenance(self) -> dict[str, object]:
        """Nothing to tell."""
        return {"engine": "scripted"}

    def encode(self, text: str) -> array[int]:
        """One token a character."""
        return array(TOKEN, map(ord, text))

    def encode_more(self, text: str) -> array[int]:
        """One token a character."""
        return self.encode(text)

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> array[int]:
        """The last message."""
        return self.encode(messages[-1]["content"])

    def decode(self, token_ids: Sequence[int]) -> str:
        """The characters."""
        return "".join(map(chr, token_ids))

    def submit(
        self, prefix: array[int], sampling: Sampling, seed: int, n: int
    ) -> list[asyncio.Future[Completion]]:
        """Reply to each stream by itself."""
        if len(prefix) >= self.max_context:
            raise ContextTooLong(len(prefix), self.max_context)
        text = self.decode(prefix)
        self.requests.append((text, sampling, seed, n))
        return [self._stream(text, sampling, stream_seed) for stream_seed in range(seed, seed + n)]

    def _stream(self, prefix: str, sampling: Sampling, seed: int) -> asyncio.Future[Completion]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Completion] = loop.create_future()
        text, finish = self._cut(self.reply(prefix, seed), sampling)
        chances = self.first(prefix) if sampling.watch else {}
        watched = [chances.get(chr(token), 0.0) for token in sampling.watch]
        told = array("f", [math.log(chance) if chance else -math.inf for chance in watched])
        self.running[future] = (text, finish)
        turns = self.delay(prefix, seed)

        def tick(left: int) -> None:
            if future.done():
                return
            if left > 0:
                loop.call_soon(tick, left - 1)
            else:
                self._resolve(future, text, finish, told, sampling.top_logprobs)

        loop.call_soon(tick, turns)
        return future

    def _resolve(
        self,
        future: asyncio.Future[Completion],
        text: str,
        finish: str,
        watched: array[float] | None = None,
        top_logprobs: int = 0,
    ) -> None:
        self.running.pop(future)
        self.n_generated += len(text)
        self.n_streams += 1
        logprobs = array("f", [-0.1 * (1 + ord(c) % 7) for c in text])
        sure = array("f", [3 + logprob for logprob in logprobs] if top_logprobs else [])
        future.set_result(
            Completion(
                self.encode(text),
                text,
                finish,  # type: ignore[arg-type]
                logprobs,
                confidences=sure,
                watched=watched or array("f"),
            )
        )

    @staticmethod
    def _cut(text: str, sampling: Sampling) -> tuple[str, str]:
        ends = [text.find(mark) + len(mark) for mark in sampling.step if mark in text]
        if sampling.step_tokens is not None and sampling.step_tokens < len(text):
            ends.append(sampling.step_tokens)
        end, finish = (min(ends), "step") if ends else (len(text), "stop")
        if end > sampling.max_tokens:
            return text[: sampling.max_tokens], "length"
        return text[:end], finish

    def abort(self, streams: Sequence[asyncio.Future[Completion]]) -> None:
        """Keep the first half of what the stream would have said."""
        for future in streams:
            if future in self.running:
                text, _ = self.running[future]
                self._resolve(future, text[: len(text) // 2], "abort")

    def load(self) -> Load:
        """Everything runs at once."""
        return Load(len(self.running), 0)


@dataclass
class ScriptedScorer:
    """Scores `judge(text up to the position)`, on the policy's own characters."""

    judge: Callable[[str], float]
    max_context: int = 10_000
    fingerprint: str = "scripted-scorer"
    model: str = "scripted-scorer"
    policy_tokens: bool = True
    requests: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)

    async def start(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to free."""

    def agrees_with(self, policy: Engine) -> bool:
        """Characters are characters."""
        return True

    def provenance(self) -> dict[str, object]:
        """Nothing to tell."""
        return {"engine": "scripted"}

    def lay_out(self, solution: Solution) -> Layout:
        """The policy's tokens, to the end of the last step."""
        return Layout(solution.token_ids[: solution.ends[-1] + 1], solution.ends)

    def score(self, token_ids: array[int], positions: Sequence[int]) -> asyncio.Future[Scores]:
        """Judge each prefix by itself, a turn of the loop later."""
        assert len(token_ids) <= self.max_context, "cut before it is asked for"
        text = "".join(map(chr, token_ids))
        self.requests.append((text, tuple(positions)))
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Scores] = loop.create_future()
        values = array("f", [self.judge(text[: position + 1]) for position in positions])
        loop.call_soon(lambda: future.set_result(Scores(values)))
        return future


class PlainGrading:
    """The answer is what follows the last '='; equal strings are one class."""

    def answer(self, problem: Problem, response: str) -> str | None:
        """The text after the last '='."""
        return response.rpartition("=")[2].strip() or None if "=" in response else None

    async def grade(self, problem: Problem, answers: Sequence[str | None]) -> list[bool | None]:
        """Equality with the reference."""
        return [answer == problem.reference for answer in answers]

    async def classes(self, problem: Problem, answers: Sequence[str | None]) -> list[int | None]:
        """Equality of strings."""
        names: dict[str, int] = {}
        return [
            None if answer is None else names.setdefault(answer, len(names)) for answer in answers
        ]


def make_problem(question: str = "1+1", reference: str = "2", name: str = "p0") -> Problem:
    """A problem whose prompt is its question."""
    return Problem(name, question, Path(array(TOKEN, map(ord, question)), question), reference)


def make_session(
    engine: Engine, journal: Journal, seed: int = 0, scorers: Mapping[str, Scorer] | None = None
) -> Session:
    """A session with a new ledger and plain grading."""
    return Session(engine, journal, Ledger(), PlainGrading(), seed=seed, scorers=scorers)
