"""Thinking and answer of a response, in the formats that models write."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest import mock

import pytest

from tests.contract.playing import experiment
from tests.scripted import PlainGrading, ScriptedEngine, make_problem, make_session
from ttscale.context import Context
from ttscale.engine.protocol import Sampling
from ttscale.record.journal import Journal
from ttscale.run.judging import Judge
from ttscale.thinking import MARKS, final, opening, split
from ttscale.trace import Problem


@pytest.mark.parametrize(("opened", "closed"), MARKS)
def test_what_follows_the_closing_mark_is_the_answer(opened: str, closed: str) -> None:
    assert split(f"{opened}2+2\n{closed}\n4") == ("2+2\n", "\n4", True)
    assert split(f"\n{opened}2+2 is 4, or") == ("2+2 is 4, or", "", False)
    assert split(f"2+2{closed}4") == ("2+2", "4", True), "the template may have opened it"


def test_a_template_may_have_opened_it(tmp_path: Path) -> None:
    assert opening("assistant\n<think>\n") == "<think>" and opening("<think> so") == ""

    async def main() -> list[str | None]:
        engine = ScriptedEngine(lambda prefix, seed: ["2+2 =5", "2+2 =5</think> =4"][seed % 2])
        session = make_session(engine, Journal(tmp_path / "j"))
        problem = make_problem("2+2<think>\n")
        ctx = Context(session, problem, "arm", Sampling())
        return sorted(map(str, map(ctx.answer, await ctx.sample(problem.root, n=2))))

    # This grader knows no marks: it is told of the one in the prompt.
    class Reading(PlainGrading):
        def answer(self, problem: Problem, response: str) -> str | None:
            return super().answer(problem, final(response))

    with mock.patch("tests.scripted.PlainGrading", Reading):
        assert asyncio.run(main()) == ["4", "None"]


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
