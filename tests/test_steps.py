"""Steps: where they end in a text, which tokens complete them, and what their scores become."""

from __future__ import annotations

import math
from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscale.aggregate import aggregate
from ttscale.prefixes import Prefixes
from ttscale.steps import split, text_ends
from ttscale.strategy import Until
from ttscale.trace import TOKEN

LINE = Until(text=("\n",))


def pieces(text: str, until: Until) -> list[str]:
    ends = text_ends(text, until)
    return [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]


def test_a_step_ends_with_its_delimiter_and_the_last_with_the_text() -> None:
    assert pieces("a\nb\nc", LINE) == ["a\n", "b\n", "c"]
    assert pieces("a\nb\n", LINE) == ["a\n", "b\n"]
    assert pieces("no delimiter", LINE) == ["no delimiter"]
    assert pieces("", LINE) == []


def test_white_space_belongs_to_the_step_before_it() -> None:
    assert pieces("a\n\n\nb\n \n", LINE) == ["a\n\n\n", "b\n \n"]
    assert pieces("\n\na\nb", LINE) == ["\n\na\n", "b"]
    assert pieces(" \n \n", LINE) == []


def test_a_pattern_and_several_delimiters() -> None:
    assert pieces("one. two! three", Until(text=(".", "!"))) == ["one.", " two!", " three"]
    assert pieces("Step 1: aStep 2: b", Until(pattern=r"(?=Step)")) == ["Step 1: aStep 2: b"]
    assert pieces("x = 1; y = 2;", Until(pattern=r";\s*")) == ["x = 1; ", "y = 2;"]


@given(st.text(alphabet="ab\n ", max_size=40))
def test_steps_make_up_the_text_and_none_is_blank(text: str) -> None:
    steps = pieces(text, LINE)
    assert "".join(steps) == (text if text.strip() else "")
    assert all(step.strip() for step in steps)


def test_the_token_that_completes_a_step_is_found_inside_it() -> None:
    """Tokens of three characters: the delimiter may stand in the middle of one."""
    text = "aaaa\nbbb\n\ncc"
    tokens = [text[i : i + 3] for i in range(0, len(text), 3)]

    def decode(ids: object) -> str:
        return "".join(tokens[i] for i in ids)  # type: ignore[attr-defined]

    steps = split(array(TOKEN, range(len(tokens))), text, LINE, decode)
    assert steps.texts == ["aaaa", "bbb", "cc"]
    assert steps.ends == [1, 3, 3]
    assert decode(range(steps.ends[0] + 1)) == "aaaa\nb"


def test_steps_of_a_number_of_tokens() -> None:
    def decode(ids: object) -> str:
        return "".join(chr(i) for i in ids)  # type: ignore[attr-defined]

    text = "abcdefgh"
    steps = split(array(TOKEN, map(ord, text)), text, Until(n_tokens=3), decode)
    assert steps == (["abc", "def", "gh"], [2, 5, 7])


@pytest.mark.parametrize(
    ("how", "value"),
    [("last", 0.5), ("min", 0.2), ("product", 0.8 * 0.2 * 0.5), ("mean", 0.5), ("model", 0.5)],
)
def test_aggregates(how: str, value: float) -> None:
    assert aggregate([0.8, 0.2, 0.5], how) == pytest.approx(value)  # type: ignore[arg-type]
    assert math.isnan(aggregate([], how))  # type: ignore[arg-type]


def test_a_missing_score_is_not_the_least() -> None:
    assert math.isnan(aggregate([math.nan, 0.5], "min"))
    assert math.isnan(aggregate([0.5, math.nan], "min"))


@given(st.lists(st.lists(st.integers(0, 2**31 - 1).map(lambda n: n % 3), max_size=6), max_size=12))
def test_the_longest_common_prefix_is_that_of_all_pairs(sequences: list[list[int]]) -> None:
    prefixes = Prefixes()
    for index, sequence in enumerate(sequences):
        expected = 0
        for other in sequences[:index]:
            same = [int(a == b) for a, b in zip(sequence, other, strict=False)]
            expected = max(expected, int(np.cumprod(same).sum()))
        assert prefixes.add(array(TOKEN, sequence)) == expected
