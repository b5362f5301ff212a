"""What a run is made of and what it has come to: values that the runner fills and others read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from ttscale.engine.protocol import Sampling
from ttscale.record.trees import Node
from ttscale.run.config import Experiment
from ttscale.run.sweep import Arm
from ttscale.trace import Finish, Path

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

    @property
    def light(self) -> Outcome:
        """The same without samples and tree, which are in the run's books."""
        return replace(self, samples=[], tree=())


@dataclass
class Work:
    """What a run has come to; complete when every arm has met every problem.

    The outcomes are without samples, which are in the run's books.
    """

    experiment: Experiment
    arms: list[Arm]
    problem_ids: list[str]
    provenance: Mapping[str, Any]
    simulated: bool
    outcomes: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    n_failed: int = 0
    seconds: float = 0.0
    n_fresh_tokens: int = 0
    step_ends: Mapping[Finish, int] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return len(self.outcomes) == self.n_pairs

    @property
    def n_pairs(self) -> int:
        """How many outcomes there are in the end."""
        return len(self.arms) * len(self.problem_ids)

    def note(self, outcome: Outcome) -> None:
        """Keep one outcome, without its samples and tree."""
        self.outcomes[outcome.arm, outcome.problem_id] = outcome.light
        self.n_failed += outcome.status == "failed"
