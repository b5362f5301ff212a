"""Equivalence classes are connected components, whatever the order, and cost few comparisons."""

import asyncio
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from ttscale.benchmark.grading import plain
from ttscale.benchmark.grading.classes import STRIKES, partition

NAMES = [f"x_{i}" for i in range(8)]


def classes(answers, same):
    """The classes as a set of sets, and the pairs that were compared."""
    asked = []

    async def counted(a, b):
        asked.append((a, b))
        return same(a, b)

    parts = asyncio.run(partition(answers, counted))
    found = {}
    for answer in answers:
        found.setdefault(parts.find(answer), set()).add(answer)
    return {frozenset(group) for group in found.values()}, asked


def components(answers, same):
    """The same by brute force: reachability over all pairs."""
    reach = {a: {b for b in answers if a == b or same(a, b) or same(b, a)} for a in answers}
    for middle, left in itertools.product(answers, repeat=2):
        if middle in reach[left]:
            reach[left] |= reach[middle]
    return {frozenset(group) for group in reach.values()}


@settings(max_examples=200)
@given(st.sets(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES))), st.permutations(NAMES))
def test_classes_are_components_in_any_order(edges, order):
    def same(a, b):
        return (a, b) in edges or (b, a) in edges

    found, asked = classes(order, same)
    assert found == components(NAMES, same)
    assert len({frozenset(pair) for pair in asked}) == len(asked)  # no pair twice


NUMBERS = ["1", "1.0", "01", "2", "3/6", "0.5", "0.5000001", "1/3", "0.333333", "2/6", "0.3333333",
           "1.0000001", "-1", "333333/1000000"]  # fmt: skip


@settings(max_examples=200)
@given(st.lists(st.sampled_from(NUMBERS), unique=True, min_size=1))
def test_numbers_need_no_comparison(answers):
    def same(a, b):
        return plain.same_number(plain.number(a), plain.number(b))

    found, asked = classes(answers, same)
    assert found == components(answers, same)
    assert not asked


def test_classes_that_have_met_are_not_compared_again():
    found, asked = classes([f"x_{n}" for n in range(40)], lambda a, b: True)
    assert len(found) == 1
    assert len(asked) == 39
    found, asked = classes([*map(str, range(10)), "x", "y"], lambda a, b: False)
    assert len(found) == 12
    assert len(asked) == 10 + 11


def test_a_formula_that_cannot_be_compared_costs_three_comparisons_and_harms_no_other():
    def same(a, b):
        return None if "bad" in (a, b) else a[0] == b[0]

    sane = [f"{letter}{i}" for letter in "abcdef" for i in "xy"]
    for order in (["bad", *sane], [*sane, "bad"], [*sane[:5], "bad", *sane[5:]]):
        found, asked = classes(order, same)
        assert found == {frozenset(["bad"]), *(frozenset([f"{c}x", f"{c}y"]) for c in "abcdef")}
        assert sum("bad" in pair for pair in asked) <= 2 * STRIKES


def test_what_is_too_long_stays_alone():
    long = "x" * (plain.LONGEST + 1)
    found, asked = classes([long, "x", "y"], lambda a, b: True)
    assert found == {frozenset([long]), frozenset("xy")}
    assert len(asked) == 1
