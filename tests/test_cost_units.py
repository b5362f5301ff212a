"""Amounts with units, read and written."""

from __future__ import annotations

import pytest

from ttscale.cost import format_quantity, parse_quantity
from ttscale.errors import InputError


@pytest.mark.parametrize(
    ("text", "amount", "dimension"),
    [
        ("1e15 FLOPs", 1e15, "flops"),
        ("3 PFLOPs", 3e15, "flops"),
        ("2tflop", 2e12, "flops"),
        ("5e14 eFLOPs", 5e14, "eflops"),
        ("60 s", 60, "seconds"),
        ("1.5 hours", 5400, "seconds"),
        ("250ms", 0.25, "seconds"),
        ("2 min", 120, "seconds"),
        ("0.05 USD", 0.05, "usd"),
        ("$0.05", 0.05, "usd"),
        ("5 cents", 0.05, "usd"),
        ("200 J", 200, "joules"),
        ("3 kWh", 1.08e7, "joules"),
        ("2 MJ", 2e6, "joules"),
        ("2 mJ", 2e-3, "joules"),
        ("3 GB", 3e9, "bytes"),
        ("3 gb", 3e9, "bytes"),
        ("2 GiB", 2 * 2**30, "bytes"),
        ("1_000 bytes", 1000, "bytes"),
        ("3.35 TB/s", 3.35e12, "bytes/s"),
        ("989 TFLOP/s", 989e12, "flops/s"),
        ("3.6 USD/h", 1e-3, "usd/s"),
        ("700 W", 700, "watts"),
    ],
)
def test_amounts(text: str, amount: float, dimension: str) -> None:
    quantity = parse_quantity(text)
    assert quantity.dimension == dimension
    assert quantity.amount == pytest.approx(amount)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("60", "has no unit"),
        ("FLOPs", "must begin with a number"),
        ("", "must begin with a number"),
        ("60 parsecs", "cannot read the unit 'parsecs'"),
        ("3 GB/fortnight", "cannot read the unit"),
        ("1,000 s", "cannot read the unit"),
        ("-5 s", "must be above zero"),
        ("0 USD", "must be above zero"),
        ("1e999 s", "must be above zero"),
        ("2 EFLOPS/s/s", "cannot read the unit"),
        ("5 mj", "cannot read the unit"),
    ],
)
def test_bad_amounts_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        parse_quantity(text, where="--budget")
    assert "--budget" in str(error.value)
    assert '"1e15 FLOPs"' in str(error.value)


def test_other_dimensions_are_refused_with_an_example() -> None:
    with pytest.raises(InputError, match="measures seconds") as error:
        parse_quantity("5 s", dimensions=["bytes"])
    assert '"3 GB"' in str(error.value)


@pytest.mark.parametrize(
    ("amount", "dimension", "text"),
    [
        (3.1122981e15, "flops", "3.112 PFLOPs"),
        (17.18e9, "bytes", "17.18 GB"),
        (0.0, "bytes", "0 B"),
        (12.0, "joules", "12 J"),
        (90.0, "seconds", "1.5 min"),
        (59.0, "seconds", "59 s"),
        (0.0025, "seconds", "2.5 ms"),
        (2e-6, "seconds", "2 µs"),
        (0.0512345, "usd", "0.05123 USD"),
    ],
)
def test_amounts_are_written_short(amount: float, dimension: str, text: str) -> None:
    assert format_quantity(amount, dimension) == text
