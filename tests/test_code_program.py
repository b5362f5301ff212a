"""Programs found in responses, put together with their problems, and the tests that may show."""

from __future__ import annotations

import json

import pytest

from ttscale.benchmark.config import BenchmarkConfig, CodeFields
from ttscale.benchmark.extract import extract
from ttscale.benchmark.item import Item
from ttscale.benchmark.program import (
    LONGEST_TEST,
    carried_tests,
    code_item,
    examples_in,
    parts,
    probes,
    program_in,
    visible_checks,
)
from ttscale.benchmark.prompt import messages
from ttscale.benchmark.source import load
from ttscale.errors import InputError

PROMPT = '''from typing import List

def helper(x: int) -> int:
    return x

def double(x: int) -> int:
    """Twice a number.
    >>> double(2)
    4
    >>> y = double(1)
    >>> double(y)
    4
    """
'''


@pytest.mark.parametrize(
    ("response", "program"),
    [
        ("Here:\n```python\ndef f():\n    return 1\n```\nDone.", "def f():\n    return 1"),
        ("```\ndef f(): pass\n```\nor\n```py\ndef g(): pass\n```", "def g(): pass"),
        ("```python\ndef f(): pass\n```\nUse it:\n```python\nprint(f())\n```", "def f(): pass"),
        ("```python\ndef f(): pass\n```\n```\ndef test_f():\n    f()\n```", "def f(): pass"),
        ("```python\ndef test_double(x): return x\n```", "def test_double(x): return x"),
        ("```python\ndef f(): return 1\nassert f() == 1\n```", "def f(): return 1"),
        ("```python\ndef f():\n    return 1", "def f():\n    return 1"),
        ("\n\n    return x + 1\n", "    return x + 1"),
        ("def f(): pass", "def f(): pass"),
        ("  ```python\n  x = 1\n  ```", "  x = 1"),
        ("```python\nasync def f(): pass\n```", "async def f(): pass"),
        ("", None),
        ("   \n", None),
        ("```python\n```", None),
        ("```python\nassert True\n```", None),
    ],
)
def test_the_program_in_a_response(response, program):
    assert program_in(response) == program
    assert extract(response, "code") == program


def test_the_tests_in_a_response():
    response = (
        "```python\ndef f(x):\n    assert x\n    return x\n\nassert f(1) == 1\n```\n"
        "```python\nassert f(2) == (\n    2\n)\nassert f(1) == 1\nassert g(3) == 3\n```"
    )
    assert carried_tests(response) == [
        "assert f(1) == 1",
        "assert f(2) == (\n    2\n)",
        "assert g(3) == 3",
    ]
    assert carried_tests(response, "f") == ["assert f(1) == 1", "assert f(2) == (\n    2\n)"]
    assert carried_tests("no tests") == []
    assert carried_tests(
        "```\n" + "".join(f"assert f({i})\n" for i in range(100)) + "```", "f"
    ) == [f"assert f({i})" for i in range(20)]
    assert carried_tests("assert f('" + "x" * 5000 + "')") == []


@pytest.mark.parametrize(
    "text", ["```\n" * 500_000, "assert (" * 500_000, "\n" * 10**6, "`" * 10**7]
)
def test_long_and_odd_responses_are_read(text):
    """Where time grew with the square of the length, this would run into the test's limit."""
    assert program_in(text) is None or len(program_in(text) or "") <= len(text)
    assert all(len(test) <= LONGEST_TEST for test in carried_tests(text, "f"))


def test_a_completion_continues_the_prompt_and_a_whole_function_replaces_it():
    metadata = {"function": "double", "setup": "import math", "tests": ()}
    setup, whole = parts("    return 2 * x", PROMPT, metadata)
    assert (setup, whole) == ("import math", PROMPT + "    return 2 * x")
    answer = "from __future__ import annotations\ndef double(x):\n    return 2 * x"
    setup, before, after = parts(answer, PROMPT, metadata)
    assert before.endswith("return x\n\n") and "def double" not in before
    assert after == answer
    assert parts(answer, "Write a program.", {**metadata, "function": None}) == [
        "import math",
        answer,
    ]
    assert parts(answer, "Write a program.", metadata) == ["import math", answer]


@pytest.mark.parametrize(
    ("question", "tests"),
    [
        (PROMPT, ["assert double(2) == 4", "y = double(1)\nassert double(y) == 4"]),
        (">>> f(1) == 2\n>>> f(2)\n'a'", ["assert f(1) == 2", "assert f(2) == 'a'"]),
        (">>> f(1)\n<object>\n>>> f(2)\nTrue", ["assert f(2) == True"]),
        ('"""\n>>> f([])\n[]\n"""', ["assert f([]) == []"]),
        ("f(1) == 2\nf(2) ==> 'a'", ["assert f(1) == 2", "assert f(2) == 'a'"]),
        ("such as `f(3)` returns 3.", ["assert f(3) == 3"]),
        ("for f(a) = 3 and f(2) -> 1 + 3 = 4", []),
        ("def f(x): return 1", []),
        (">>> f(1)\n  1\n >>>f(2)", []),
        ("Nothing to see.", []),
    ],
)  # fmt: skip
def test_examples_in_a_question(question, tests):
    assert examples_in(question, "double" if "double" in question else "f") == tests


def test_probes_ask_for_what_the_tests_call():
    item = Item("x", "", "", {"tests": ("y = f(1)\nassert set(g(y)) == {1}", "assert h(2)")})
    first, second = probes(visible_checks(item.metadata))
    assert (first.code, first.setup, first.evaluate) == ("set(g(y))", "y = f(1)", True)
    assert (second.code, second.setup) == ("h(2)", "")
    assert visible_checks({}) == []


HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": PROMPT,
    "entry_point": "double",
    "canonical_solution": "    return 2 * x\n",
    "test": "def check(candidate):\n    assert candidate(3) == 6\n",
}
MBPP = {
    "task_id": 7,
    "prompt": "Write a function to double a number.",
    "code": "def double(x):\n    return 2 * x",
    "test_imports": ["import math"],
    "test_list": ["assert double(1) == 2", "assert double(2) == 4", "assert double(math.pi) > 6"],
}


def loaded(tmp_path, preset, rows, **changes):
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = BenchmarkConfig.model_validate({"preset": preset, "path": str(path), **changes})
    return config, load(config, folder=tmp_path)


def test_humaneval_keeps_its_tests_out_of_sight(tmp_path):
    config, (item,) = loaded(tmp_path, "humaneval", [HUMANEVAL])
    assert item.id == "HumanEval/0"
    assert item.reference is not None and item.reference.endswith("\n\ncheck(double)\n")
    assert item.metadata == {
        "function": "double",
        "setup": "",
        "tests": ("assert double(2) == 4", "y = double(1)\nassert double(y) == 4"),
    }
    ((turn),) = messages(item, config.prompt)
    assert PROMPT in turn["content"] and "candidate" not in turn["content"]


def test_mbpp_shows_its_first_test_only(tmp_path):
    config, (item,) = loaded(tmp_path, "mbpp", [MBPP])
    assert item.id == "7"
    assert item.reference == "\n".join(MBPP["test_list"])
    assert item.metadata == {
        "function": None,
        "setup": "import math",
        "tests": ("assert double(1) == 2",),
    }
    ((turn),) = messages(item, config.prompt)
    assert "assert double(1) == 2" in turn["content"]
    assert "double(2)" not in turn["content"] and "return 2" not in turn["content"]


def test_the_full_mbpp_is_a_change_of_columns(tmp_path):
    row = {
        "task_id": 11,
        "text": "Double it.",
        "test_setup_code": "",
        "test_list": MBPP["test_list"],
    }
    fields = {"question": "text", "code": {"setup": "test_setup_code", "visible": 3}}
    _, (item,) = loaded(tmp_path, "mbpp", [row], fields=fields)
    assert item.metadata["tests"] == tuple(MBPP["test_list"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test_list": []}, "no tests"),
        ({"test_list": ["assert double(1 == 2"]}, "not Python"),
        ({"test_list": "assert double(1) == 2"}, "first ones"),
        ({"test_imports": "import ("}, "not Python"),
    ],
)
def test_rows_that_hold_no_tests_are_told(tmp_path, change, message):
    with pytest.raises(InputError, match=message) as refused:
        loaded(tmp_path, "mbpp", [{**MBPP, **change}])
    assert "row 1" in str(refused.value.where)


def test_a_missing_column_is_told(tmp_path):
    row = {key: value for key, value in HUMANEVAL.items() if key != "entry_point"}
    with pytest.raises(InputError, match="entry_point"):
        loaded(tmp_path, "humaneval", [row])


def test_the_grader_and_the_fields_belong_together():
    with pytest.raises(InputError, match="belong together"):
        BenchmarkConfig.model_validate({"path": "x.jsonl", "grader": "code"})
    with pytest.raises(InputError, match="shows tests"):
        BenchmarkConfig.model_validate(
            {"path": "x.jsonl", "prompt": {"template": "{question} {tests}"}}
        )


def test_a_check_function_is_called_only_where_there_is_one():
    item = code_item(
        "x", "?", ["assert check(1)"], {"f": "check"}, CodeFields(function="f"), "here"
    )
    assert item.reference == "assert check(1)"
