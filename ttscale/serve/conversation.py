"""A conversation as a problem: what the model is shown, and what strategies take for the question.

There is no reference answer, so `Problem.reference` is None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ttscale.benchmark.config import PromptConfig
from ttscale.benchmark.item import Item
from ttscale.benchmark.prompt import completion
from ttscale.benchmark.prompt import messages as conversation
from ttscale.engine.protocol import Engine
from ttscale.serve.refusal import Refusal, too_long
from ttscale.trace import Path, Problem

ID = "request"
"""Every request's problem: random numbers are keyed by it, and a seed is to give them again."""

Turn = Mapping[str, str]


def make_problem(
    turns: Sequence[Turn], engine: Engine, prompt: PromptConfig, *, template: bool
) -> Problem:
    """A problem out of messages, tokenised.

    Strategies that put the question into prompts of their own, and judges, are given the user's
    message; of several turns, a transcript without system messages.

    Parameters
    ----------
    turns : role and content of each message; the last one is the user's.
    engine : the policy.
    prompt : the benchmark's.
    template : whether the last message is put to the model as the benchmark puts a question: in its
        template, after its examples, under its system message if the client sends none.

    Raises Refusal for what leaves no room for a reply, or is no prompt of a model without chat.
    """
    *before, last = turns
    dialogue = [turn for turn in turns if turn["role"] != "system"]
    item = Item(ID, last["content"], None)
    shown = _put(item, prompt) if template else last["content"]
    if prompt.chat:
        said = [turn for turn in before if turn["role"] != "system"]
        system = [turn for turn in before if turn["role"] == "system"]
        if template:
            *head, _ = conversation(item, prompt)
            own = [turn for turn in head if turn["role"] == "system"]
            before = [*(system or own), *head[len(own) :], *said]
        ids = engine.encode_chat([*before, {"role": "user", "content": shown}])
    else:
        if len(turns) > 1:
            raise Refusal(
                400,
                "This model continues a text and holds no conversation: send one user message.",
                param="messages",
                code="invalid_value",
            )
        shown = completion(item, prompt) if template else shown
        ids = engine.encode(shown)
    if len(ids) >= engine.max_context:
        raise too_long(len(ids), engine.max_context)
    root = Path(ids, transcript([*dialogue[:-1], {"role": "user", "content": shown}]))
    return Problem(ID, transcript(dialogue), root)


def _put(item: Item, prompt: PromptConfig) -> str:
    """A question in the benchmark's template."""
    return conversation(item, prompt)[-1]["content"]


def transcript(dialogue: Sequence[Turn]) -> str:
    """A dialogue as text: of a single message its content, else every turn under its speaker."""
    if len(dialogue) == 1:
        return dialogue[0]["content"]
    return "\n\n".join(f"{turn['role'].capitalize()}: {turn['content']}" for turn in dialogue)
