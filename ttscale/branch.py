"""Strands of a strategy: what each has of its own, and running several to their ends."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from ttscale.record.ledger import Kind

T = TypeVar("T")


@dataclass(slots=True)
class Branch:
    """One strand of a strategy: its label, its stream counters, its random numbers, its budget."""

    label: str
    entropy: bytes
    tokens_left: int | None
    kind: Kind = "generate"
    taken: dict[bytes, int] = field(default_factory=dict)
    n_forks: int = 0
    rng: np.random.Generator | None = None

    def fork(self, n: int) -> list[Branch]:
        """Split into n strands with labels and budgets of their own."""
        label = f"{self.label}/{self.n_forks}"
        self.n_forks += 1
        share = None if self.tokens_left is None else self.tokens_left // max(n, 1)
        return [Branch(f"{label}.{i}", self.entropy, share, self.kind) for i in range(n)]


current: contextvars.ContextVar[Branch] = contextvars.ContextVar("branch")


async def in_step(jobs: Sequence[Coroutine[Any, Any, T] | asyncio.Task[T]]) -> list[T]:
    """Run jobs to their ends, all of them; then raise the first error in their order."""
    results = await asyncio.gather(*jobs, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
