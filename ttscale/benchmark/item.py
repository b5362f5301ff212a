"""One question of a benchmark, before any tokenizer has seen it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Item:
    """A question with its reference answer.

    Attributes
    ----------
    id : unique within the benchmark, and the same whatever subset of it is loaded.
    question : the question alone, without template, examples or choices.
    reference : the reference answer; None where the benchmark has none (a scorer decides).
    metadata : 'choices' (tuple of str, in the order shown) for multiple choice; for a generated
        problem 'task', 'entry' (reasoning-gym's own record of it) and 'scoring': whether the
        reference's string, its decimal value, or the task's own scorer decides; for a programming
        problem 'function', 'setup' and 'tests' (see `program.code_item`), the reference
        being the tests that decide.
    """

    id: str
    question: str
    reference: str | None
    metadata: Mapping[str, object] = field(default_factory=dict)
