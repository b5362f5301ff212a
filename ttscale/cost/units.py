"""Amounts with units: `1e15 FLOPs`, `60 s`, `0.05 USD`, `200 J`, `3 GB`, `64 samples`.

Decimal prefixes are powers of 1000 (GB = 1e9 bytes), binary ones of 1024 (GiB = 2**30 bytes).
One multiply-add is 2 FLOPs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

from ttscale.errors import InputError

DECIMAL = {"": 1.0} | {letter: 1e3**power for power, letter in enumerate("kMGTPEZ", start=1)}
BINARY = {f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", start=1)}

SPELLINGS: dict[str, dict[str, float]] = {
    "flops": {
        prefix + unit: factor for prefix, factor in DECIMAL.items() for unit in ("FLOP", "FLOPs")
    },
    "eflops": {"eFLOP": 1.0, "eFLOPs": 1.0},
    "bytes": {
        prefix + unit: factor
        for prefix, factor in (DECIMAL | BINARY).items()
        for unit in ("B", "byte", "bytes")
    },
    "seconds": {
        **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
        **dict.fromkeys(("min", "minute", "minutes"), 60.0),
        **dict.fromkeys(("h", "hour", "hours"), 3600.0),
        **dict.fromkeys(("d", "day", "days"), 86400.0),
        **{"ms": 1e-3, "us": 1e-6, "µs": 1e-6},
    },
    "usd": {"USD": 1.0, "$": 1.0, "dollar": 1.0, "dollars": 1.0, "cent": 0.01, "cents": 0.01},
    "joules": {
        **{prefix + "J": factor for prefix, factor in DECIMAL.items()},
        **{"joule": 1.0, "joules": 1.0, "mJ": 1e-3, "Wh": 3600.0, "kWh": 3.6e6},
    },
    "watts": {"W": 1.0, "kW": 1e3, "watt": 1.0, "watts": 1.0},
    "samples": {"sample": 1.0, "samples": 1.0},
    "tokens": {
        f"{prefix}{space}{unit}": factor
        for prefix, factor in DECIMAL.items()
        for space in ("", " ")
        for unit in ("token", "tokens")
    },
}
EXAMPLES = {
    "flops": "1e15 FLOPs",
    "eflops": "1e15 eFLOPs",
    "bytes": "3 GB",
    "seconds": "60 s",
    "usd": "0.05 USD",
    "joules": "200 J",
    "watts": "700 W",
    "samples": "64 samples",
    "tokens": "10000 tokens",
    "flops/s": "989 TFLOP/s",
    "bytes/s": "3.35 TB/s",
    "usd/s": "2.50 USD/h",
}
SYMBOL = {"flops": "FLOPs", "eflops": "eFLOPs", "bytes": "B", "seconds": "s", "usd": "USD"}
SYMBOL |= {"joules": "J", "watts": "W", "flops/s": "FLOP/s", "bytes/s": "B/s"}

_NUMBER = re.compile(r"[+-]?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?")
_EXACT = {
    spelling: (dimension, factor)
    for dimension, spellings in SPELLINGS.items()
    for spelling, factor in spellings.items()
}
_FOLDED: dict[str, set[tuple[str, float]]] = {}
for _spelling, _meaning in _EXACT.items():
    _FOLDED.setdefault(_spelling.lower(), set()).add(_meaning)


class Quantity(NamedTuple):
    """An amount in the base unit of its dimension.

    Attributes
    ----------
    amount : in FLOPs, eFLOPs, bytes, seconds, USD, joules, watts, samples, tokens, or one of these
        per second.
    dimension : a key of `EXAMPLES`, such as `flops` or `bytes/s`.
    """

    amount: float
    dimension: str


def parse_quantity(
    text: str, *, dimensions: Iterable[str] | None = None, where: str | None = None
) -> Quantity:
    """Read a positive amount with its unit.

    Parameters
    ----------
    text : a number and a unit; the space between them may be left out. Case does not matter unless
        it decides (`MJ` is not `mJ`, `eFLOPs` are not `EFLOPs`).
    dimensions : those accepted, keys of `EXAMPLES`; all when not given.
    where : the option or key, for the message.

    Raises
    ------
    InputError : no number, no unit, an unknown unit, one of another dimension, or an amount that is
        not above zero.
    """
    accepted = list(dimensions or EXAMPLES)
    hint = "a number and a unit, such as " + ", ".join(f'"{EXAMPLES[name]}"' for name in accepted)
    stripped = text.strip()
    if stripped.startswith("$"):
        stripped = stripped[1:].strip() + " $"
    number = _NUMBER.match(stripped)
    if number is None:
        raise InputError("an amount must begin with a number", where=where, got=text, hint=hint)
    amount, unit = float(number[0].replace("_", "")), stripped[number.end() :].strip()
    if not unit:
        raise InputError("the amount has no unit", where=where, got=text, hint=hint)
    meaning = _unit(unit)
    if meaning is None:
        raise InputError(f"cannot read the unit {unit!r}", where=where, got=text, hint=hint)
    dimension, factor = meaning
    if dimension not in accepted:
        raise InputError(
            f"{unit!r} measures {dimension}, which is not accepted here",
            where=where,
            got=text,
            hint=hint,
        )
    if not (amount > 0 and math.isfinite(amount * factor)):
        raise InputError("the amount must be above zero", where=where, got=text, hint=hint)
    return Quantity(amount * factor, dimension)


def _unit(unit: str) -> tuple[str, float] | None:
    """Dimension and factor of a unit, None where it is unknown or its case is ambiguous."""
    top, slash, bottom = (part.strip() for part in unit.partition("/"))
    meanings = {_EXACT[top]} if top in _EXACT else _FOLDED.get(top.lower(), set())
    if len(meanings) != 1:
        return None
    ((dimension, factor),) = meanings
    if not slash:
        return dimension, factor
    per = SPELLINGS["seconds"].get(bottom.lower())
    return None if per is None else (f"{dimension}/s", factor / per)


def format_quantity(amount: float, dimension: str) -> str:
    """An amount with a decimal prefix, to four significant digits: `3.112 PFLOPs`, `17.18 GB`."""
    if dimension == "usd":
        return f"{amount:.4g} USD"
    if dimension == "seconds":
        return _duration(amount)
    if dimension in {"samples", "tokens"}:
        number = f"{amount:.4g}" if abs(amount) < 1000 else f"{amount:,.0f}"
        return f"{number} {dimension[:-1] if number == '1' else dimension}"
    prefix, factor = "", 1.0
    for letter, size in DECIMAL.items():
        if abs(amount) >= size:
            prefix, factor = letter, size
    return f"{amount / factor:.4g} {prefix}{SYMBOL[dimension]}"


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3)):
        if abs(seconds) >= size * (1.5 if size > 1 else 1):
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds * 1e6:.4g} µs"
