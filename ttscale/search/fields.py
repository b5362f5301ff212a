"""Types of strategies' fields, and the one check that several of them share."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt

from ttscale.errors import InputError

Natural = Annotated[int, Ge(0)]
"""A whole number, 0 or more."""

PositiveFloat = Annotated[float, Gt(0)]
"""A number above 0."""

NonNegative = Annotated[float, Ge(0)]
"""A number, 0 or more."""

Pick = Literal["best", "weighted"]
"""How the answer is chosen from the finished paths: highest score, or score-weighted vote."""


def check_width(strategy: str, n: int, width: int) -> None:
    """Raise InputError unless `width` divides `n`; with n = 1 the width has no effect."""
    if n > 1 and n % width:
        divisors = ", ".join(str(d) for d in range(1, n + 1) if n % d == 0)
        raise InputError(
            "the width must divide n",
            where=f"{strategy}.width",
            got=f"width {width}, n {n}",
            hint=f"for this n: {divisors}",
        )
