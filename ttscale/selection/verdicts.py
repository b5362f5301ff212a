"""A model asked for one of two words: prompts that fit, its first token's odds, its replies."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from ttscale.context import Context
from ttscale.errors import InputError
from ttscale.selection.listing import shorten
from ttscale.thinking import final
from ttscale.trace import Path

UNDECIDED = 0.5
"""A first token with less probability than this on the two words is noted as undecided."""

_FIELD = re.compile(r"\{([a-z]+)\}")


def fill(template: str, fields: dict[str, str]) -> str:
    """The template with each `{field}` replaced, once; other braces stay as they are."""
    return _FIELD.sub(lambda match: fields.get(match[1], match[0]), template)


def check_template(template: str, names: Sequence[str]) -> None:
    """Raise ValueError for a template without one of its fields."""
    for name in names:
        if f"{{{name}}}" not in template:
            raise ValueError(f"the prompt has no {{{name}}} in it")


def ask_about(
    ctx: Context,
    texts: Sequence[str],
    write: Callable[[Sequence[str]], str],
    *,
    reply: int,
    model: str | None,
) -> Path | None:
    """A prompt that holds texts, cut where the context does not hold them; None if it never does.

    The longest lose their beginnings first. What was cut is noted in `shortened_texts` and
    `cut_characters`.

    Parameters
    ----------
    write : the prompt's text out of the texts.
    reply : tokens that are to follow.
    model : as in `ctx.prompt`.
    """

    def fits(prompt: Path) -> bool:
        return ctx.room(prompt) >= min(reply, ctx.sampling.max_tokens)

    prompt = ctx.prompt(write(texts), model=model)
    if fits(prompt):
        return prompt
    parts = shorten(texts, lambda parts: fits(ctx.prompt(write(parts), model=model)))
    prompt = ctx.prompt(write(parts), model=model)
    if not fits(prompt):
        ctx.notes["unfitting_prompts"] += 1
        return None
    ctx.notes["shortened_texts"] += sum(a != b for a, b in zip(texts, parts, strict=True))
    ctx.notes["cut_characters"] += sum(map(len, texts)) - sum(map(len, parts))
    return prompt


async def first_word_shares(
    ctx: Context, prompts: Sequence[Path], words: tuple[str, str]
) -> list[float]:
    """P(first word) / (P(first word) + P(second)), read at the first token of each reply.

    A word's probability is that of the tokens it can begin with, after a blank or not. Prompts
    whose replies most likely begin otherwise are noted as `undecided_verdicts`; NaN where neither
    word has any probability.

    Raises InputError where the words begin alike, or the engine cannot watch tokens.
    """
    if not prompts:
        return []
    one, other = ({*_beginnings(ctx, prompts[0], word)} for word in words)
    both = one & other
    watch = (*sorted(one - both), *sorted(other - both))
    n_one = len(one - both)
    if not 0 < n_one < len(watch):
        raise InputError(
            "the model's vocabulary begins both words with the same token",
            where=f"strategy {ctx.arm}",
            got=" and ".join(words),
            hint="sample verdicts instead: `verdicts: 8`",
        )
    replies = await ctx.sample(
        prompts,
        max_tokens=1,
        min_tokens=0,
        temperature=0.0,
        stop=(),
        top_logprobs=0,
        watch=watch,
    )
    shares = []
    for reply in replies:
        if len(reply.watched) != len(watch):
            raise InputError(
                "the engine does not tell the probabilities of given tokens",
                where=f"strategy {ctx.arm}",
                hint="sample verdicts instead: `verdicts: 8`",
            )
        chances = [math.exp(logprob) for logprob in reply.watched]
        mine, either = math.fsum(chances[:n_one]), math.fsum(chances)
        ctx.notes["undecided_verdicts"] += either < UNDECIDED
        shares.append(mine / either if either > 0 else math.nan)
    return shares


def _beginnings(ctx: Context, prompt: Path, word: str) -> list[int]:
    return [ctx.extend(prompt, form).token_ids[0] for form in (word, f" {word}")]


def read_word(reply: str, words: tuple[str, str]) -> bool | None:
    """Whether the last of the two words in a reply is the first one; thinking is not read.

    Case does not matter. None where neither stands there.
    """
    found = re.findall(rf"\b({'|'.join(map(re.escape, words))})\b", final(reply), re.IGNORECASE)
    return found[-1].casefold() == words[0].casefold() if found else None
