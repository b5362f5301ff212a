"""Thinking and answer of a response, in the formats that models write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.playing import experiment
from tests.scripted import make_problem
from ttscale.record.journal import Journal
from ttscale.run.judging import Judge
from ttscale.thinking import MARKS, final, split


@pytest.mark.parametrize(("opened", "closed"), MARKS)
def test_what_follows_the_closing_mark_is_the_answer(opened: str, closed: str) -> None:
    assert split(f"{opened}2+2\n{closed}\n4") == ("2+2\n", "\n4", True)
    assert split(f"\n{opened}2+2 is 4, or") == ("2+2 is 4, or", "", False)
    assert split(f"2+2{closed}4") == ("2+2", "4", True), "the template may have opened it"


def test_without_marks_everything_is_the_answer() -> None:
    for text in ("", "4", "I think </thin>", "analysis of 2+2", "say <think> and go on"):
        assert split(text) == ("", text, None)


def test_thinking_in_several_blocks_is_thinking_throughout() -> None:
    assert final("<think>a</think>3<think>b</think>4") == "4"
    assert final("<think>a</think>4<think>b") == "4<think>b"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "<|channel|>analysis<|message|>2+2<|end|><|start|>assistant"
            "<|channel|>final<|message|>4<|return|>",
            ("2+2", "4", True),
        ),
        ("<|channel|>analysis<|message|>2+2 is", ("2+2 is", "", False)),
        (
            "<|channel|>commentary to=f<|message|>call<|call|>"
            "<|channel|>analysis<|message|>so<|end|><|channel|>final<|message|>4",
            ("callso", "4", True),
        ),
        ("analysisWe add.assistantfinal4", ("We add.", "4", True)),
        ("analysisWe add", ("We add", "", False)),
    ],
)
def test_channels(text: str, parts: tuple[str, str, bool]) -> None:
    assert split(text) == parts


def test_a_run_reads_answers_after_the_thinking(tmp_path: Path) -> None:
    setup = experiment(tmp_path, {"name": "single"})
    judge = Judge(setup.config, Journal(tmp_path / "j"))
    problem = make_problem()
    assert judge.answer(problem, "<think>Answer: 3</think>Answer: 4") == "4"
    assert judge.answer(problem, "<think>Answer: 3") is None
    assert judge.answer(problem, "Answer: 3") == "3"
