"""Answers out of responses: pure functions, linear in the length of the text.

A rule is data in the configuration. A pattern of the user's own is the one rule whose time is not
bounded here; `Grader.extract` runs it in a worker with a time limit.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from functools import lru_cache

from ttscale.benchmark.config import Regex, Rule
from ttscale.benchmark.program import program_in

_NUMBER = re.compile(
    r"(?<!\w)(?P<sign>-?)\$?"
    r"(?P<number>(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?"
    r"(?:[eE][-+]?[0-9]+)?|\.[0-9]+)"
)
_BRACE = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_BARE_BOX = r"\\boxed\s+([^\s{}$]+)"
_LETTER = r"\(?([A-J])\)?(?![A-Za-z])"
_ANNOUNCED = re.compile(r"(?i:answer)(?i:\s+is)?[\s:*$]*(?:\\text(?:bf)?\{|\\mathrm\{)?" + _LETTER)
_MARKED = re.compile(r"\(([A-J])\)|^[ \t*]*([A-J])[ \t*.):]*$", re.MULTILINE)
_WRAPPED = re.compile(r"^\W*(?:(?:text|textbf|mathrm|mathbf)\W+)?" + _LETTER)


def extract(text: str, rule: Rule) -> str | None:
    """The answer in a response, or None when it gives none.

    Parameters
    ----------
    text : the response.
    rule : 'whole', 'last_line', 'last_number' (thousands commas removed), 'boxed' (the last
        complete box), 'choice' (a letter A-J, from a box, an announced answer, or a marked letter),
        'code' (a program, its indentation kept),
        a `Regex` (last match: group 1, or everything when it has no group), or a tuple of rules of
        which the first that finds something counts.
    """
    if isinstance(rule, tuple):
        return next((found for part in rule if (found := extract(text, part)) is not None), None)
    if rule == "code":
        return program_in(text)
    found = _last_match(text, rule.regex) if isinstance(rule, Regex) else RULES[rule](text)
    return (found or "").strip() or None


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    last = deque(pattern.finditer(text), maxlen=1)
    return last[0] if last else None


def _last_match(text: str, pattern: str) -> str | None:
    last = _last(_compiled(pattern), text)
    return None if last is None else last[1 if last.re.groups else 0]


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _last_line(text: str) -> str | None:
    stripped = text.rstrip()
    return stripped[stripped.rfind("\n") + 1 :]


def _last_number(text: str) -> str | None:
    last = _last(_NUMBER, text)
    return None if last is None else last["sign"] + last["number"].replace(",", "")


def _boxed(text: str) -> str | None:
    """The contents of the complete box that opens last; braces inside it balance."""
    best: tuple[int, int] | None = None
    opened: list[int | None] = []  # start of each open brace's content; None for an ordinary brace
    for token in _BRACE.finditer(text):
        mark = token[0]
        if mark == "{":
            opened.append(None)
        elif mark == "}":
            start = opened.pop() if opened else None
            if start is not None and (best is None or start > best[0]):
                best = (start, token.start())
        elif mark.endswith("{") and len(mark) > 2:
            opened.append(token.end())
    if best is not None:
        return text[best[0] : best[1]]
    return _last_match(text, _BARE_BOX)


def _choice(text: str) -> str | None:
    boxed = _boxed(text)
    if boxed is not None and (letter := _WRAPPED.match(boxed)):
        return letter[1]
    for pattern in (_ANNOUNCED, _MARKED):
        last = _last(pattern, text)
        if last is not None and last.lastindex:
            return last[last.lastindex]
    return None


RULES: dict[str, Callable[[str], str | None]] = {
    "whole": str.strip,
    "last_line": _last_line,
    "last_number": _last_number,
    "boxed": _boxed,
    "choice": _choice,
}
