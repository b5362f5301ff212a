"""How sure a model was of what it wrote, from the log-probabilities of its likeliest tokens.

Token confidence is minus the mean log-probability of the likeliest tokens at a place: the larger,
the surer (Fu et al., 2025, 2508.15260, eq. 2).
"""

from __future__ import annotations

import math
from array import array
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ttscale.errors import InputError
from ttscale.trace import Path

Trust = Literal["mean", "tail", "bottom", "lowest"]
"""Which part of a trace its confidence is of: all, the last group, the lowest tenth of the groups,
or the lowest group."""

LOWEST_SHARE = 0.1


def token_confidences(path: Path) -> NDArray[np.float64]:
    """Confidence of each generated token of a path; words that were put in have none.

    Raises InputError where the engine tells none though `sampling.top_logprobs` asked for them.
    """
    spans = [node for node in path.lineage() if node.stream is not None]
    values: array[float] = array("f")
    for span in spans:
        if len(span.token_ids) and not len(span.confidences):
            raise InputError(
                "this strategy weighs token confidences, and the engine tells none",
                where="model",
                hint="an engine that gives the likeliest tokens' log-probabilities, such as vllm",
            )
        values += span.confidences
    return np.asarray(values, dtype=np.float64)


def self_certainty(confidences: ArrayLike, n_likeliest: int) -> float:
    """Mean over tokens of KL(uniform || model) over the k likeliest tokens; NaN without tokens.

    Mean token confidence less log k (Kang et al., 2025, 2502.18581), log-probabilities not being
    normalised anew over the k.
    """
    values = np.asarray(confidences, dtype=np.float64)
    return float(values.mean() - math.log(n_likeliest)) if len(values) else math.nan


def group_confidences(confidences: ArrayLike, window: int) -> NDArray[np.float64]:
    """Mean of every `window` tokens in a row; the mean of all if there are fewer; (G,)."""
    values = np.asarray(confidences, dtype=np.float64)
    if len(values) <= window:
        return values.mean(keepdims=True) if len(values) else values
    sums = np.concatenate([[0.0], np.cumsum(values)])
    groups: NDArray[np.float64] = (sums[window:] - sums[:-window]) / window
    return groups


def trace_confidence(confidences: ArrayLike, window: int, trust: Trust) -> float:
    """One confidence for a trace; NaN without tokens. DeepConf (2508.15260), sec. 3.

    `bottom` is the mean of the lowest tenth of the groups, at least one.
    """
    values = np.asarray(confidences, dtype=np.float64)
    if not len(values):
        return math.nan
    match trust:
        case "mean":
            return float(values.mean())
        case "tail":
            return float(values[-window:].mean())
        case "lowest":
            return float(group_confidences(values, window).min())
        case "bottom":
            groups = np.sort(group_confidences(values, window))
            return float(groups[: max(1, int(LOWEST_SHARE * len(groups)))].mean())


def bar(confidences: ArrayLike, keep: float) -> float:
    """The confidence that a share `keep` of traces reaches: their (1 - keep) quantile.

    NaN counts as lowest; -inf where no trace has a confidence.
    """
    values = np.asarray(confidences, dtype=np.float64)
    known = values[~np.isnan(values)]
    return float(np.quantile(known, 1.0 - keep)) if len(known) else -math.inf
