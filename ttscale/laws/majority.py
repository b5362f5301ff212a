"""Where majority vote ends: limits, the approach to them, and votes that are correlated."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, comb

from ttscale.laws.grid import Array, grid_for
from ttscale.laws.mixing import beta as beta_mixture

N_GRID = 4096


def majority_right(p: ArrayLike, n_votes: ArrayLike) -> Array:
    """P(majority of `n_votes` independent votes is right), each right with probability p.

    Two answers; an even number of votes ties at random and so equals one vote less. Broadcasts.
    Maj_b(p) = I_p((b+1)/2, (b+1)/2), the regularised incomplete Beta function.
    """
    half: Array = np.floor((np.asarray(n_votes, dtype=np.float64) + 1) / 2)
    chance: Array = np.asarray(p, dtype=np.float64)
    return np.asarray(betainc(half, half, chance), dtype=np.float64)


def modal_right_share(alpha: ArrayLike, beta: ArrayLike) -> Array:
    """Share of problems whose modal answer is right, P(p > 1/2) for p ~ Beta(alpha, beta)."""
    a, b = np.asarray(alpha, dtype=np.float64), np.asarray(beta, dtype=np.float64)
    return 1 - np.asarray(betainc(a, b, 0.5), dtype=np.float64)


def majority_approach(alpha: float, beta: float) -> float:
    """c in accuracy(k) = A_inf - c/k + o(1/k): a slope of the density at 1/2, g'(1/2) / 8.

    For p ~ Beta(alpha, beta), so that g'(1/2) = 2 (alpha - beta) g(1/2); c may be negative.
    """
    from scipy.stats import beta as beta_distribution

    return float(2 * (alpha - beta) * beta_distribution.pdf(0.5, alpha, beta) / 8)


def votes_for_gap(c: float, epsilon: float) -> float:
    """Votes after which majority is within epsilon of its limit: |c| / epsilon."""
    return abs(c) / epsilon


def correlated_majority(p: ArrayLike, n_votes: ArrayLike, rho: ArrayLike) -> Array:
    """Majority under a common cause: with probability rho all voters copy one vote.

    rho p + (1 - rho) Maj_b(p); the correlation of any two votes' correctness is rho.
    """
    rho = np.asarray(rho, dtype=np.float64)
    return np.asarray(rho * np.asarray(p) + (1 - rho) * majority_right(p, n_votes))


def effective_votes(n_votes: ArrayLike, rho: ArrayLike) -> Array:
    """Independent votes that n correlated ones are worth: n / (1 + (n-1) rho), at most 1/rho."""
    n = np.asarray(n_votes, dtype=np.float64)
    return np.asarray(n / (1 + (n - 1) * np.asarray(rho)))


def signal_gain(n_votes: int) -> float:
    """How much an odd vote of b amplifies a weak signal: b C(b-1, (b-1)/2) / 2^(b-1)."""
    return float(n_votes * comb(n_votes - 1, (n_votes - 1) // 2) / 2.0 ** (n_votes - 1))


def critical_fidelity(n_votes: int, rho: float) -> float:
    """Message fidelity above which a tree of b-way votes amplifies: 1 / (rho + (1-rho) f_b'(0)).

    The phase transition of 2601.17311, theorem 4.
    """
    return 1 / (rho + (1 - rho) * signal_gain(n_votes))


@lru_cache(maxsize=16)
def _majority_table(budgets: tuple[float, ...]) -> Array:
    """Maj_k at the nodes of the majority law's grid, shape (M, K)."""
    table: Array = majority_right(grid_for(N_GRID).p[:, None], np.array(budgets))
    return table


def majority_mixture(budget: Array, free: Array) -> tuple[Array, Array]:
    """accuracy(k) = E Maj_k(p), p ~ Beta(alpha, beta): the limit is P(the modal answer is right).

    Problems with p > 1/2 rise to one and the others fall to zero, so the mean may go either way.
    """
    grid = grid_for(N_GRID)
    mixture = beta_mixture(grid, free)
    if budget.ndim == 1:
        table = _majority_table(tuple(budget.tolist()))
        return mixture.weights @ table, mixture.slopes @ table
    votes = majority_right(grid.p, budget)
    value = (mixture.weights * votes).sum(axis=1, keepdims=True)
    return value, (mixture.slopes * votes).sum(axis=2, keepdims=True)
