"""The exact chance that a class wins a plurality vote of k draws, for many problems at once.

Draw every sample independently with chance theta (any theta will do; k/n is best): class j then
gets Binomial(n_j, theta) votes, independently of the others, and given that k were drawn in all
the draw is a uniform k-subset. So, with S the number drawn,

    P(class 1 wins | S = k) = 1/P(S = k) * [z^k] sum_m P(X_1 = m) z^m *
        integral_0^1 prod_{rivals j} ( sum_{x<m} P(X_j = x) z^x + u P(X_j = m) z^m ) du * rest(z)

where u counts ties (the integral of u^t is 1/(1+t): the uniform tie-break), and rest(z) are the
samples that cannot win: abstentions, and classes too small to reach m. The coefficient of z^k is
read off by a discrete Fourier transform whose length is about eight standard deviations of S, not
n; the integral by Gauss-Legendre nodes. Nothing is random. Dropped are only events whose chance is
below 1e-12 of P(S = k), so values are right to 1e-9. An infinite pool is the same with Poisson
votes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ttscale.stats.arrays import FloatArray, IntArray
from ttscale.stats.binomials import log_factorials

ComplexArray: TypeAlias = npt.NDArray[np.complex128]

_NEGLIGIBLE = 1e-12
_CELLS = 1 << 24  # chances held at a time: 128 MiB, and as much again two or three times
_CHUNK = 1 << 16  # complex numbers worked on at a time: one megabyte, so that it stays in cache


@dataclass(frozen=True)
class Subset:
    """Subsets of k from a pool: a class of s samples has Binomial(s, theta) of them drawn."""

    k: int
    theta: float

    def votes(self, sizes: FloatArray, most: int) -> FloatArray:
        """Chance (sizes, most + 1) of a class of each size to get x = 0 .. most votes."""
        s, x = sizes.astype(np.int64)[:, None], np.arange(most + 1)
        table = log_factorials(max(int(s.max(initial=0)), most))
        unseen = np.maximum(s - x, 0)
        log_chance = table[s] - table[x] - table[unseen]
        log_chance += x * math.log(self.theta) + unseen * math.log1p(-self.theta)
        return np.where(x <= s, np.exp(np.where(x <= s, log_chance, 0.0)), 0.0)

    def moments(self, sizes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean and variance of the votes of a class of each size."""
        mean = sizes * self.theta
        return mean, mean * (1.0 - self.theta)

    def log_total(self, totals: FloatArray) -> FloatArray:
        """log P(S = k) in pools of these sizes."""
        n = totals.astype(np.int64)
        table = log_factorials(int(n.max(initial=self.k)))
        choices: FloatArray = table[n] - table[self.k] - table[n - self.k]
        return choices + self.k * math.log(self.theta) + (n - self.k) * math.log1p(-self.theta)

    def log_transform(self, z: ComplexArray) -> ComplexArray:
        """log E[z^votes] per unit of size."""
        return np.log1p(self.theta * (z - 1.0))


@dataclass(frozen=True)
class Independent:
    """k independent draws: a class of probability p gets Poisson(k p) votes."""

    k: int

    def votes(self, sizes: FloatArray, most: int) -> FloatArray:
        """As `Subset.votes`; sizes are probabilities."""
        rate, x = self.k * sizes[:, None], np.arange(most + 1)
        log_rate = np.log(np.where(rate > 0, rate, 1.0))
        log_chance = x * log_rate - rate - log_factorials(most)[: most + 1]
        return np.where((rate > 0) | (x == 0), np.exp(log_chance), 0.0)

    def moments(self, sizes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """As `Subset.moments`."""
        mean = self.k * sizes
        return mean, mean

    def log_total(self, totals: FloatArray) -> FloatArray:
        """As `Subset.log_total`."""
        chance = self.k * math.log(self.k) - self.k - math.lgamma(self.k + 1)
        return np.full(len(totals), chance)

    def log_transform(self, z: ComplexArray) -> ComplexArray:
        """log E[z^votes] per unit of probability."""
        return self.k * (z - 1.0)


Thinning: TypeAlias = Subset | Independent


@dataclass(frozen=True)
class Ballots:
    """One row per question "does this class win?", with what stands against it.

    own: (rows,) size of the class. kind: (rows, kinds) index into the rivals' kinds, largest
    first, padded with the last kind, which is no rival. A kind is `kind_number` classes of one
    `kind_size`. total: (rows,) size of the whole pool. unrepeated: (rows,) mass of answers that
    never come twice (infinite pools only).
    """

    own: FloatArray
    kind: IntArray
    kind_size: FloatArray
    kind_number: IntArray
    total: FloatArray
    unrepeated: FloatArray

    def only(self, rows: IntArray) -> Ballots:
        """The ballots of some rows, with the kinds that stand in them."""
        padding = len(self.kind_size) - 1
        used = np.unique(np.append(self.kind[rows], padding))
        return Ballots(
            self.own[rows],
            np.searchsorted(used, self.kind[rows]),
            self.kind_size[used],
            self.kind_number[used],
            self.total[rows],
            self.unrepeated[rows],
        )


def ballots(
    own: FloatArray, rivals: FloatArray, total: FloatArray, unrepeated: FloatArray
) -> Ballots:
    """Group each row's rivals (rows, classes; zeros are padding) into kinds of equal size."""
    ordered = -np.sort(-rivals, axis=1)
    row, column = np.nonzero(ordered)
    size = ordered[row, column]
    starts = np.flatnonzero(
        np.diff(row, prepend=-1).astype(bool) | (np.diff(size, prepend=-1) != 0)
    )
    number = np.diff(starts, append=len(row))
    row, size = row[starts], size[starts]
    kinds, kind = np.unique(np.stack([size, number], axis=1), axis=0, return_inverse=True)
    place = np.arange(len(row)) - np.searchsorted(row, row, side="left")
    index = np.full((len(own), int(place.max(initial=0)) + 1), len(kinds))
    index[row, place] = kind.ravel()
    kinds = np.concatenate([kinds.reshape(-1, 2), [[0.0, 0.0]]])
    return Ballots(own, index, kinds[:, 0], kinds[:, 1].astype(np.int64), total, unrepeated)


def win_probability(votes: Ballots, thinning: Thinning) -> FloatArray:
    """P(the row's class wins) for every row; uniform ties, a draw of abstentions has no winner."""
    won = _decided(votes, thinning)
    rows = np.flatnonzero(np.isnan(won))
    left = votes.only(rows)
    largest = max(left.own.max(initial=0), left.kind_size[left.kind].max(initial=0))
    most = thinning.k if isinstance(thinning, Independent) else min(thinning.k, int(largest))
    n_sizes = len(np.unique(np.concatenate([left.own, left.kind_size])))
    step = len(rows)
    if n_sizes * (most + 1) > _CELLS:
        step = max(1, _CELLS // ((left.kind.shape[1] + 1) * (most + 1)))
    for at in range(0, len(rows), max(1, step)):
        part = rows[at : at + step]
        won[part] = _counted(votes.only(part), thinning)
    return won


def _decided(votes: Ballots, thinning: Thinning) -> FloatArray:
    """1 or 0 where the classes' votes are too far apart for another end, NaN elsewhere.

    By Bernstein's inequality the votes of a class are within t of their mean, but for a chance of
    exp(-t^2 / (2 (variance + t/3))) on either side.
    """
    slack = np.maximum(0.0, -math.log(_NEGLIGIBLE) - thinning.log_total(votes.total))

    def ends(sizes: FloatArray) -> tuple[FloatArray, FloatArray]:
        mean, variance = thinning.moments(sizes)
        reach = slack / 3 + np.sqrt(slack**2 / 9 + 2 * slack * variance)
        reach = np.where(sizes > 0, reach, 0.0)
        return mean - reach, mean + reach

    low, high = ends(votes.own)
    rival_low, rival_high = ends(votes.kind_size[votes.kind[:, 0]])
    won = np.where(low > np.maximum(rival_high, votes.unrepeated > 0), 1.0, np.nan)
    return np.where(rival_low > high, 0.0, won)


def _counted(votes: Ballots, thinning: Thinning) -> FloatArray:
    """As `win_probability`, the tables of all rows at once."""
    k = thinning.k
    pools, of_pool = np.unique(votes.total, return_inverse=True)
    reach = k + 14 * math.isqrt(k) + 40 if isinstance(thinning, Independent) else int(pools[-1])
    drawn = thinning.votes(pools, reach)
    negligible = _NEGLIGIBLE * float(drawn[:, k].min())
    transform = _Transform.reading(k, *_bulk(drawn, negligible))

    sizes, of_size = np.unique(np.concatenate([votes.own, votes.kind_size]), return_inverse=True)
    own, kind = of_size[: len(votes.own)], of_size[len(votes.own) :]
    most = k if isinstance(thinning, Independent) else min(k, int(sizes[-1]))
    chance = thinning.votes(sizes, most)
    lowest, highest = _bulk(chance, negligible)
    rival = kind[votes.kind[:, 0]]  # the largest one
    sure = lowest[own] > np.maximum(highest[rival], votes.unrepeated > 0)
    first = np.maximum(np.maximum(lowest[own], lowest[rival]), 1)
    last = np.where(sure, 0, highest[own])

    poll = _Poll(votes, thinning, transform, chance, own, kind, highest[kind])
    won = np.zeros(len(own))
    m = int(np.min(first, where=first <= last, initial=most))
    while m <= int(last.max()):
        rows = np.flatnonzero((first <= last) & (first <= m + m // 4) & (last >= m))
        gain, m_last = poll.wins(m, rows)
        won[rows] += gain
        m = m_last + 1
    won /= drawn[of_pool, k]
    return np.where(sure, 1.0, np.clip(won, 0.0, 1.0))


@dataclass(frozen=True)
class _Transform:
    """Roots of unity z, one of each conjugate pair, and what reads the coefficient of z^k there."""

    roots: ComplexArray
    nodes: IntArray
    weights: ComplexArray

    @classmethod
    def reading(cls, k: int, low: IntArray, high: IntArray) -> _Transform:
        """Long enough that no total in low .. high is mistaken for k."""
        length = int(max(k - low.min(), high.max() - k)) + 1 | 1  # odd: only z = 1 has no conjugate
        roots = np.exp(2j * np.pi * np.arange(length) / length)
        nodes = np.arange(length // 2 + 1)
        weights = np.where(nodes == 0, 1.0, 2.0) * roots[-k * nodes % length] / length
        return cls(roots, nodes, weights)

    def powers(self, m: IntArray) -> ComplexArray:
        """z^m, shape (m, z)."""
        power: ComplexArray = self.roots[m[:, None] * self.nodes % len(self.roots)]
        return power


@dataclass(frozen=True)
class _Poll:
    """All that a block of winning vote counts is counted from.

    chance: (sizes, votes) of a class of each size to get x votes; own: (rows,) and kind: (kinds,)
    index into its sizes; highest: (kinds,) the most votes that are not negligible.
    """

    votes: Ballots
    thinning: Thinning
    transform: _Transform
    chance: FloatArray
    own: IntArray
    kind: IntArray
    highest: IntArray

    def wins(self, m_first: int, rows: IntArray) -> tuple[FloatArray, int]:
        """P(S = k and a win with m votes) of the rows, m from m_first to the m given back."""
        votes, z = self.votes, self.transform.roots[self.transform.nodes]
        kinds = votes.kind[rows]
        threat = self.highest[kinds] >= m_first
        n_threats = threat.sum(axis=1)  # the first ones, as kinds are sorted by size
        used = np.unique(kinds[threat])
        numbers = votes.kind_number[kinds] * threat
        diverse = votes.unrepeated[rows]
        ties = self.thinning.k if diverse.any() else int(numbers.sum(axis=1).max(initial=0))
        m_last = min(self.chance.shape[1] - 1, m_first + m_first // 4)
        room = min(_CHUNK, 64 * _CHUNK // max(1, len(used))) // len(z)
        m, u, weight = _tie_rule(self.thinning.k, m_first, m_last, ties, room)

        factor, label = self._factors(used, m, u), np.searchsorted(used, kinds)
        phase = self.transform.powers(m)
        own_votes = self.chance[self.own[rows]][:, m] * weight
        silent = (
            votes.total[rows] - votes.own[rows] - (votes.kind_size[kinds] * numbers).sum(axis=1)
        )
        rest = np.exp(silent[:, None] * self.thinning.log_transform(z)) * self.transform.weights
        order, step = np.argsort(-n_threats), max(1, _CHUNK // phase.size)
        total = np.zeros(len(rows))
        for part in (order[at : at + step] for at in range(0, len(rows), step)):
            product = np.repeat(phase[None], len(part), axis=0)
            for column in range(int(n_threats[part[0]])):
                live = part[n_threats[part] > column]
                product[: len(live)] *= factor[label[live, column]]
            if m_first == 1 and diverse.any():
                mass = self.thinning.k * diverse[part]
                product *= np.exp(mass[:, None, None] * ((u - 1.0)[:, None] * z))
            summed = np.einsum("rj,rjz->rz", own_votes[part], product)
            total[part] = (rest[part] * summed).sum(axis=1).real
        return total, int(m[-1])

    def _factors(self, used: IntArray, m: IntArray, u: FloatArray) -> ComplexArray:
        """sum_{x<m} P(X=x) z^x + u P(X=m) z^m, to the power of a kind's number: (used, m, z)."""
        chance, number = self.chance[self.kind[used]], self.votes.kind_number[used]
        first, last = int(m[0]), int(m[-1])
        powers = self.transform.powers(np.arange(last + 1))
        start, low = chance[:, :first], powers[:first]
        before = start @ low.real + 1j * (start @ low.imag)
        terms = chance[:, first : last + 1, None] * powers[first:]
        below = np.cumsum(terms, axis=1) + (before[:, None] - terms)
        factors: ComplexArray = below[:, m - first] + u[:, None] * terms[:, m - first]
        factors[number > 1] **= number[number > 1][:, None, None]
        return factors


def _bulk(chance: FloatArray, negligible: float) -> tuple[IntArray, IntArray]:
    """Per row the least and greatest x outside which a negligible chance lies on either side."""
    below = (np.cumsum(chance, axis=1) <= negligible).sum(axis=1)
    above = (np.cumsum(chance[:, ::-1], axis=1) <= negligible).sum(axis=1)
    return below, chance.shape[1] - 1 - above


def _tie_rule(
    k: int, m_first: int, m_last: int, n_rivals: int, at_most: int
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Winning vote counts m from `m_first` on, each with nodes u and weights for the tie integral.

    With m votes for the winner at most k/m - 1 rivals can tie, so the integrand is a polynomial in
    u of that degree t: floor(t/2) + 1 Gauss nodes integrate it exactly, and 2.5 sqrt(t) + 4 to
    1e-11, because its coefficients are chances.
    """
    counts: list[IntArray] = []
    points: list[FloatArray] = []
    weights: list[FloatArray] = []
    size = 0
    for m in range(m_first, m_last + 1):
        ties = max(0, min(k // m - 1, n_rivals))
        u, weight = _gauss(min(ties // 2 + 1, math.ceil(2.5 * math.sqrt(ties)) + 4))
        size += len(u)
        if size > at_most and counts:
            break
        counts.append(np.full(len(u), m))
        points.append(u)
        weights.append(weight)
    return np.concatenate(counts), np.concatenate(points), np.concatenate(weights)


@lru_cache(maxsize=512)
def _gauss(n_nodes: int) -> tuple[FloatArray, FloatArray]:
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    return (nodes + 1.0) / 2.0, weights / 2.0
