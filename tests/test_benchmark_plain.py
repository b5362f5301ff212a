"""What is settled on sight, and that it agrees with the algebra it stands in for."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscale.benchmark.grading import plain
from ttscale.benchmark.grading.judge import math_judge


@pytest.mark.parametrize(
    ("answer", "value", "exact"),
    [
        ("72", 72, True),
        ("-3", -3, True),
        ("+5", 5, True),
        ("007", 7, True),
        ("1,234,567", 1234567, True),
        ("$18", 18, True),
        (r"\$70,000", 70000, True),
        ("-$4.50", Fraction(-9, 2), False),
        ("18.0", 18, False),
        (".5", Fraction(1, 2), False),
        ("1.5e3", 1500, False),
        ("2e-2", Fraction(1, 50), False),
        ("3/6", Fraction(1, 2), True),
        (r"-\frac{3}{4}", Fraction(-3, 4), True),
    ],
)
def test_numbers_are_read_exactly(answer, value, exact):
    assert plain.number(answer) == plain.Number(Fraction(value), exact)


@pytest.mark.parametrize(
    "answer",
    ["", ".", "-", "1,23", "12,34", "1.2.3", "1/0", "5%", "x", "1 2", "1e999", "٣", "9" * 201, "$"],
)
def test_what_is_more_or_less_than_a_number_is_left_alone(answer):
    assert plain.number(answer) is None


JUDGE = math_judge()
WRITTEN = st.one_of(
    st.integers(-2000, 2000).map(str),
    st.integers(1000, 10**9).map("{:,}".format),
    st.builds("{}/{}".format, st.integers(-20, 20), st.integers(1, 12)),
    st.builds(r"\frac{{{}}}{{{}}}".format, st.integers(0, 20), st.integers(1, 12)),
    st.decimals(-50, 50, places=2).map(str),
    st.sampled_from(["0.333333", "0.3333333", "0.33333", "0.166667", "0.5", "-0.25", "3.0"]),
)


@settings(max_examples=300)
@given(WRITTEN, WRITTEN)
def test_numbers_are_compared_as_math_verify_compares_them(a, b):
    x, y = plain.number(a), plain.number(b)
    assert x is not None
    assert y is not None
    assert plain.same_number(x, y) == JUDGE(("same", a, b))


CLOSE = ["1/3", "0.333333", "0.3333333", "0.3333334", "0.33333", r"\frac{2}{6}", "333333/1000000",
         "1/2", "0.5", ".50", "0.5000001", "0.500001", "3", "3.0", "3.0000001", "-3"]  # fmt: skip


@pytest.mark.parametrize("a", CLOSE)
def test_close_numbers_are_compared_as_math_verify_compares_them(a):
    for b in CLOSE:
        x, y = plain.number(a), plain.number(b)
        assert x is not None
        assert y is not None
        assert plain.same_number(x, y) == JUDGE(("same", a, b)), b


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("$x + 1$.", "x + 1"),
        (r"\(\dfrac{1}{x}\)", r"\frac{1}{x}"),
        (r"\[\left( 1,\! 2 \right)\]", r"\left(1,2\right)"),
        (r"\text{Evelyn}", "evelyn"),
        ("No  Solution.", "no solution"),
        ("−3", "-3"),
        ("$$7$$", "7"),
    ],
)
def test_writing_does_not_matter(a, b):
    assert plain.mathematics(a).replace(" ", "") == plain.mathematics(b).replace(" ", "")


@pytest.mark.parametrize(("a", "b"), [("x", "X"), ("$1$ or $2$", "1$ or $2"), ("a b", "a c")])
def test_what_matters_is_kept(a, b):
    assert plain.mathematics(a) != plain.mathematics(b)


@pytest.mark.parametrize(
    ("answer", "prose"),
    [
        ("72 dollars", True),
        ("no solution", True),
        ("xy + 2", False),
        ("arcsin x", False),
        ("sinx", False),
        ("sqrt(2)", False),
        (r"7 \text{ dollars}", False),
    ],
)
def test_words_are_told_from_formulas(answer, prose):
    assert plain.is_prose(answer) is prose


def test_too_much_is_too_long_or_too_deep():
    assert plain.too_much("x" * plain.LONGEST) is None
    assert plain.too_much("x" * (plain.LONGEST + 1)) is not None
    assert plain.too_much("(" * plain.DEEPEST + ")" * plain.DEEPEST + "((1))") is None
    assert plain.too_much("{" * (plain.DEEPEST + 1)) is not None


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (" The  Answer. ", "the answer", True),
        ("1,234", "1234", True),
        ("1,23", "123", False),
        ("1.0", "1", False),
    ],
)
def test_exact_answers(a, b, same):
    assert (plain.exact(a) == plain.exact(b)) is same


@pytest.mark.parametrize("answer", ["B", "b", "(B)", " B. ", "$B$", "Answer: B", r"\text{(B)}"])
def test_choices(answer):
    assert plain.choice(answer) == "B"
    assert plain.choice("neither") == "neither"


def test_decimal_values():
    assert plain.decimal("+01,000.00") == plain.decimal("1000") == Decimal(1000)
    assert plain.decimal("sNaN") == "sNaN"
    assert plain.decimal("inf") == "inf"
    assert plain.decimal("ten") == "ten"
    assert plain.decimal("1" * 300) == "1" * 300
