"""Programs as answers: found in responses, put together with their problem, and their tests.

Pure functions. A model's text is only ever cut at its lines here, never parsed or run; the
benchmark's own tests and examples, which are trusted, are parsed.
"""

from __future__ import annotations

import ast
import doctest
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ttscale.benchmark.config import CodeFields
from ttscale.benchmark.item import Item
from ttscale.benchmark.sandbox import Check
from ttscale.errors import InputError

MOST_TESTS, LONGEST_TEST = 20, 2000
"""How many tests of one response count, and how many characters one may have."""

_FENCE = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_GIVES = re.compile(r"\s*(?:==>|==|=>|=|->|➞|→|\breturns?\b)\s*")
_FUNCTION = re.compile(r"^(?:async[ \t]+)?def[ \t]+(\w+)", re.MULTILINE)


def program_in(response: str) -> str | None:
    """The program that a response gives: an answer for the grader `code`.

    The last fenced block that defines a function (one that is not named `test…`, if there is such);
    the last block where none does; all of a response without blocks, with its indentation, which
    may continue the prompt. Assertions that stand at the left margin are tests, not program.
    """
    blocks = _FENCE.findall(response)
    defining = [block for block in blocks if _FUNCTION.search(block)]
    named = [b for b in defining if any(not n.startswith("test") for n in _FUNCTION.findall(b))]
    found = (named or defining or blocks or [response])[-1]
    program, _ = _parted(found)
    return program if program.strip() else None


def carried_tests(response: str, function: str | None = None) -> list[str]:
    """The tests that a response carries: its different assertions at the left margin.

    Parameters
    ----------
    response : all of it: tests may stand in a block of their own.
    function : what a test has to mention, if the problem names it.
    """
    texts = _FENCE.findall(response) or [response]
    tests = dict.fromkeys(test for text in texts for test in _parted(text)[1])
    about = [
        test
        for test in tests
        if len(test) <= LONGEST_TEST and (function is None or re.search(rf"\b{function}\b", test))
    ]
    return about[:MOST_TESTS]


def _parted(text: str) -> tuple[str, list[str]]:
    """The lines that are no assertions at the margin, and the assertions, each with the indented
    lines and closing brackets that follow it."""
    program: list[str] = []
    tests: list[list[str]] = []
    within = False
    for line in text.split("\n"):
        if re.match(r"assert\b", line):
            tests.append([line])
            within = True
        elif within and re.match(r"[ \t]+\S|[)\]}]", line):
            tests[-1].append(line)
        else:
            program.append(line)
            within = False
    first = next((i for i, line in enumerate(program) if line.strip()), len(program))
    return "\n".join(program[first:]).rstrip(), ["\n".join(test) for test in tests]


def parts(answer: str, question: str, metadata: Mapping[str, object]) -> list[str]:
    """What is executed, in order: the problem's setup, its prompt as far as needed, the answer.

    An answer that does not define the problem's function continues its prompt (HumanEval); for one
    that does, what comes before that function in the prompt (imports, other functions) is kept.
    """
    setup, function = str(metadata["setup"]), metadata["function"]
    if function is None:
        return [setup, answer]
    signature = re.compile(rf"^(?:async[ \t]+)?def[ \t]+{re.escape(str(function))}\b", re.MULTILINE)
    start = signature.search(question)
    if start is None:
        return [setup, answer]
    if signature.search(answer):
        return [setup, question[: start.start()], answer]
    return [setup, question.rstrip("\n") + "\n" + answer]


def code_item(
    name: str, question: str, answer: object, row: Mapping[str, Any], code: CodeFields, where: str
) -> Item:
    """An item whose reference is the tests that decide, and whose metadata has those that show.

    `metadata`: 'function' (str or None), 'setup' (str), 'tests' (tuple of str: the visible ones).

    Raises
    ------
    InputError : a column is missing or holds no tests, or the tests are not Python.
    """
    function = None if code.function is None else str(_cell(row, code.function, where))
    setup = "" if code.setup is None else "\n".join(_texts(_cell(row, code.setup, where)))
    hidden = [test for test in _texts(answer) if test.strip()]
    if not hidden:
        raise InputError(
            "A problem has no tests.",
            where=where,
            got=answer,
            hint="fields.answer names the column of the tests: a program, or a list of assertions",
        )
    decisive = "\n".join(hidden)
    if function is not None and re.search(r"^def check\(", decisive, re.MULTILINE):
        decisive += f"\n\ncheck({function})\n"
    for text in (decisive, setup):
        try:
            ast.parse(text)
        except (SyntaxError, ValueError) as error:
            raise InputError(f"A test is not Python: {error}.", where=where, got=text) from error
    if code.visible == "examples":
        shown = tuple(examples_in(question, function))
    elif code.visible and isinstance(answer, str):
        raise InputError(
            "Only a list of tests has first ones that can be shown.",
            where=f"{where}, fields.code.visible",
            got=code.visible,
            hint="0 or examples, or an answer column that holds a list of assertions",
        )
    else:
        shown = tuple(hidden[: code.visible])
    return Item(name, question, decisive, {"function": function, "setup": setup, "tests": shown})


def visible_checks(metadata: Mapping[str, object]) -> list[Check]:
    """The tests that may be used before grading; none for a problem that is no programming one."""
    tests = metadata.get("tests", ())
    assert isinstance(tests, tuple), "an item's visible tests are a tuple of strings"
    return [Check(test) for test in tests]


def probes(checks: Sequence[Check]) -> list[Check]:
    """What the tests call, without what they expect: the left sides of their last comparisons."""
    found = []
    for check in checks:
        *before, last = ast.parse(check.code).body
        if isinstance(last, ast.Assert):
            asked = last.test.left if isinstance(last.test, ast.Compare) else last.test
            setup = "\n".join(map(ast.unparse, before))
            found.append(Check(ast.unparse(asked), setup, evaluate=True))
    return found


def examples_in(question: str, function: str | None) -> list[str]:
    """The examples of a question as assertions.

    `>>>` examples whose result is a Python literal or that are comparisons; where there are none,
    the first `call = literal` of each line, with any of the signs that are used for "gives".
    """
    question = question.replace('"""', "\n").replace("'''", "\n")
    try:
        examples = doctest.DocTestParser().get_examples(question)
    except ValueError:  # indented unevenly
        examples = []
    tests, before = [], ""
    for example in examples:
        if (test := _assertion(example.source, example.want)) is not None:
            tests.append(before + test)
        elif not example.want:
            before += example.source
    if tests or function is None:
        return tests
    call = re.compile(rf"(?<!def )\b{re.escape(function)}\(.*")
    lines = (found[0] for line in question.splitlines() if (found := call.search(line)))
    return [test for line in lines if (test := _equation(line)) is not None]


def _equation(line: str) -> str | None:
    """The assertion in a line that begins with a call."""
    for sign in _GIVES.finditer(line):
        left, right = line[: sign.start()].rstrip("` "), line[sign.end() :].strip("` .")
        if right and (test := _assertion(left, right, only_calls=True)) is not None:
            return test
    return None


def _assertion(source: str, want: str, *, only_calls: bool = False) -> str | None:
    """An example as an assertion; None where it is a statement, or its result no literal.

    With `only_calls`, also where it is not one call of one function with literals.
    """
    try:
        asked = ast.parse(source.strip(), mode="eval").body
        wanted = ast.literal_eval(want.strip()) if want.strip() else None
    except (SyntaxError, ValueError):
        return None
    call = isinstance(asked, ast.Call)
    if only_calls and not (call and sum(isinstance(n, ast.Name) for n in ast.walk(asked)) == 1):
        return None
    text = ast.unparse(asked)
    if want.strip():
        return f"assert {text if call else f'({text})'} == {wanted!r}"
    return f"assert {text}" if isinstance(asked, ast.Compare) else None


def _cell(row: Mapping[str, Any], column: str, where: str) -> Any:
    if column not in row:
        raise InputError(
            f"The field mapping names the column {column!r}, which is not there.",
            where=f"{where}, fields.code",
            got=f"columns {', '.join(map(str, row))}",
        )
    return row[column]


def _texts(value: object) -> list[str]:
    """A column that holds one text, a list of them, or nothing."""
    if value is None:
        return []
    return [str(text) for text in value] if isinstance(value, list | tuple) else [str(value)]
