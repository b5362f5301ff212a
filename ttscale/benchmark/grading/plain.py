"""What two answers have in common on sight: pure functions that need no algebra."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import NamedTuple

from ttscale.benchmark.extract import extract

LONGEST = 10_000
"""Characters of the longest mathematical answer that is graded."""

DEEPEST = 50
"""Levels of brackets in the deepest mathematical answer that is graded."""

_THOUSANDS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)\s?(?:\\?\$\s?)?(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]*)"
    r"(?:\.(?P<decimals>[0-9]+))?(?:[eE](?P<power>[-+]?[0-9]{1,2}))?"
)
_FRACTION = re.compile(
    r"(?P<sign>[-+]?)(?:\\frac\{(?P<a>[0-9]+)\}\{(?P<b>[0-9]+)\}|(?P<c>[0-9]+)/(?P<d>[0-9]+))"
)
_SPACING = re.compile(r"(\\\\)|\\(?:left|right)(?![a-zA-Z])|\\[!,;: ]")  # \\ ends a row
_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf)\s*\{([^{}]*)\}")
_FUNCTION = r"(?:arc)?(?:sin|cos|tan|cot|log|exp|sqrt)h?[a-z]?(?![A-Za-z])"
_PROSE = re.compile(rf"(?<![A-Za-z])(?!{_FUNCTION})[A-Za-z]{{4,}}")
_DELIMITED = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))


class Number(NamedTuple):
    """A number as it was written.

    Attributes
    ----------
    value : its exact value.
    exact : whether it is an integer or a fraction; a decimal may stand for a rounded value.
    """

    value: Fraction
    exact: bool

    @property
    def whole(self) -> bool:
        """Whether it is an integer, not a decimal that happens to have an integer's value."""
        return self.exact and self.value.denominator == 1

    @property
    def rounded(self) -> Fraction:
        """The value to 6 decimal places, as math-verify compares decimals."""
        return round(self.value, 6)


def same_number(a: Number, b: Number) -> bool:
    """Equal in value or, where either is a decimal and neither an integer, to 6 decimal places.

    This is math-verify's rule: 0.333333 is 1/3, but 3.0000001 is not 3.
    """
    if a.value == b.value:
        return True
    if (a.exact and b.exact) or a.whole or b.whole:
        return False
    return a.rounded == b.rounded


def number(answer: str) -> Number | None:
    """The number that an answer is, or None when it is more than a plain number or fraction."""
    if len(answer) > 200:
        return None
    if match := _FRACTION.fullmatch(answer):
        below = int(match["b"] or match["d"])
        above = int(match["a"] or match["c"])
        return Number(_signed(match["sign"], Fraction(above, below)), True) if below else None
    match = _NUMBER.fullmatch(answer)
    if match is None or not (match["whole"] or match["decimals"]):
        return None
    whole, decimals = match["whole"].replace(",", "") or "0", match["decimals"] or ""
    value = Fraction(int(whole + decimals), 10 ** len(decimals))
    value *= Fraction(10) ** int(match["power"] or 0)
    exact = match["decimals"] is None and match["power"] is None
    return Number(_signed(match["sign"], value), exact)


def _signed(sign: str, value: Fraction) -> Fraction:
    return -value if sign == "-" else value


def mathematics(answer: str) -> str:
    """A mathematical answer without its delimiters, spacing commands and full stop.

    Two answers with the same result are the same; those with different results may still be equal.
    """
    if len(answer) > LONGEST:
        return answer
    text = " ".join(answer.split()).removesuffix(".").rstrip().replace("−", "-")
    for left, right in _DELIMITED:
        inner = text[len(left) : -len(right)]
        if text.startswith(left) and text.endswith(right) and inner and left not in inner:
            text = inner.strip()
            break
    text = _SPACING.sub(r"\1", text.replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac"))
    if wrapped := _TEXT.fullmatch(text):
        text = wrapped[1]
    text = text.strip()
    return text.casefold() if is_prose(text) else text


def is_prose(text: str) -> bool:
    """Whether an answer is words rather than a formula: '72 dollars', but not 'xy' or a command."""
    return "\\" not in text and _PROSE.search(text) is not None


def too_much(answer: str) -> str | None:
    """Why an answer is not given to the algebra at all, or None when it is."""
    if len(answer) > LONGEST:
        return f"longer than {LONGEST} characters"
    depth = 0
    for character in answer:
        if character in "([{":
            depth += 1
            if depth > DEEPEST:
                return f"nested deeper than {DEEPEST} levels"
        elif character in ")]}":
            depth = max(0, depth - 1)
    return None


def exact(answer: str) -> str:
    """An answer without case, superfluous spaces, final full stop, and thousands commas."""
    text = " ".join(answer.split()).removesuffix(".").rstrip().casefold()
    return _THOUSANDS.sub("", text)


def choice(answer: str) -> str:
    """The letter that an answer chooses, or what `exact` makes of one that chooses none."""
    bare = answer.strip(" \t\n.()*:$")
    if len(bare) == 1 and bare.isalpha():
        return bare.upper()
    return extract(answer, "choice") or exact(answer)


def decimal(answer: str) -> Decimal | str:
    """An answer's value, commas left out, or the answer where it is no finite number."""
    try:
        value = Decimal(answer.replace(",", "")) if len(answer) <= 200 else None
    except InvalidOperation:
        return answer
    return answer if value is None or not value.is_finite() else value
