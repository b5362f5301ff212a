"""The two protocols: a strategy chooses what to sample, a verifier says what a sample is worth.

Both are frozen dataclasses with one coroutine; their fields are their configuration. They touch
models only through the context, so batching, cost, caching, budgets and resuming are done once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Gt, Le

from ttscale.trace import Answer, Path, Problem

if TYPE_CHECKING:
    from ttscale.context import Context

Positive = Annotated[int, Ge(1)]
"""A whole number of at least one."""

Share = Annotated[float, Gt(0), Le(1)]
"""A number in (0, 1]."""


@dataclass(frozen=True)
class Until:
    """Where a step ends, whichever comes first.

    Attributes
    ----------
    text : at the end of one of these.
    n_tokens : after so many tokens.
    pattern : at the end of the first match of a regular expression.
    """

    text: tuple[str, ...] = ()
    n_tokens: int | None = None
    pattern: str | None = None


STEP = Until()
"""The experiment's step, as its configuration has it: a paragraph if it says nothing."""


@dataclass(frozen=True)
class Strategy(ABC):
    """How to spend samples on one problem.

    `needs_verifier` says that the strategy calls `ctx.score`: its configuration must name one.
    """

    needs_verifier: ClassVar[bool] = False

    @abstractmethod
    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Sample, choose, and answer."""


@dataclass(frozen=True)
class Verifier(ABC):
    """What a path is worth; higher is better.

    `oracle` says that the verifier looks at the reference answer: its results are a bound, not a
    method, and are labelled so wherever they appear. `needs_tests` says that it has scores only for
    programming problems.
    """

    oracle: ClassVar[bool] = False
    needs_tests: ClassVar[bool] = False

    @property
    def needs_logprobs(self) -> bool:
        """Whether it reads the log-probabilities of the paths' tokens."""
        return False

    @abstractmethod
    async def __call__(
        self, problem: Problem, paths: Sequence[Path], ctx: Context
    ) -> Sequence[float]:
        """One score for each path."""
