"""Sums of digits: every problem once, no overlap between windows, and what a right step is."""

from __future__ import annotations

from pathlib import Path

import pytest

from ttscale.benchmark.config import BenchmarkConfig
from ttscale.benchmark.extract import extract
from ttscale.benchmark.item import Item
from ttscale.benchmark.prompt import completion
from ttscale.benchmark.source import load
from ttscale.benchmark.sums import right_steps
from ttscale.errors import InputError

HERE = Path(__file__).parent


def loaded(**given: object) -> tuple[Item, ...]:
    return load(BenchmarkConfig.model_validate(given), folder=HERE)


def test_every_sum_stands_once_with_its_value() -> None:
    items = loaded(sums={"terms": 3})
    questions = {item.question for item in items}
    assert len(items) == len(questions) == 9**3
    assert all(int(item.reference or "") == eval(item.question) for item in items)
    assert {item.id for item in items} >= {"sums3-111", "sums3-129", "sums3-999"}


def test_windows_of_one_seed_have_no_question_in_common() -> None:
    first = loaded(sums={}, size=50)
    second = loaded(sums={}, offset=50, size=50)
    assert not {item.question for item in first} & {item.question for item in second}
    assert first != loaded(sums={}, size=50, seed=1)
    assert first == loaded(sums={}, size=50, seed=0)


def test_the_preset_leaves_its_worked_examples_out() -> None:
    config = BenchmarkConfig(preset="sums")
    shots = [shot.question for shot in config.prompt.few_shot]
    assert len(shots) == 6
    assert len({item.question for item in loaded(preset="sums")} | set(shots)) == 9**4
    assert not {item.question for item in loaded(preset="sums")} & set(shots)


def test_the_worked_examples_are_right_in_every_step() -> None:
    for shot in BenchmarkConfig(preset="sums").prompt.few_shot:
        assert right_steps(shot.question, shot.answer.splitlines(keepends=True)) == [True] * 4


def test_the_prompt_ends_where_the_first_addition_begins_and_the_answer_is_found() -> None:
    config = BenchmarkConfig(preset="sums")
    (item,) = loaded(preset="sums", size=1)
    text = completion(item, config.prompt)
    assert text.startswith(
        "Problem: 3 + 2 + 5 + 2\n3 + 2 = 5\n5 + 5 = 10\n10 + 2 = 12\nAnswer: 12."
    )
    assert text.endswith(f"Answer: 16.\n\nProblem: {item.question}\n")
    assert config.prompt.stop[0] == "."
    assert extract("3 + 2 = 5\n5 + 5 = 10\nAnswer: 12", config.extract) == "12"
    assert extract("3 + 2 = 5\n5 + 5 = 10", config.extract) is None


@pytest.mark.parametrize(
    ("response", "right"),
    [
        ("3 + 2 = 5\n5 + 5 = 10\n10 + 2 = 12\nAnswer: 12.", [True] * 4),
        ("3 + 2 = 5\n5 + 5 = 11\n11 + 2 = 13\nAnswer: 13.", [True, False, False, False]),
        ("3 + 2 = 6\n5 + 5 = 10\n10 + 2 = 12\nAnswer: 12.", [False] * 4),
        ("2 + 3 = 5\n5 + 2 = 7\n7 + 5 = 12\nAnswer: 12.", [True] * 4),
        ("3 + 2 = 5\n5 + 2 = 7\n5 + 7 = 12\nAnswer: 12.", [True] * 4),
        ("3 + 2 + 5 = 10\n10 + 2 = 12\nAnswer: 12", [True] * 3),
        ("3 + 2 = 5\n5 + 5 = 10\nAnswer: 10.", [True, True, False]),
        ("3 + 3 = 6\n6 + 5 = 11\n11 + 1 = 12\nAnswer: 12.", [False] * 4),
        ("3 + 2 = 5\n\nAnswer: 12.", [True, False, False]),
        ("3 + 2 = 5\n5 + 5 = 10\n10 + 2 = 12\n12 + 2 = 14\nAnswer: 14.", [True] * 3 + [False] * 2),
        ("3 + 2 = 5\n5 + ", [True, False]),
        ("3 + 2 = 5\n", [True]),
    ],
)
def test_a_step_is_right_while_all_lines_add_what_is_there(
    response: str, right: list[bool]
) -> None:
    assert right_steps("3 + 2 + 5 + 2", response.splitlines(keepends=True)) == right


def test_sums_are_one_source_among_others() -> None:
    with pytest.raises(InputError, match="exactly one source"):
        BenchmarkConfig.model_validate({"preset": "sums", "path": "a.csv"})
    assert BenchmarkConfig.model_validate({"sums": {"terms": 3}}).name == "sums3"
