"""Prompts made of a problem and of what was said about it, within the model's context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ttscale.context import Context
from ttscale.selection.listing import labelled, read_number, shorten, shown
from ttscale.trace import Path
from ttscale.vote import plurality

REPLY = 256
"""Tokens of the context that are kept free for the reply to a prompt that has to be shortened."""


def fitting(
    ctx: Context, texts: Sequence[str], write: Callable[[Sequence[str]], Path], reply: int
) -> Path:
    """A path made of texts, shortened until it leaves room for a reply of so many tokens.

    The rule is `ttscale.selection.listing.shorten`'s; what was cut is noted in `shortened_texts`
    and `cut_characters`.
    """
    parts = shorten(texts, lambda parts: ctx.room(write(parts)) >= reply)
    ctx.notes["shortened_texts"] += sum(a != b for a, b in zip(texts, parts, strict=True))
    ctx.notes["cut_characters"] += sum(map(len, texts)) - sum(map(len, parts))
    return write(parts)


def fitting_prompt(
    ctx: Context,
    texts: Sequence[str],
    write: Callable[[str], str],
    *,
    name: str = "Solution",
    model: str | None = None,
) -> Path:
    """A prompt that holds numbered texts, shortened where the context does not hold them whole.

    Parameters
    ----------
    texts : what is to be listed.
    write : the prompt's text out of the list.
    name : heading of each text.
    model : as in `ctx.prompt`.
    """

    def prompt(parts: Sequence[str]) -> Path:
        return ctx.prompt(write(labelled(parts, name)), model=model)

    return fitting(ctx, texts, prompt, min(REPLY, ctx.sampling.max_tokens))


class Choice(NamedTuple):
    """What models chose among candidates.

    Attributes
    ----------
    winner : index of the chosen candidate; None if none has an answer.
    share : its answer's share of the verdicts, or of the votes if no verdict could be read.
    tied : number of answers that shared the top place.
    """

    winner: int | None
    share: float
    tied: int


async def choose_by_asking(
    ctx: Context,
    candidates: Sequence[Path],
    question: Callable[[str], str],
    *,
    n_verdicts: int = 1,
    model: str | None = None,
    max_tokens: int,
) -> Choice:
    """Have a model choose among candidates by number; the answer chosen most often wins.

    Each verdict sees the candidates that have an answer in an order of its own, as models prefer
    some places. Where all answers agree nobody is asked. Verdicts without a number do not count
    (noted as `unread_verdicts`); without any verdict the most frequent answer is taken.

    Parameters
    ----------
    candidates : finished paths.
    question : the prompt's text out of the list of candidates.
    n_verdicts : how often the model is asked.
    model, max_tokens : who is asked, and for how many tokens.
    """
    classes = await ctx.classes(candidates)
    answering = [i for i, answer_class in enumerate(classes) if answer_class is not None]
    chosen: list[int] = []
    if len({classes[i] for i in answering}) > 1:
        texts = [shown(candidates[i].response) for i in answering]
        orders = [ctx.rng.permutation(len(answering)).tolist() for _ in range(n_verdicts)]
        prompts = [
            fitting_prompt(ctx, [texts[i] for i in order], question, model=model)
            for order in orders
        ]
        for order, reply in zip(
            orders, await ctx.sample(prompts, max_tokens=max_tokens), strict=True
        ):
            number = read_number(reply.response, len(order))
            if number is None:
                ctx.notes["unread_verdicts"] += 1
            else:
                chosen.append(answering[order[number - 1]])
    voters = chosen or list(range(len(candidates)))
    vote = plurality([classes[i] for i in voters], ctx.rng)
    winner = None if vote.winner is None else voters[vote.winner]
    return Choice(winner, vote.share, vote.tied)
