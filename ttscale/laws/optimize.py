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
# Expected gain below which the last step corrects the curvature.
NEAR = 0.1
# Fits looked at together: their tables then stay in the processor's cache.
BLOCK = 100


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
    value, gradient, curvature = _in_blocks(objective, free, rows)
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
        new_value, new_gradient, new_curvature = _in_blocks(objective, trial, rows)
        better = new_value > value[rows]
        kept = rows[better]
        bent = _secant(
            new_curvature[better], trial[better] - free[kept], gradient[kept] - new_gradient[better]
        )
        near = decrement[~done][better] < NEAR
        curvature[kept] = np.where(near[:, None, None], bent, new_curvature[better])
        free[kept], value[kept] = trial[better], new_value[better]
        gradient[kept] = new_gradient[better]
        damping[kept] = np.maximum(damping[kept] / 5, 1e-9)
        damping[rows[~better]] *= 10
        # No step, however short, climbs: this is the top to machine precision.
        stuck = damping[rows] > 1e8
        converged[rows[stuck]] = True
        rows = rows[~stuck]
    return Optimum(free, value, converged)


def _in_blocks(
    objective: Objective, free: Array, rows: NDArray[np.intp]
) -> tuple[Array, Array, Array]:
    """The objective at `free` (A, D) of rows (A,), a block at a time."""
    parts = [
        objective(free[i : i + BLOCK], rows[i : i + BLOCK]) for i in range(0, len(rows), BLOCK)
    ]
    value, gradient, curvature = (np.concatenate(part) for part in zip(*parts, strict=True))
    return value, gradient, curvature


def _secant(curvature: Array, step: Array, fall: Array) -> Array:
    """Curvature (B, D, D) that explains the fall of the gradient over the last step, each (B, D).

    The BFGS update. Curvatures of a likelihood are outer products of scores, and miss what curves
    its probabilities themselves; with the last step's correction the climb converges faster than
    linearly. Left alone where the objective was not concave along the step.
    """
    push = (curvature @ step[:, :, None])[:, :, 0]
    expected, seen = (step * push).sum(axis=1), (step * fall).sum(axis=1)
    concave = seen > 1e-3 * expected
    expected, seen = np.where(concave, expected, np.inf), np.where(concave, seen, np.inf)
    bent: Array = curvature - push[:, :, None] * push[:, None, :] / expected[:, None, None]
    bent += fall[:, :, None] * fall[:, None, :] / seen[:, None, None]
    return bent
