"""How a reward model wants a solution written, and where in it the scores are read."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, model_validator

from ttscale.engine.protocol import Layout, Solution
from ttscale.errors import InputError
from ttscale.trace import TOKEN


class Tokenizer(Protocol):
    """What a format needs of the reward model's tokenizer."""

    @property
    def bos(self) -> str:
        """The text of the token that begins a sequence, empty if there is none."""

    def encode(self, text: str, *, special: bool = True) -> array[int]:
        """Token ids of plain text, with the tokens the model expects around it if `special`."""

    def encode_chat(
        self, messages: Sequence[Mapping[str, str]], *, reply: bool = True
    ) -> array[int]:
        """Token ids of a conversation, up to the reply unless told not."""


class RewardFormat(BaseModel):
    """A reward model's prompt format.

    Attributes
    ----------
    layout : `policy`, the policy's own token ids, for a reward model with the policy's tokenizer;
        `response`, the question's part and then the policy's own ids of the response; `chat`, one
        conversation whose reply holds all steps; `dialogue`, a user turn for each step that the
        model answers with a verdict; `text`, plain text; `pieces`, plain text whose steps
        are tokenised one by one.
    system : the system message of a conversation.
    question : the question's part, `{question}` in it, and `{bos}` where the beginning token is
        wanted and the tokenizer does not put it there.
    step : each step's part, `{step}` in it; with the mark, if there is one.
    mark : the token at which a step's score is read, and after each step in `pieces`; in a
        `dialogue`, the verdict that earlier steps got. A `chat` without one is scored at its end,
        once for the whole solution.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal["policy", "response", "chat", "dialogue", "text", "pieces"] = "policy"
    system: str | None = None
    question: str = "{question}"
    step: str = "{step}"
    mark: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "{step}" not in self.step or "{question}" not in self.question:
            raise InputError(
                "a reward format shows the question and every step",
                where="format",
                got=f"question: {self.question!r}, step: {self.step!r}",
                hint="put {question} and {step} where they belong",
            )
        if self.layout == "text" and self.mark is None:
            raise InputError(
                "a plain text needs a mark, at which scores are read",
                where="format.mark",
                hint="such as ` ки` of Math-Shepherd, with step: '{step} ки\\n'",
            )
        return self

    def lay_out(self, solution: Solution, tokenizer: Tokenizer) -> Layout:
        """The sequence to score, cut after the last position, and a position for each step.

        Raises InputError where the mark is not one token of the model's.
        """
        if self.layout == "policy":
            ends = solution.ends
            return Layout(solution.token_ids[: ends[-1] + 1], tuple(ends))
        question = self.question.replace("{bos}", tokenizer.bos)
        question = question.replace("{question}", solution.question)
        if self.layout == "response":
            ids = tokenizer.encode(question)
            moved = len(ids) - solution.n_prompt
            ids += solution.token_ids[solution.n_prompt : solution.ends[-1] + 1]
            return Layout(ids, tuple(end + moved for end in solution.ends))
        steps = [self.step.replace("{step}", step) for step in solution.steps]
        if self.layout == "dialogue":
            return self._dialogue(question, steps, tokenizer)
        if self.layout == "pieces":
            return _pieces(question, steps, self.mark, tokenizer)
        if self.layout == "chat":
            ids = tokenizer.encode_chat(
                [*self._head(question), {"role": "assistant", "content": "".join(steps)}],
                reply=False,
            )
            if self.mark is None:
                return Layout(ids, (len(ids) - 1,))
        else:
            ids = tokenizer.encode(question + "".join(steps))
        return self._at_marks(ids, len(steps), tokenizer)

    def _head(self, question: str) -> list[dict[str, str]]:
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [*system, {"role": "user", "content": question}]

    def _at_marks(self, ids: array[int], n_steps: int, tokenizer: Tokenizer) -> Layout:
        assert self.mark is not None, "there is a mark to look for"
        token = tokenizer.encode(self.mark, special=False)[-1]
        found = [i for i, own in enumerate(ids) if own == token][-n_steps:]
        if len(found) < n_steps:
            raise InputError(
                "the reward model's tokenizer does not have the mark as a token of its own",
                where="format.mark",
                got=f"{self.mark!r} stands {len(found)} times for {n_steps} steps",
                hint="is this the format of this model?",
            )
        return Layout(ids[: found[-1] + 1], tuple(found))

    def _dialogue(self, question: str, steps: Sequence[str], tokenizer: Tokenizer) -> Layout:
        """RLHFlow's form: the verdict on a step follows its turn; earlier verdicts are `mark`."""
        turns = self._head("")[:-1]
        ids: array[int] = array(TOKEN)
        positions = []
        for index, step in enumerate(steps):
            turns.append({"role": "user", "content": step if index else f"{question} {step}"})
            ids = tokenizer.encode_chat(turns, reply=True)
            positions.append(len(ids) - 1)
            turns.append({"role": "assistant", "content": self.mark or "+"})
        return Layout(ids, tuple(positions))


def _pieces(question: str, steps: Sequence[str], mark: str | None, tokenizer: Tokenizer) -> Layout:
    """Each step tokenised by itself and ended by the mark, a token of its own, if there is one."""
    end = tokenizer.encode(mark, special=False)[-1:] if mark is not None else array(TOKEN)
    ids = array(TOKEN, tokenizer.encode(question))
    positions = []
    for step in steps:
        ids += tokenizer.encode(step, special=False) + end
        positions.append(len(ids) - 1)
    return Layout(ids, tuple(positions))
