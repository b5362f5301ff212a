"""Conversations as problems: what the model is shown, and what strategies take for the question."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from tests.contract.playing import Silent
from ttscale.benchmark.config import PromptConfig
from ttscale.benchmark.item import Item
from ttscale.engine.simulated import SimulatedConfig, SimulatedEngine
from ttscale.run.config import load
from ttscale.run.runner import prepare
from ttscale.run.sweep import arms
from ttscale.serve.conversation import make_problem, transcript
from ttscale.serve.refusal import Refusal
from ttscale.trace import Problem

PROMPT: dict[str, Any] = {
    "system": "Box your answer.",
    "template": "Solve {question} now",
    "few_shot": [{"question": "1 + 1", "answer": "\\boxed{2}"}],
}
ENGINE = SimulatedEngine(SimulatedConfig(max_context=400))
asyncio.run(ENGINE.start())


def put(
    *contents: str, template: bool = False, system: str | None = None, **prompt: Any
) -> Problem:
    """The problem of a conversation in which user and assistant take turns."""
    turns: list[Mapping[str, str]] = [{"role": "system", "content": system}] if system else []
    turns += [
        {"role": "assistant" if place % 2 else "user", "content": content}
        for place, content in enumerate(contents)
    ]
    config = PromptConfig.model_validate({**PROMPT, **prompt})
    return make_problem(turns, ENGINE, config, template=template)


def test_messages_reach_the_model_as_they_are() -> None:
    problem = put("2 + 2", "4", "and 3 + 3?", system="Be brief.")
    asked = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "2 + 2"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "and 3 + 3?"},
    ]
    assert problem.root.token_ids == ENGINE.encode_chat(asked)
    assert problem.reference is None


def test_a_single_message_is_the_question_and_a_dialogue_a_transcript() -> None:
    assert put("2 + 2", system="Be brief.").question == "2 + 2" == put("2 + 2").root.text
    longer = put("2 + 2", "4", "and 3 + 3?", system="Be brief.")
    assert longer.question == "User: 2 + 2\n\nAssistant: 4\n\nUser: and 3 + 3?"
    assert longer.root.text == longer.question


def test_the_template_makes_the_prompt_that_a_run_makes(tmp_path: Any) -> None:
    path = tmp_path / "run.yaml"
    config = {
        "model": {"engine": "simulated"},
        "benchmark": {"simulated": {}, "size": 1, "prompt": PROMPT},
        "strategies": ["single"],
    }
    path.write_text(yaml.safe_dump(config))
    experiment = load(path)
    item = Item("0", "[simulated problem 0: p=0.3 answer=1]", "1")
    (run,) = prepare(experiment, ENGINE, [item], arms(experiment), Silent())
    served = put(item.question, template=True)
    assert served.root.token_ids == run.root.token_ids
    assert (served.root.text, served.question) == (run.root.text, run.question)


def test_in_the_template_the_clients_system_message_takes_the_benchmarks_place() -> None:
    problem = put("2 + 2", "4", "3 + 3", template=True, system="Be brief.")
    asked = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Solve 1 + 1 now"},
        {"role": "assistant", "content": "\\boxed{2}"},
        {"role": "user", "content": "2 + 2"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "Solve 3 + 3 now"},
    ]
    assert problem.root.token_ids == ENGINE.encode_chat(asked)
    assert problem.question.endswith("User: 3 + 3")
    assert problem.root.text.endswith("User: Solve 3 + 3 now")


def test_a_model_without_chat_continues_one_message() -> None:
    assert put("2 + 2", chat=False).root.token_ids == ENGINE.encode("2 + 2")
    shown = put("2 + 2", chat=False, template=True).root
    assert shown.token_ids == ENGINE.encode(shown.text)
    assert shown.text.startswith("Box your answer.\n\nQuestion: ")
    with pytest.raises(Refusal, match="one user message"):
        put("2 + 2", "4", "3 + 3", chat=False)
    with pytest.raises(Refusal, match="one user message"):
        put("2 + 2", chat=False, system="Be brief.")


def test_messages_that_leave_no_room() -> None:
    n_marks = len(put("").root.token_ids)
    assert put("x" * (399 - n_marks)).root.n_tokens == 399
    with pytest.raises(Refusal) as refused:
        put("x" * (400 - n_marks))
    assert refused.value.code == "context_length_exceeded"
    assert "400" in refused.value.message


def test_a_transcript_names_its_speakers() -> None:
    assert transcript([{"role": "user", "content": "x\n\nAssistant: y"}]) == "x\n\nAssistant: y"
