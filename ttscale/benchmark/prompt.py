"""Prompts out of items: the template and the examples are data in the configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ttscale.benchmark.config import PromptConfig
from ttscale.benchmark.item import Item

_FIELD = re.compile(r"\{(question|choices|tests|answer)\}")


def letter(index: int) -> str:
    """The letter of a choice: A for 0, B for 1."""
    return chr(ord("A") + index)


def messages(item: Item, prompt: PromptConfig) -> list[dict[str, str]]:
    """The conversation to put to a chat model, one {'role', 'content'} for each turn."""
    turns = [("system", prompt.system)] if prompt.system else []
    for shot in prompt.few_shot:
        turns.append(("user", _fill(prompt.template, shot.question, shot.choices)))
        turns.append(("assistant", shot.answer))
    turns.append(
        ("user", _fill(prompt.template, item.question, _choices(item), tests=_tests(item)))
    )
    return [{"role": role, "content": content} for role, content in turns]


def completion(item: Item, prompt: PromptConfig) -> str:
    """The text that a base model continues: system text, examples, question."""
    shots = [
        _fill(prompt.few_shot_template, shot.question, shot.choices, shot.answer)
        for shot in prompt.few_shot
    ]
    head = f"{prompt.system}\n\n" if prompt.system else ""
    return (
        head
        + "".join(shots)
        + _fill(prompt.template, item.question, _choices(item), tests=_tests(item))
    )


def _choices(item: Item) -> Sequence[str]:
    choices = item.metadata.get("choices", ())
    assert isinstance(choices, tuple), "an item's choices are a tuple of strings"
    return choices


def _tests(item: Item) -> str:
    tests = item.metadata.get("tests", ())
    assert isinstance(tests, tuple), "an item's visible tests are a tuple of strings"
    return "\n".join(tests)


def _fill(
    template: str, question: str, choices: Sequence[str], answer: str = "", tests: str = ""
) -> str:
    """Replace the fields in one pass: other braces, and braces in the values, stay as they are."""
    values = {
        "question": question,
        "choices": "\n".join(f"({letter(i)}) {choice}" for i, choice in enumerate(choices)),
        "tests": tests,
        "answer": answer,
    }
    return _FIELD.sub(lambda match: values[match[1]], template)
