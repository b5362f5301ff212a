"""Thinking and answer of a reasoning model's response, told apart by the marks of its format.

The one place that knows the marks. A response that opens its thinking and never closes it has not
answered. Where the chat template opens it, the mark is at the prompt's end.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MARKS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
    ("[THINK]", "[/THINK]"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
)
"""Where thinking opens and closes: DeepSeek and Qwen, and others; Kimi; Magistral; Sky-T1."""

_CLOSED = re.compile("|".join(re.escape(close) for _, close in MARKS))
_OPENED = re.compile(r"\s*(?:" + "|".join(re.escape(opened) for opened, _ in MARKS) + ")")
_CHANNEL = re.compile(r"(?:<\|start\|>assistant)?<\|channel\|>(?P<name>\w+)[^<]*<\|message\|>")
_CHANNEL_END = re.compile(r"<\|(?:end|return|call)\|>")
_BARE_CHANNELS = re.compile(r"\A(?:analysis|commentary)(?=[A-Z])(?P<rest>.*)\Z", re.DOTALL)
_BARE_FINAL = "assistantfinal"


class Thought(NamedTuple):
    """A response in two parts.

    Attributes
    ----------
    thinking : what it says before it answers, without marks.
    answer : what it answers; empty while it thinks.
    closed : whether the thinking came to an end; None where there is none.
    """

    thinking: str
    answer: str
    closed: bool | None


def split(text: str) -> Thought:
    """The thinking and the answer in a response.

    What follows the last closing mark is the answer, so that thinking in several blocks, or taken
    up again, is thinking throughout. Of channels (`<|channel|>analysis<|message|>…`, with or
    without their special tokens) the last `final` one is the answer.
    """
    if "<|channel|>" in text:
        return _channels(text)
    if bare := _BARE_CHANNELS.match(text):
        thinking, mark, answer = bare["rest"].rpartition(_BARE_FINAL)
        return Thought(thinking, answer, True) if mark else Thought(answer, "", False)
    closings = list(_CLOSED.finditer(text))
    opened = _OPENED.match(text)
    start = opened.end() if opened else 0
    if closings:
        last = closings[-1]
        return Thought(text[start : last.start()], text[last.end() :], True)
    return Thought(text[start:], "", False) if opened else Thought("", text, None)


def final(text: str) -> str:
    """What a response answers, without its thinking."""
    return split(text).answer


def opening(prompt_end: str) -> str:
    """The mark that opens thinking at the end of a prompt, empty if there is none."""
    last = prompt_end.rstrip()
    return next((opened for opened, _ in MARKS if last.endswith(opened)), "")


def _channels(text: str) -> Thought:
    """The parts of a response in channels; what stands before the first has the first's name."""
    starts = list(_CHANNEL.finditer(text))
    ends = [*(match.start() for match in starts[1:]), len(text)]
    thinking, answer = [text[: starts[0].start()] if starts else text], ""
    for match, end in zip(starts, ends, strict=True):
        part = _CHANNEL_END.sub("", text[match.end() : end])
        if match["name"] == "final":
            answer = part
        else:
            thinking.append(part)
    return Thought("".join(thinking), answer, bool(answer))
