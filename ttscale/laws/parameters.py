"""Parameters of laws, and what every family of laws does with its own.

Parameters are fitted on a free scale (log for positive ones, log-odds for shares) with a weak
normal prior, wide against any plausible benchmark, that keeps unidentified ones from running off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ttscale.laws.grid import Array, softplus


@dataclass(frozen=True)
class Parameter:
    """A named parameter, the link to its free scale, and its weak normal prior there."""

    name: str
    link: Literal["log", "logit", "identity"]
    centre: float
    spread: float

    @property
    def reach(self) -> float:
        """How far from zero the free scale goes: where another step changes no number."""
        return {"log": 30.0, "logit": 16.0, "identity": np.inf}[self.link]

    def value(self, free: Array) -> Array:
        """The parameter in its own units."""
        if self.link == "log":
            return np.exp(free)
        return np.exp(-softplus(-free)) if self.link == "logit" else free

    def free(self, value: Array | float) -> Array:
        """The inverse of `value`."""
        value = np.asarray(value, dtype=np.float64)
        with np.errstate(divide="ignore"):
            if self.link == "log":
                return np.log(value)
            return np.log(value) - np.log1p(-value) if self.link == "logit" else value


@dataclass(frozen=True)
class Family:
    """A named form with parameters.

    Parameters
    ----------
    name : as in `--law` and in every JSON record.
    form : the functional form, in words and symbols.
    parameters : with their links and priors.
    """

    name: str
    form: str
    parameters: tuple[Parameter, ...]

    @property
    def centre(self) -> Array:
        return np.array([p.centre for p in self.parameters])

    @property
    def reach(self) -> Array:
        return np.array([p.reach for p in self.parameters])

    @property
    def spread(self) -> Array:
        return np.array([p.spread for p in self.parameters])

    def values(self, free: Array) -> Array:
        """Parameters in their own units, shape (..., D), from the free scale."""
        columns = [p.value(free[..., d]) for d, p in enumerate(self.parameters)]
        return np.stack(columns, axis=-1)

    def free(self, values: Array) -> Array:
        """The inverse of `values`."""
        values = np.asarray(values, dtype=np.float64)
        return np.stack([p.free(values[..., d]) for d, p in enumerate(self.parameters)], axis=-1)
