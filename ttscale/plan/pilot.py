"""Samples drawn one after another: what a vote is worth, and what its first samples foretell."""

from __future__ import annotations

import numpy as np

from ttscale.stats.arrays import FloatArray, IntArray


def vote_outcomes(
    classes: IntArray, weights: FloatArray, correct: FloatArray, orders: IntArray, ks: IntArray
) -> FloatArray:
    """Correctness of the heaviest answer among the first k samples of each order, (R, K).

    classes, weights, correct: (n,) of one problem; −1 abstains, a NaN weight casts no vote.
    orders: (R, n) permutations. ks: (K,) rising. Ties count with the mean over the tied answers; a
    class counts with the share of its samples that are right.
    """
    votes = (classes >= 0) & ~np.isnan(weights)
    names, seat = np.unique(np.where(classes >= 0, classes, -1), return_inverse=True)
    size, hits = np.bincount(seat), np.bincount(seat, weights=correct)
    share = np.where(names >= 0, hits / size, 0.0)
    n_orders, n_seats = len(orders), len(names)
    heavy, count = np.zeros((n_orders, n_seats)), np.zeros((n_orders, n_seats))
    outcomes = np.zeros((n_orders, len(ks)))
    row = np.arange(n_orders)[:, None] * n_seats
    start = 0
    for column, k in enumerate(ks):
        part = orders[:, start:k]
        cell = (row + seat[part]).ravel()
        cast = votes[part].ravel().astype(np.float64)
        weight = np.where(votes, weights, 0.0)[part].ravel()
        heavy += np.bincount(cell, weight, n_orders * n_seats).reshape(heavy.shape)
        count += np.bincount(cell, cast, n_orders * n_seats).reshape(count.shape)
        start = int(k)
        standing = np.where(count > 0, heavy, -np.inf)
        top = (standing >= standing.max(axis=1, keepdims=True) - 1e-12) & (count > 0)
        outcomes[:, column] = top @ share / np.maximum(top.sum(axis=1), 1)
    return outcomes


def best_outcomes(
    scores: FloatArray, correct: FloatArray, orders: IntArray, ks: IntArray
) -> FloatArray:
    """Correctness of the best-scored of the first k samples of each order, (R, K).

    Of equal scores the first drawn counts, which over random orders is a fair tie.
    """
    drawn = np.where(np.isnan(scores), -np.inf, scores)[orders]
    highest = np.maximum.accumulate(drawn, axis=1)
    is_new = np.ones(drawn.shape, dtype=np.bool_)
    is_new[:, 1:] = drawn[:, 1:] > highest[:, :-1]
    holder = np.maximum.accumulate(np.where(is_new, np.arange(drawn.shape[1]), 0), axis=1)
    winner = np.take_along_axis(orders, holder[:, ks - 1], axis=1)
    return np.asarray(correct[winner], dtype=np.float64)


def coverage_outcomes(correct: FloatArray, orders: IntArray, ks: IntArray) -> FloatArray:
    """Whether one of the first k samples of each order is right, (R, K)."""
    solved: FloatArray = np.maximum.accumulate(correct[orders], axis=1)[:, ks - 1]
    return solved


def agreement(classes: IntArray, orders: IntArray, n_pilot: int) -> FloatArray:
    """Share of the first samples of each order that give their most frequent answer, (R,)."""
    pilot = classes[orders[:, :n_pilot]]
    same = (pilot[:, :, None] == pilot[:, None, :]) & (pilot >= 0)[:, :, None]
    return np.asarray(same.sum(axis=2).max(axis=1) / n_pilot, dtype=np.float64)


def mean_score(scores: FloatArray, orders: IntArray, n_pilot: int) -> FloatArray:
    """Mean score of the first samples of each order, (R,); NaN where none has one."""
    pilot = scores[orders[:, :n_pilot]]
    known = ~np.isnan(pilot)
    total = np.where(known, pilot, 0.0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)
