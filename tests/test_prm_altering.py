"""Altered steps: right ones with another number, wrong, and no claim about what stands before."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
import pytest

from ttscale.prm.altering import FARTHEST, alter
from ttscale.prm.labelling import Labelled, Sampled
from ttscale.prm.tree import tree
from ttscale.trace import TOKEN


def encode(text: str) -> list[int]:
    return [ord(character) for character in text]


def decode(ids: Sequence[int]) -> str:
    return "".join(map(chr, ids))


def response(*steps: str, right: bool, n_prefix: int = 0) -> Sampled:
    ends = tuple(np.cumsum([len(step) for step in steps]).tolist())
    ids = array(TOKEN, encode("".join(steps)))
    return Sampled(ids, ends, steps, right, n_prefix=n_prefix)


RIGHT = response("1 + 2 = 3\n", "3 + 9 = 12\n", "so: 12.", right=True)
ROLLED = response("1 + 2 = 3\n", "12, then", right=True, n_prefix=10)
WRONG = response("1 + 2 = 4\n", "so: 4.", right=False)
PROBLEM = Labelled("p", "1 + 2 + 9", array(TOKEN, encode("?")), [RIGHT, ROLLED, WRONG])


def altered(n: int, seed: int = 0) -> Labelled:
    return alter(PROBLEM, n, decode, encode, np.random.default_rng(seed))


def test_every_distinct_right_step_gets_wrong_versions_that_differ_in_its_last_number() -> None:
    found = altered(3)
    assert found.responses[:3] == PROBLEM.responses
    made = found.responses[3:]
    assert not any(one.right for one in made)
    begun = [("1 + 2 = ", 3, "\n"), ("1 + 2 = 3\n3 + 9 = ", 12, "\n")]
    begun += [("1 + 2 = 3\n3 + 9 = 12\nso: ", 12, "."), ("1 + 2 = 3\n", 12, ", then")]
    assert len(made) == 3 * len(begun)  # the first step, which two share, is altered once
    for before, value, behind in begun:
        own = [
            text.removeprefix(before).removesuffix(behind)
            for text in (decode(one.token_ids) for one in made)
            if text.startswith(before) and text.endswith(behind)
        ]
        numbers = [int(number) for number in own if number.isdigit()]
        assert len(set(numbers)) == 3
        assert all(0 < abs(number - value) <= FARTHEST and number >= 0 for number in numbers)


def test_an_altered_step_is_wrong_for_certain_and_says_nothing_of_the_steps_before() -> None:
    before, after = (tree(problem, n_shared=0) for problem in (PROBLEM, altered(2)))
    n = len(before.marks)
    assert after.n_total[:n].tolist() == before.n_total.tolist()
    assert after.n_right[:n].tolist() == before.n_right.tolist()
    assert set(after.n_right[n:].tolist()) == {0}
    assert set(after.weights(4)[n:].tolist()) == {1.0}
    assert after.visits == before.visits  # they are no solutions
    assert after.written.tolist() == before.written.tolist()


def test_near_numbers_are_taken_more_often_than_far_ones() -> None:
    distances = []
    for seed in range(400):
        first = decode(altered(1, seed).responses[3].token_ids)
        distances.append(abs(int(first.removeprefix("1 + 2 = ")) - 3))
    share = np.bincount(distances, minlength=FARTHEST + 1)[1:] / len(distances)
    odds = 1 / np.arange(1, FARTHEST + 1) * np.where(np.arange(1, FARTHEST + 1) <= 3, 2, 1)
    assert share == pytest.approx(odds / odds.sum(), abs=0.07)


@pytest.mark.parametrize("text", ["no number\n", "²\n", ""])
def test_a_step_without_a_number_stays_as_it_is(text: str) -> None:
    steps = (text,) if text else ()
    problem = PROBLEM._replace(responses=[response(*steps, right=True)])
    assert alter(problem, 5, decode, encode, np.random.default_rng(0)) == problem
