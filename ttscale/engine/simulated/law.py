"""The law of simulated solutions: what a step is, how it fails, and where a solution ends up.

A solution is a chain of sums followed by its answer:

    Step 1: 482170 + 093346 = 0575516. So far so good; one more sum and the next step is due.

    Step 2: 615003 + 770941 = 1385944. So far so good

    Answer: 42

It is right iff every sum is right. The only random thing in it is the twelve digits of each step's
two numbers: whether the sum is right, which wrong answer a first mistake leads to, how long the
step is and how many steps there are, all are fixed functions of them. The state of a partial
solution can therefore be read from its text alone, and what follows any cut, wherever it falls,
has exactly the distribution it has in an uncut solution.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from hashlib import blake2b
from itertools import accumulate, count
from random import Random
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ttscale.engine.simulated.distributions import Counts, Lognormal, Uniform, quantile_table
from ttscale.engine.simulated.problems import Probability, Truth
from ttscale.errors import InputError

DIGITS = 12
"""Random digits in a step."""
N_DRAWS = 1_000_000_000_000
SHORTEST_STEP = 38
"""Tokens of the longest step without filler: `Step 1000: `, the sum, a full stop, two newlines."""

RIGHT, NO_ANSWER = 0, 1
"""Outcomes of a solution; 2 and more are its wrong answers, the most frequent one first."""

# A step's digits n, shifted by a constant of its problem and place, are multiplied by each of these
# modulo 10^12: bijections, so that each result is exactly uniform. They were chosen by the spectral
# test: the shortest dual vector of each pair is at least 926,000 long (the bound is 1,074,569).
_TO_OUTCOME, _TO_LENGTH, _TO_N_STEPS = 360133806537, 547315451041, 329965790659
_N_QUANTILES = 4096
_CELL = N_DRAWS // _N_QUANTILES
_FILLER = ". So far so good; one more sum and the next step is due" * 2000
_N_NOISE = 1 << 14
_NATS = 0.25


class WorldConfig(BaseModel):
    """What the simulated model is like; everything here determines samples.

    Attributes
    ----------
    steps : steps of a solution, drawn for each.
    step_tokens : tokens of a step; at least 38.
    early_errors : 0: every step of a solution is equally likely to be right. s: step j carries a
        share of log p proportional to j^-s, so mistakes come early.
    wrong_answers : distinct wrong answers of a problem.
    wrong_skew : wrong answer k is given in proportion to k^-wrong_skew.
    abstention : share of the solutions that are not right that give no answer.
    logprobs : whether tokens have log-probabilities.
    logprob_gap : by how many nats a token is less likely, on average, in a wrong step than in a
        right one (where it has -0.25); a token's noise is exponential.
    seed : another seed is another model of the same kind.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: Counts = Uniform(low=3, high=6)
    step_tokens: Counts = Lognormal(median=48, sigma=0.25, low=SHORTEST_STEP)
    early_errors: float = Field(default=0.0, ge=0, le=8)
    wrong_answers: int = Field(default=8, ge=1, le=1000)
    wrong_skew: float = Field(default=1.0, ge=0, le=8)
    abstention: Probability = 0.05
    logprobs: bool = True
    logprob_gap: float = Field(default=0.03, ge=0)
    seed: int = Field(default=0, ge=0, lt=1 << 64)

    @model_validator(mode="after")
    def _steps_fit(self) -> Self:
        if (shortest := self.step_tokens.quantile(0.5 / _N_QUANTILES)) < SHORTEST_STEP:
            raise InputError(
                f"a simulated step takes at least {SHORTEST_STEP} tokens",
                where="world.step_tokens",
                got=f"{shortest} tokens",
                hint=f"low: {SHORTEST_STEP} (or a greater value)",
            )
        if (longest := self.steps.quantile(1 - 0.5 / _N_QUANTILES)) > 1000:
            raise InputError(
                "a simulated solution has at most 1000 steps",
                where="world.steps",
                got=f"{longest} steps",
                hint="high: 1000 (or a smaller value)",
            )
        return self


class World:
    """The tables of one simulated model, shared by its problems."""

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        self.lengths = quantile_table(config.step_tokens, _N_QUANTILES)
        self.n_steps = quantile_table(config.steps, _N_QUANTILES)
        self.early_errors = config.early_errors
        weights = [k**-config.wrong_skew for k in range(1, config.wrong_answers + 1)]
        answering = (1 - config.abstention) / math.fsum(weights)
        self.misses = [config.abstention, *(answering * weight for weight in weights)]
        """Probability of no answer and of each wrong answer, given that the right one is missed."""
        self.up_to = list(accumulate(self.misses))
        self.up_to[-1] = 1.0
        self.person = config.seed.to_bytes(8, "little")
        """Tells the hashes of one model from another's."""
        if config.logprobs:
            random = Random(0)
            noise = [-math.log1p(-random.random()) for _ in range(_N_NOISE)]
            noise += noise[:4096]  # most passages that begin near the end need no second round
            self._right_noise = array("f", [-_NATS * x for x in noise])
            self._wrong_noise = array("f", [-(_NATS + config.logprob_gap) * x for x in noise])

    def miss(self, u: float) -> int:
        """The outcome at u in [0, 1) of a solution that misses the right answer."""
        return bisect_right(self.up_to, u) + 1

    def logprobs(self, right: bool, name: int, start: int, n: int) -> array[float]:
        """Log-probabilities of n tokens from `start` on, in the passage that has this name."""
        noise = self._right_noise if right else self._wrong_noise
        start += name % _N_NOISE
        stop = start + n
        if stop > len(noise):
            noise = noise * (1 + stop // len(noise))
        return noise[start:stop]


class ProblemLaw:
    """One problem in a world: its steps, its answers, and the chance that is left at any point."""

    def __init__(self, world: World, truth: Truth) -> None:
        self.world, self.truth = world, truth
        name = f"{truth.id}\0{truth.p!r}\0{truth.answer}".encode()
        digest = blake2b(name, digest_size=8, person=world.person).digest()
        self.salt = int.from_bytes(digest, "little") % N_DRAWS
        wrong = (_wrong_answer(truth.answer, k) for k in range(world.config.wrong_answers))
        self.answers = [truth.answer, None, *wrong]
        self.closings = ["I do not know." if a is None else f"Answer: {a}" for a in self.answers]
        """Answer and last line for each outcome."""
        self._laws: dict[int, tuple[list[float], list[int]]] = {}
        self._greedy: dict[tuple[int, int, int], int] = {}

    def _law(self, n_steps: int) -> tuple[list[float], list[int]]:
        """For solutions of n steps: the chance that is left after j right ones (j = 0 … n), and
        how many of the 10^12 draws make step j + 1 right (j = 0 … n − 1)."""
        if n_steps not in self._laws:
            weights = [(j + 1) ** -self.world.early_errors for j in range(n_steps)]
            p, total = self.truth.p, math.fsum(weights)
            left = [math.pow(p, math.fsum(weights[j:]) / total) for j in range(n_steps)]
            thresholds = [round(math.pow(p, weight / total) * N_DRAWS) for weight in weights]
            self._laws[n_steps] = [*left, 1.0], thresholds
        return self._laws[n_steps]

    def thresholds(self, n_steps: int) -> list[int]:
        """How many of the 10^12 draws make each step of a solution of n steps right."""
        return self._law(n_steps)[1]

    def chance(self, done: int, n_steps: int) -> float:
        """Probability of a right answer after `done` right steps of `n_steps` (0: not known)."""
        return self._law(n_steps)[0][done] if n_steps else self.truth.p

    def n_steps(self, first_draw: int) -> int:
        """How many steps the solution has whose first step has these digits."""
        x = (first_draw + self.salt) * _TO_N_STEPS % N_DRAWS
        return self.world.n_steps[x // _CELL]

    def step(self, j: int, n: int, thresholds: list[int]) -> tuple[str, int]:
        """Step j + 1 with digits n: its text, and `RIGHT` or where its mistake leads."""
        x = n + self.salt * (j + 1)
        u, threshold = x * _TO_OUTCOME % N_DRAWS, thresholds[j]
        a, b = divmod(n, 1_000_000)
        if u < threshold:
            outcome, total = RIGHT, a + b
        else:
            outcome = self.world.miss((u - threshold) / (N_DRAWS - threshold))
            total = a + b + 1 + n % 9
        text = "Step %d: %06d + %06d = %07d" % (j + 1, a, b, total)  # noqa: UP031 - half the time
        n_filler = self.world.lengths[x * _TO_LENGTH % N_DRAWS // _CELL] - len(text) - 2
        return f"{text}{filler(n_filler)}\n\n", outcome

    def modal_outcome(self, chance: float) -> int:
        """The likeliest outcome where the right one has this chance."""
        best, missed = max(zip(self.world.misses, count(0, -1), strict=False))
        return RIGHT if chance >= (1 - chance) * best else NO_ANSWER - missed

    def greedy_draw(self, j: int, n_steps: int, outcome: int) -> int:
        """Digits that temperature 0 writes in step j + 1 on the way to the modal outcome.

        `outcome` is that of the solution so far; one that is lost needs no aim.
        """
        key = j, n_steps, outcome
        if key not in self._greedy:
            aim = self.modal_outcome(self.chance(j, n_steps)) if outcome == RIGHT else None
            for i in count(1):
                n = (i * _TO_LENGTH + j * _TO_N_STEPS + self.salt) % N_DRAWS
                thresholds = self.thresholds(n_steps or self.n_steps(n))
                if aim is None or self.step(j, n, thresholds)[1] == aim:
                    self._greedy[key] = n
                    break
        return self._greedy[key]


def filler(length: int) -> str:
    """Words without a newline; `length` characters."""
    if length > len(_FILLER):
        return (_FILLER * (1 + length // len(_FILLER)))[:length]
    return _FILLER[:length]


def _wrong_answer(answer: str, k: int) -> str:
    """The k-th wrong answer: a number near a right one (±1, ±2, …), or a name."""
    distance = k // 2 + 1
    try:
        return str(int(answer) + (-distance if k % 2 else distance))
    except ValueError:
        return f"wrong-{k + 1}"
