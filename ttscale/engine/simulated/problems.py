"""Problems whose truth is known, and how a prompt carries it to the simulated model."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ttscale.benchmark.item import Item
from ttscale.errors import InputError

Probability = Annotated[float, Field(ge=0, le=1)]

_OPENING = "[simulated problem "
_MARKER = re.compile(r"\[simulated problem ([^\]\s:]+): p=([^\]\s]+) answer=([^\]\n]+)\]")
_FORM = "[simulated problem ID: p=PROBABILITY answer=ANSWER]"


class Truth(NamedTuple):
    """What is true of a problem: its success probability in one sample, and its right answer."""

    id: str
    p: float
    answer: str


UNMARKED = Truth("unmarked", 0.5, "42")
"""What the simulated model takes a prompt without a marker for."""


class BetaSuccess(BaseModel):
    """Success probabilities from a beta distribution; a share of problems has none at all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    distribution: Literal["beta"] = "beta"
    alpha: float = Field(default=0.5, gt=0)
    beta: float = Field(default=1.5, gt=0)
    unsolvable: Probability = 0.0

    def draw(
        self, n: int, rng: np.random.Generator
    ) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """n probabilities, shape (n,)."""
        (other,) = rng.spawn(1)
        p = rng.beta(self.alpha, self.beta, size=n)
        return np.where(other.random(n) < self.unsolvable, 0.0, p)


class FixedSuccess(BaseModel):
    """Success probabilities as given; one value stands for every problem."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    distribution: Literal["fixed"] = "fixed"
    values: tuple[Probability, ...] = Field(min_length=1)

    def draw(
        self, n: int, rng: np.random.Generator
    ) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """The n values, shape (n,); `rng` is not used."""
        if len(self.values) not in {1, n}:
            raise InputError(
                "the success probabilities are not as many as the problems",
                where="success.values",
                got=f"{len(self.values)} values for {n} problems",
                hint="one value for each problem, or a single one",
            )
        return np.broadcast_to(np.asarray(self.values, dtype=np.float64), (n,))


Success = Annotated[BetaSuccess | FixedSuccess, Field(discriminator="distribution")]
"""Where problems' success probabilities come from."""


def simulated_items(
    n_problems: int,
    seed: int = 0,
    success: BetaSuccess | FixedSuccess | Sequence[float] | None = None,
) -> tuple[Item, ...]:
    """A benchmark of known truth.

    Problem i is the same whatever `n_problems` is. `metadata['p']` holds its success probability,
    as its prompt carries it (six significant digits).

    Parameters
    ----------
    n_problems : how many; at least 1.
    seed : of the success probabilities and the reference answers.
    success : their distribution (Beta(0.5, 1.5) when left out), or the probabilities themselves.
    """
    if n_problems < 1:
        raise InputError("a benchmark has at least one problem", where="n_problems", got=n_problems)
    if success is None:
        success = BetaSuccess()
    elif not isinstance(success, BetaSuccess | FixedSuccess):
        success = _fixed(success)
    probabilities = success.draw(n_problems, np.random.default_rng([seed, 0]))
    answers = np.random.default_rng([seed, 1]).integers(10, 1000, size=n_problems)
    items = []
    for i, (p, answer) in enumerate(zip(probabilities, answers, strict=True)):
        truth = Truth(str(i), float(f"{p:.6g}"), str(answer))
        items.append(Item(truth.id, question(truth), truth.answer, {"p": truth.p}))
    return tuple(items)


def _fixed(values: Sequence[float]) -> FixedSuccess:
    try:
        return FixedSuccess(values=tuple(values))
    except ValidationError as error:
        raise InputError(
            "success probabilities lie between 0 and 1, and there is at least one",
            where="success",
            got=values,
        ) from error


def question(truth: Truth) -> str:
    """The question that carries a problem's truth to the simulated model."""
    return f"{_OPENING}{truth.id}: p={truth.p!r} answer={truth.answer}] What is the answer?"


def find_truth(text: str) -> tuple[Truth, int]:
    """The last problem in a text, and where its marker ends; (`UNMARKED`, 0) if there is none.

    Raises
    ------
    InputError : a marker that does not have the right form, or no probability in it.
    """
    start = text.rfind(_OPENING)
    if start < 0:
        return UNMARKED, 0
    match = _MARKER.match(text, start)
    try:
        p = float(match[2]) if match else math.nan
    except ValueError:
        p = math.nan
    if match is None or not 0 <= p <= 1:
        raise InputError(
            "a simulated problem's marker cannot be read",
            where="prompt",
            got=text[start : start + 80],
            hint=_FORM,
        )
    return Truth(match[1], p, match[3]), match.end()
