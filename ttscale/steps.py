"""Where the steps of a text end, and which tokens complete them: pure functions."""

from __future__ import annotations

import bisect
import re
from array import array
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ttscale.strategy import Until


class Steps(NamedTuple):
    """The steps of one span.

    Attributes
    ----------
    texts : their texts, without the white space around them.
    ends : index of each one's last token in the span; empty if they were not asked for.
    """

    texts: list[str]
    ends: list[int]


def split(
    token_ids: array[int],
    text: str,
    until: Until,
    decode: Callable[[Sequence[int]], str] | None = None,
) -> Steps:
    """The steps of a span that was sampled as a whole, or the one step that it is.

    The last step ends with the span. What holds only white space belongs to the step before it.

    Parameters
    ----------
    token_ids, text : the span.
    until : the step rule. Its `n_tokens` alone needs `decode`.
    decode : the tokenizer's; with it, the tokens that complete the steps are found too.
    """
    if until.n_tokens is not None and not until.text and until.pattern is None:
        assert decode is not None, "steps of a number of tokens are found among tokens"
        starts = range(0, len(token_ids), until.n_tokens)
        pieces = [token_ids[start : start + until.n_tokens] for start in starts]
        lasts = [start + len(piece) - 1 for start, piece in zip(starts, pieces, strict=True)]
        return Steps([decode(piece).strip() for piece in pieces], lasts)
    ends = text_ends(text, until)
    texts = [text[a:b].strip() for a, b in zip([0, *ends], ends, strict=False)]
    if decode is None or not ends:
        return Steps(texts, [])

    def n_characters(n_tokens: int) -> int:
        return len(decode(token_ids[:n_tokens]))

    counts = range(len(token_ids) + 1)
    inner = [bisect.bisect_left(counts, end, key=n_characters) - 1 for end in ends[:-1]]
    return Steps(texts, [*inner, len(token_ids) - 1])


def text_ends(text: str, until: Until) -> list[int]:
    """Where each step of a text ends, in characters; empty for a blank text."""
    rule = until.pattern or "|".join(map(re.escape, until.text))
    found = [match.end() for match in re.finditer(rule, text) if match.group()] if rule else []
    ends: list[int] = []
    start = 0
    for end in [*found, len(text)]:
        if text[start:end].strip():
            ends.append(end)
        elif ends:
            ends[-1] = end
        else:
            continue
        start = end
    return ends
