"""What engines offer the context: token ids in, completions or scores out.

An engine samples *streams*: stream i has seed `seed + i`, as in vLLM, so the
numbers do not depend on how streams were asked for together. Every stream has a future of its own:
a finished one is never held up by its siblings.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from ttscale.trace import Finish


@dataclass(frozen=True, slots=True)
class Sampling:
    """Parameters of one sampling call; part of its key.

    `max_tokens` counts generated tokens of this call. `stop` strings end a response (finish
    `stop`), `step` strings, `step_tokens` and `step_pattern` (a regular expression) end a step
    (finish `step`); the token that completes a step string or pattern stays in the span, so that
    the ids are exactly those the model produced. `attention` names the attention policy, `dense`
    for the model's own. `top_logprobs` asks for each token's confidence over so many likeliest
    tokens, `watch` for the log-probabilities of these tokens as the first one generated.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    max_tokens: int = 512
    min_tokens: int = 0
    stop: tuple[str, ...] = ()
    step: tuple[str, ...] = ()
    step_tokens: int | None = None
    step_pattern: str | None = None
    ignore_eos: bool = False
    attention: str = "dense"
    top_logprobs: int = 0
    watch: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """What one stream gave.

    Attributes
    ----------
    token_ids : generated ids, int32.
    text : their text; a `stop` string is not part of it.
    finish : why it ended.
    logprobs : raw log-probability of each token, float32; empty where the engine has none.
    confidences : of each token, minus the mean log-probability of the `top_logprobs` likeliest
        ones at its place (Fu et al., 2025, 2508.15260, eq. 2); empty unless asked for.
    watched : raw log-probability of each token of `watch` at the first place; empty likewise.
    n_cached_tokens : prompt tokens the engine reported as read from its prefix cache.
    started, seconds : when the request was handed over (seconds since the epoch) and how long it
        took, waiting included.
    n_attempts : requests it took; more than 1 where an endpoint failed.
    n_lost_tokens : tokens that came of it and were thrown away: of requests that broke off, and
        what came after the end of a step before the server could be told.
    """

    token_ids: array[int]
    text: str
    finish: Finish
    logprobs: array[float] = field(default_factory=lambda: array("f"))
    n_cached_tokens: int = 0
    started: float = 0.0
    seconds: float = 0.0
    confidences: array[float] = field(default_factory=lambda: array("f"))
    watched: array[float] = field(default_factory=lambda: array("f"))
    n_attempts: int = 1
    n_lost_tokens: int = 0


class Solution(NamedTuple):
    """A solution, perhaps partial, as a reward model is shown it.

    Attributes
    ----------
    question : without template or examples.
    steps : the texts of its steps.
    token_ids : the policy's own ids, its prompt included.
    ends : index in `token_ids` of each step's last token.
    n_prompt : how many of `token_ids` are the prompt.
    """

    question: str
    steps: tuple[str, ...]
    token_ids: array[int]
    ends: tuple[int, ...]
    n_prompt: int


class Layout(NamedTuple):
    """A sequence to score, and where its scores are read: one position or one for each step."""

    token_ids: array[int]
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Scores:
    """What a reward model gave for one sequence.

    Attributes
    ----------
    values : one score for each position asked for, in their order; float32.
    n_cached_tokens : tokens of the sequence the engine reported as read from its prefix cache.
    started, seconds : as in `Completion`.
    """

    values: array[float]
    n_cached_tokens: int = 0
    started: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """How busy an engine is now."""

    running: int
    waiting: int


class ContextTooLong(Exception):
    """The prefix and one more token do not fit the model's context."""

    def __init__(self, n_tokens: int, limit: int) -> None:
        self.n_tokens, self.limit = n_tokens, limit
        super().__init__(f"a prefix of {n_tokens} tokens leaves no room in a context of {limit}")


class EngineDied(Exception):
    """The engine is gone; nothing further can be sampled in this process."""


@runtime_checkable
class Engine(Protocol):
    """An engine, used from one event loop between `start` and `close`."""

    @property
    def fingerprint(self) -> str:
        """Identifies what determines a sample besides the call: weights, tokenizer, dtype."""

    @property
    def model(self) -> str:
        """The model's name, for the ledger."""

    @property
    def max_context(self) -> int:
        """Largest prompt plus generation, in tokens."""

    @property
    def simulated(self) -> bool:
        """Whether the numbers come from a simulation."""

    async def start(self) -> None:
        """Load the model. Raises InputError for what the user can mend."""

    async def close(self) -> None:
        """End all requests and free the engine; may be called twice."""

    def provenance(self) -> dict[str, object]:
        """Versions and settings that affect results."""

    def encode(self, text: str) -> array[int]:
        """Token ids of plain text, with the tokens the model expects before it."""

    def encode_more(self, text: str) -> array[int]:
        """Token ids of text that goes on from other tokens: with nothing put before it."""

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> array[int]:
        """Token ids of a conversation by the model's chat template, ready for the reply."""

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids."""

    def submit(
        self, prefix: array[int], sampling: Sampling, seed: int, n: int
    ) -> list[asyncio.Future[Completion]]:
        """Begin n streams with seeds seed, seed + 1, …; one future each.

        Raises ContextTooLong. A future fails with EngineDied when the engine is gone.
        """

    def abort(self, streams: Sequence[asyncio.Future[Completion]]) -> None:
        """End streams early; their futures resolve with finish `abort` and the tokens so far."""

    def load(self) -> Load:
        """How many streams run and wait."""


@runtime_checkable
class AttendsSparsely(Protocol):
    """What an engine has besides if its attention can follow a policy; others are dense."""

    def check_attention(self, policy: str, where: str = "attention") -> None:
        """Raise InputError unless the loaded model can attend by a policy."""


@runtime_checkable
class Scorer(Protocol):
    """A reward model, used from one event loop between `start` and `close`.

    It is causal: the score at a position depends on the tokens up to it alone.
    """

    @property
    def fingerprint(self) -> str:
        """Identifies what determines a score besides the sequence."""

    @property
    def model(self) -> str:
        """The model's name, for the ledger."""

    @property
    def max_context(self) -> int:
        """Longest sequence, in tokens."""

    async def start(self) -> None:
        """Load the model. Raises InputError for what the user can mend."""

    async def close(self) -> None:
        """End all requests and free the model; may be called twice."""

    @property
    def policy_tokens(self) -> bool:
        """Whether it reads the policy's own token ids, and needs to know where steps end there."""

    def agrees_with(self, policy: Engine) -> bool:
        """Whether it can score what `policy` writes: with its token ids, if it reads those."""

    def provenance(self) -> dict[str, object]:
        """Versions and settings that affect results."""

    def lay_out(self, solution: Solution) -> Layout:
        """The sequence to score for a solution, in the model's own format."""

    def score(self, token_ids: array[int], positions: Sequence[int]) -> asyncio.Future[Scores]:
        """Score the prefixes that end at `positions` (ascending) of one sequence.

        Raises ContextTooLong. The future fails with EngineDied when the engine is gone.
        """
