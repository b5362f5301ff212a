"""Equivalence classes of mathematical answers: union-find over pairs that are the same.

Equality is closed transitively, so the classes cannot depend on the order of the answers. Plain
numbers are sorted into classes by value; only formulas are compared in pairs, and a pair whose
classes have met already is not compared at all.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from fractions import Fraction

from ttscale.benchmark.grading import plain

STRIKES = 3
"""How many comparisons of an answer may come to nothing before it is compared no further."""

Same = Callable[[str, str], Awaitable[bool | None]]


class Partition:
    """Disjoint sets of strings (union by arrival, paths halved)."""

    def __init__(self, members: Iterable[str]) -> None:
        self._leader = {member: member for member in members}

    def find(self, member: str) -> str:
        """The representative of a member's set."""
        leader = self._leader
        while leader[member] != member:
            leader[member] = leader[leader[member]]
            member = leader[member]
        return member

    def join(self, a: str, b: str) -> None:
        """Make one set of two."""
        self._leader[self.find(b)] = self.find(a)


async def partition(answers: Sequence[str], same: Same) -> Partition:
    """The classes of distinct answers, as `plain.mathematics` leaves them.

    Parameters
    ----------
    answers : distinct strings.
    same : whether two of them are equal; None where that cannot be told. Such a pair joins nothing
        and is held against the one that has not been compared with success before, else against
        the earlier one; an answer with `STRIKES` of them is compared no further.
    """
    parts = Partition(answers)
    numbers = {a: number for a in answers if (number := plain.number(a)) is not None}
    _join_numbers(numbers, parts)
    compared = list({number: answer for answer, number in numbers.items()}.values())
    strikes = dict.fromkeys(answers, 0)
    for answer in answers:
        if answer not in numbers and not plain.too_much(answer):
            await _join_formula(answer, compared, parts, strikes, same)
            compared.append(answer)
    return parts


def _join_numbers(numbers: dict[str, plain.Number], parts: Partition) -> None:
    """Join the numbers that `plain.same_number` holds equal, without going through the pairs."""
    near: defaultdict[Fraction, list[str]] = defaultdict(list)
    for answer, number in numbers.items():
        near[number.rounded].append(answer)
    for group in near.values():
        decimals = [answer for answer in group if not numbers[answer].exact]
        firsts: dict[Fraction, str] = {}
        for answer in group:
            parts.join(firsts.setdefault(numbers[answer].value, answer), answer)
            if decimals and not numbers[answer].whole:
                parts.join(decimals[0], answer)


async def _join_formula(
    answer: str, others: Iterable[str], parts: Partition, strikes: dict[str, int], same: Same
) -> None:
    """Compare a formula with the others it is not joined to, one of each class at a time."""
    left, sane = set(others), False
    while strikes[answer] < STRIKES:
        firsts: dict[str, str] = {}
        for other in others:
            if other in left and strikes[other] < STRIKES:
                firsts.setdefault(parts.find(other), other)
        firsts.pop(parts.find(answer), None)
        batch = list(firsts.values())[:STRIKES]  # few, for each may take all the time it is given
        if not batch:
            return
        left.difference_update(batch)
        verdicts = await asyncio.gather(*(same(answer, other) for other in batch))
        sane = sane or any(verdict is not None for verdict in verdicts)
        for other, verdict in zip(batch, verdicts, strict=True):
            if verdict is None:
                strikes[other if sane else answer] += 1
            elif verdict:
                parts.join(answer, other)
