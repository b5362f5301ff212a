"""A small model sampled often against a large one asked once, at equal FLOPs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ttscale.errors import InputError
from ttscale.plan.frontier import difference
from ttscale.plan.points import CLOSE, Points
from ttscale.plan.pricing import COUNTED
from ttscale.stats import Difference
from ttscale.stats.arrays import FloatArray

RATIOS = (0.16, 0.79, 22.0)
"""Inference tokens over pre-training tokens, as Snell et al. (2024) have them."""


def flops_matched_samples(
    size_ratio: npt.ArrayLike, inference_over_pretraining: npt.ArrayLike
) -> FloatArray:
    """Samples the small model may draw where a model `size_ratio` times larger answers once.

    Pre-training takes 6 N D_pre FLOPs and inference 2 N D_inf; the larger model costs M times
    both, and the small one k times its inference: k = M + 3 (M − 1) / R with R = D_inf / D_pre.
    Broadcasts. Source: Snell et al., 2024 (2408.03314), section 7.

    Raises InputError for a size ratio below 1 or R not above 0.
    """
    ratio = np.asarray(size_ratio, dtype=np.float64)
    share = np.asarray(inference_over_pretraining, dtype=np.float64)
    if not np.all(ratio >= 1):
        raise InputError("the larger model is at least as large", where="size_ratio", got=ratio)
    if not np.all(share > 0):
        raise InputError(
            "the ratio of tokens is above zero", where="inference_over_pretraining", got=share
        )
    return np.asarray(ratio + 3 * (ratio - 1) / share, dtype=np.float64)


class Match(NamedTuple):
    """A small model's many samples against one of a large model.

    Attributes
    ----------
    small, large : points, see `ttscale.plan.points`.
    basis : `inference` for equal cost of one problem's answer, or the ratio R of tokens for equal
        FLOPs with pre-training.
    limit : what equal cost allows: for `inference` the large model's cost of one sample, else
        samples of the small one.
    difference : accuracy of the small model's point minus the large one's; None, as is `small`,
        where its pool does not reach that far.
    """

    small: int | None
    large: int
    selector: str
    small_model: str
    large_model: str
    basis: float | str
    limit: float
    difference: Difference | None


def matches(
    points: Points, parameters: Mapping[str, int], dimension: str, rng: np.random.Generator
) -> list[Match]:
    """Every smaller model against every larger one.

    parameters: active parameters by model name, of those that are known; the others are ordered by
    the cost of one sample, and compared at equal inference cost only.
    """
    singles = [
        int(np.flatnonzero(points.candidate == index)[0])
        for index, each in enumerate(points.candidates)
        if each.selector == "single" and each.model
    ]
    found = []
    for large in singles:
        for small in singles:
            one, many = points.of(large), points.of(small)
            assert one.model and many.model, "singles without a model are left out"
            known = one.model in parameters and many.model in parameters
            bases: list[tuple[float | str, float]] = []
            if one.model == many.model:
                continue
            if points.cost[small] < points.cost[large] and dimension not in COUNTED:
                bases.append(("inference", float(points.cost[large])))
            if known and parameters[many.model] < parameters[one.model]:
                ratio = parameters[one.model] / parameters[many.model]
                allowed = flops_matched_samples(ratio, RATIOS)
                bases += list(zip(RATIOS, allowed.tolist(), strict=True))
            for basis, limit in bases:
                found += _against(points, small, large, basis, limit, rng)
    return found


def _against(
    points: Points,
    small: int,
    large: int,
    basis: float | str,
    limit: float,
    rng: np.random.Generator,
) -> list[Match]:
    """The small model's selectors at a limit of cost (`inference`) or of samples."""
    few, one = points.of(small), points.of(large)
    found = []
    for index, each in enumerate(points.candidates):
        if (each.source, each.sample_set) != (few.source, few.sample_set) or each.bound:
            continue
        if each.selector == "single":
            continue
        mine = np.flatnonzero(points.candidate == index)
        spent = points.cost[mine] if basis == "inference" else points.n[mine].astype(np.float64)
        fits = mine[spent <= limit * (1 + CLOSE)]
        if not len(fits):
            continue
        reached = len(fits) < len(mine) or np.isclose(spent[-1], limit)
        point = int(fits[-1]) if reached else None
        gap = None if point is None else difference(points, point, large, rng)
        found.append(
            Match(point, large, each.selector, few.model or "", one.model or "", basis, limit, gap)
        )
    return found
