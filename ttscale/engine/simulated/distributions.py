"""Distributions of counts, read through a table of their quantiles: one look-up for one draw."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ttscale.errors import InputError

Count = Annotated[int, Field(ge=1, le=1_000_000)]


class Fixed(BaseModel):
    """Always the same number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    distribution: Literal["fixed"] = "fixed"
    value: Count

    def quantile(self, u: float) -> int:
        """The number itself."""
        return self.value


class _Range(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    low: Count = 1
    high: Count = 100_000

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low > self.high:
            raise InputError(
                "a distribution's low end lies above its high end",
                got=f"low {self.low}, high {self.high}",
            )
        return self


class Uniform(_Range):
    """Every whole number from low to high, both included."""

    distribution: Literal["uniform"] = "uniform"

    def quantile(self, u: float) -> int:
        """Quantile at u in (0, 1)."""
        return self.low + int(u * (self.high - self.low + 1))


class Lognormal(_Range):
    """A rounded lognormal, held between low and high."""

    distribution: Literal["lognormal"] = "lognormal"
    median: float = Field(gt=0)
    sigma: float = Field(gt=0, le=5)

    def quantile(self, u: float) -> int:
        """Quantile at u in (0, 1)."""
        value = self.median * math.exp(self.sigma * NormalDist().inv_cdf(u))
        return min(max(round(value), self.low), self.high)


Counts = Annotated[Fixed | Uniform | Lognormal, Field(discriminator="distribution")]
"""A distribution of whole numbers of at least one."""


def quantile_table(counts: Fixed | Uniform | Lognormal, n: int) -> tuple[int, ...]:
    """The quantiles at (i + ½)/n, i = 0 … n − 1: a uniform draw of one is a draw of the number."""
    return tuple(counts.quantile((i + 0.5) / n) for i in range(n))
