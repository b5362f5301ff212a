"""The judgements that need a process of their own: algebra, scorers, patterns of the user's.

Nothing here limits time or memory; `worker.py` does. The heavy packages are imported by the
factories, before the first job's clock starts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import product
from typing import Any

from ttscale.benchmark.grading import plain

Judge = Callable[[Any], bool | str | None]

RIGHT = 0.99
"""The least score of a reasoning-gym scorer that counts as right: partial credit does not."""

_DELIMITER = re.compile(r"\$|\\\(|\\\[|\\boxed")
_WIDE = 1e-3  # relative difference of values that no rounding of math-verify's can bridge


def math_judge() -> Judge:
    """Judges ('grade', reference, answer) and ('same', a, b) by math-verify and SymPy."""
    import sympy
    from math_verify import parse, verify

    relational, connective = sympy.core.relational.Relational, sympy.logic.boolalg.BooleanFunction
    one_way = (
        relational,
        connective,
        sympy.Set,
        sympy.Tuple,
    )  # math-verify's test is not symmetric
    inexact = (sympy.Integral, sympy.Sum, sympy.Product, sympy.Limit, sympy.Derivative)

    @lru_cache(maxsize=4096)
    def parsed(text: str) -> tuple[Any, ...]:
        """What math-verify reads: an expression, and the string it read it from."""
        text = text.replace("**", "^")
        if not (_DELIMITER.search(text) or plain.is_prose(text)):
            text = f"${text}$"
        return tuple(parse(text, parsing_timeout=None, raise_on_error=True))

    @lru_cache(maxsize=4096)
    def value(expression: Any) -> Any:
        """The real number an expression is, to 15 digits, or None."""
        if not expression.is_number or expression.has(sympy.UnevaluatedExpr, *inexact):
            return None
        number = expression.evalf(15)
        return number if isinstance(number, sympy.Float | sympy.Integer) else None

    def apart(a: Any, b: Any) -> bool:
        """Whether two expressions are numbers too far from each other to be equal."""
        if not (isinstance(a, sympy.Expr) and isinstance(b, sympy.Expr)):
            return False
        x, y = value(a), value(b)
        if x is None or y is None:
            return False
        return bool(abs(x - y) > _WIDE * max(sympy.Integer(1), abs(x), abs(y)))

    def equal(reference: str, answer: str) -> bool:
        for a, b in product(parsed(reference), parsed(answer)):
            if isinstance(a, str) != isinstance(b, str):
                continue
            if not isinstance(a, str) and apart(a, b):
                continue
            if verify(a, b, timeout_seconds=None, raise_on_error=True):
                return True
        return False

    def judge(job: tuple[str, str, str]) -> bool:
        kind, a, b = job
        if equal(a, b):
            return True
        return (
            kind == "same"
            and any(isinstance(part, one_way) for part in parsed(a) + parsed(b))
            and equal(b, a)
        )

    equal("1", "2")  # the grammar and the patterns are built on first use
    return judge


def scorer_judge(task: str, params: Mapping[str, Any], seed: int, size: int) -> Judge:
    """Judges (answer, entry) by the scorer of a reasoning-gym task."""
    from ttscale.benchmark.generated import generator

    dataset = generator(task, params, seed, size)

    def judge(job: tuple[str, Mapping[str, Any]]) -> bool:
        answer, entry = job
        return bool(dataset.score_answer(answer, entry) >= RIGHT)

    return judge


def pattern_judge() -> Judge:
    """Extracts by ('pattern', text): a pattern may need time without bound."""
    from ttscale.benchmark.extract import extract

    def judge(job: tuple[Any, str]) -> str | None:
        rule, text = job
        return extract(text, rule)

    return judge
