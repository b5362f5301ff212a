"""Many small fits at once: damped Newton steps on a batch of objectives that share their data."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ttscale.laws.grid import Array

# Values, gradients and positive definite curvatures at free parameters (A, D) of rows (A,).
Objective = Callable[[Array, NDArray[np.intp]], tuple[Array, Array, Array]]

LARGEST_STEP = 2.0


class Optimum(NamedTuple):
    """Where each fit of a batch ended.

    Attributes
    ----------
    free : free parameters, shape (B, D).
    value : the objective there, shape (B,).
    converged : whether the expected further gain fell below the tolerance, shape (B,).
    """

    free: Array
    value: Array
    converged: NDArray[np.bool_]


def ascend(
    objective: Objective,
    free: Array,
    reach: Array,
    *,
    tolerance: float = 1e-6,
    n_steps: int = 100,
) -> Optimum:
    """Climb a batch of objectives from `free` (B, D), each by Levenberg–Marquardt steps.

    No parameter leaves [-reach, reach], shape (D,). A fit stops when its Newton decrement, which
    is twice the gain still to be had, is below `tolerance` (in units of log-likelihood), or after
    `n_steps`.
    """
    free = free.copy()
    n_fits, n_free = free.shape
    if n_fits == 0:
        return Optimum(free, np.empty(0), np.empty(0, dtype=bool))
    rows = np.arange(n_fits)
    value, gradient, curvature = objective(free, rows)
    damping = np.full(n_fits, 1e-3)
    converged = np.zeros(n_fits, dtype=bool)
    diagonal = np.eye(n_free)
    for _ in range(n_steps):
        scale = np.einsum("bdd->bd", curvature[rows])[:, :, None] * diagonal
        damped = curvature[rows] + damping[rows, None, None] * scale
        step = np.linalg.solve(damped, gradient[rows][:, :, None])[:, :, 0]
        decrement = (step * gradient[rows]).sum(axis=1)
        done = decrement < tolerance
        converged[rows[done]] = True
        rows, step = rows[~done], step[~done]
        if not len(rows):
            break
        longest = np.abs(step).max(axis=1, keepdims=True)
        step = step * np.minimum(1.0, LARGEST_STEP / np.maximum(longest, 1e-300))
        trial = np.clip(free[rows] + step, -reach, reach)
        new_value, new_gradient, new_curvature = objective(trial, rows)
        better = new_value > value[rows]
        kept = rows[better]
        free[kept], value[kept] = trial[better], new_value[better]
        gradient[kept], curvature[kept] = new_gradient[better], new_curvature[better]
        damping[kept] = np.maximum(damping[kept] / 5, 1e-9)
        damping[rows[~better]] *= 10
        # No step, however short, climbs: this is the top to machine precision.
        stuck = damping[rows] > 1e8
        converged[rows[stuck]] = True
        rows = rows[~stuck]
    return Optimum(free, value, converged)
