"""Answers are found where the rules say, and hostile text costs no more than its length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscale.benchmark.config import Regex
from ttscale.benchmark.extract import extract


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("so 5 - 3 = 2.", "2"),
        ("10-3", "3"),
        ("x = -4", "-4"),
        ("it costs $1,234.50 in all", "1234.50"),
        ("-$70,000", "-70000"),
        ("3 apples and 4 pears", "4"),
        ("roughly 1.5e-3", "1.5e-3"),
        ("a half is .5", ".5"),
        ("1,2345", "2345"),
        ("**18**", "18"),
        ("x2 and H2O", None),
        ("none at all", None),
        ("٣", None),
    ],
)
def test_last_number(text, number):
    assert extract(text, "last_number") == number


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{5}", "5"),
        (r"\boxed{1} then \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{6} and, cut off, \boxed{7", "6"),
        (r"\boxed{5 and \boxed{6}", "6"),
        (r"\boxed{\boxed{7}}", "7"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed {a}", "a"),
        (r"\fbox{9}", "9"),
        (r"\boxed 8 is it", "8"),
        (r"\boxed{ }", None),
        ("}{", None),
        ("", None),
    ],
)
def test_boxed(text, content):
    assert extract(text, "boxed") == content


@given(st.recursive(st.text("ab+^_ ", max_size=3), lambda inner: inner.map("{{{}}}".format)))
def test_a_box_gives_back_what_was_put_in(content):
    assert extract(rf"{{so \boxed{{{content}}}}}", "boxed") == (content.strip() or None)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Answer: B", "B"),
        ("the answer is (C).", "C"),
        ("**Answer:** **D**", "D"),
        (r"The answer is $\boxed{A}$", "A"),
        (r"\boxed{\text{(B)}}", "B"),
        ("Answer: A\nno, wait\nAnswer: D", "D"),
        ("I would say (B)", "B"),
        ("because of this\n\nC.\n", "C"),
        ("A man walks into a bar", None),
        ("Answer: Both", None),
        ("", None),
    ],
)
def test_choice(text, letter):
    assert extract(text, "choice") == letter


def test_lines_and_the_whole():
    assert extract(" a\nb \n\n", "whole") == "a\nb"
    assert extract(" a\n b \n\n", "last_line") == "b"
    assert extract("\n \n", "last_line") is None


def test_patterns_give_the_last_match_and_its_group():
    assert extract("#### 1\n#### 70,000 \n", Regex(regex=r"####\s*(.*)")) == "70,000"
    assert extract("ab ac", Regex(regex="a.")) == "ac"
    assert extract("ab", Regex(regex="(x)?ab")) is None
    assert extract("none", Regex(regex="[0-9]")) is None


def test_the_first_rule_that_finds_something_counts():
    rule = ("boxed", Regex(regex=r"####\s*(\S+)"), "last_number")
    assert extract(r"#### 2 and \boxed{3} and 4", rule) == "3"
    assert extract("#### 2 and 4", rule) == "2"
    assert extract("2 and 4", rule) == "4"
    assert extract("nothing", rule) is None


@pytest.mark.parametrize("rule", ["whole", "last_line", "last_number", "boxed", "choice"])
@pytest.mark.parametrize(
    "piece", [r"\boxed{", "{", "}", "answer ", "answer is (", "\n", " ", "1,111,", "(A", "$", "-"]
)
def test_a_megabyte_of_anything_is_read_once(rule, piece):
    extract(piece * (1_000_000 // len(piece)), rule)  # quadratic time would run into the timeout
