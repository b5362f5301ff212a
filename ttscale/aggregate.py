"""One score out of the scores of the steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

Aggregate = Literal["last", "min", "product", "mean", "model"]
"""How step scores become one: `model` means that the model itself saw the solution as one step."""


def aggregate(scores: Sequence[float], how: Aggregate) -> float:
    """The aggregated score; NaN without steps.

    `min` and `product` never rise with more steps, `mean` dilutes a fatal one, `last` suits models
    that estimate the value of the solution so far (Snell et al., 2024, app. E; Lightman et al.,
    2023, sec. 4.3 for the product).
    """
    if not scores:
        return math.nan
    match how:
        case "min":
            return math.nan if any(map(math.isnan, scores)) else min(scores)
        case "product":
            return math.prod(scores)
        case "mean":
            return math.fsum(scores) / len(scores)
        case _:
            return scores[-1]
