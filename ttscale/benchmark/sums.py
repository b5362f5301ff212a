"""Sums of single digits: a task of several steps that a model of 135M parameters can partly do."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from ttscale.benchmark.item import Item

_ADDITION = re.compile(r"(\d+(?: \+ \d+)+) = (\d+)")
_ANSWER = re.compile(r"Answer: (\d+)\.?")


def all_sums(terms: int, seed: int, without: Collection[str] = ()) -> list[Item]:
    """Every sum of `terms` digits from 1 to 9, each once, in an order that the seed draws.

    An id holds the terms, so it is the same whatever the seed: `sums4-3252` is `3 + 2 + 5 + 2`.

    Parameters
    ----------
    terms : how many digits a sum has.
    seed : of the order.
    without : questions to leave out, such as a prompt's worked examples.
    """
    sums = list(itertools.product(range(1, 10), repeat=terms))
    items = []
    for place in np.random.default_rng(seed).permutation(len(sums)).tolist():
        question = " + ".join(map(str, sums[place]))
        if question not in without:
            name = f"sums{terms}-{''.join(map(str, sums[place]))}"
            items.append(Item(name, question, str(sum(sums[place]))))
    return items


def right_steps(question: str, steps: Sequence[str]) -> list[bool]:
    """For each step of a response, whether it and all before it are right.

    The terms lie in a bag. A right line takes numbers out of it and puts their sum back; a right
    answer is the one number left. So the order of the additions is free, as it is in arithmetic.
    """
    bag = Counter(map(int, question.split(" + ")))
    found, right = [], True
    for step in steps:
        right = right and _take(bag, step.removesuffix("\n"))
        found.append(right)
    return found


def _take(bag: Counter[int], line: str) -> bool:
    """Carry one line out on the bag; whether that could be done."""
    if answer := _ANSWER.fullmatch(line):
        return list(bag.elements()) == [int(answer[1])]
    if not (addition := _ADDITION.fullmatch(line)):
        return False
    numbers = Counter(map(int, addition[1].split(" + ")))
    total = int(addition[2])
    if not numbers <= bag or sum(numbers.elements()) != total:
        return False
    bag -= numbers
    bag[total] += 1
    return True
