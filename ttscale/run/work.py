"""What a run is made of and what it has come to: values that the runner fills and others read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ttscale.engine.protocol import Sampling
from ttscale.record.ledger import Ledger
from ttscale.record.trees import Node
from ttscale.run.config import Experiment
from ttscale.run.sweep import Arm
from ttscale.trace import Finish, Path, Problem

Status = Literal["answered", "no answer", "out of budget", "failed"]


class Sample(NamedTuple):
    """A finished path as the pool has it.

    `sample_set` is the name of the distribution it was drawn from: the sampling parameters, for a
    plain sample of the prompt; the arm's label, for the end of a search. `sampling` are these
    parameters.
    """

    key: tuple[bytes, int]
    sample_set: str
    sampling: Sampling
    path: Path
    answer: str | None
    correct: bool | None
    scores: dict[str, float]


@dataclass(frozen=True)
class Outcome:
    """What one arm made of one problem.

    `held_tokens` is the mean over a search's steps of the tokens that its paths held; None for a
    strategy without steps. `tree` is what it sampled, pruned branches included; empty for one that
    only draws independent samples, which are in `samples`.
    """

    arm: str
    problem_id: str
    status: Status
    answer: str | None = None
    correct: bool | None = False
    score: float | None = None
    tied: int = 1
    abstained: int = 0
    n_generated_tokens: int = 0
    held_tokens: float | None = None
    error: str | None = None
    samples: list[Sample] = field(default_factory=list)
    notes: Mapping[str, int] = field(default_factory=dict)
    tree: Sequence[Node] = ()


@dataclass
class Work:
    """What a run has come to; complete when every arm has met every problem."""

    experiment: Experiment
    arms: list[Arm]
    problems: list[Problem]
    provenance: Mapping[str, Any]
    ledger: Ledger
    simulated: bool
    outcomes: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    seconds: float = 0.0
    n_fresh_tokens: int = 0
    step_ends: Mapping[Finish, int] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return len(self.outcomes) == len(self.arms) * len(self.problems)

    @property
    def n_failed(self) -> int:
        """How many outcomes are failures."""
        return sum(outcome.status == "failed" for outcome in self.outcomes.values())
