"""Candidates as a model is shown them, and its choice as it is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ttscale.thinking import final

ELLIPSIS = "… "
"""Stands where the beginning of a text was cut off."""

_ITEM = re.compile(
    r"^[ \t#*]*(?:(?:step|part|sub-?problem|question)[ \t]*)?[0-9]{1,2}[ \t]*[.):]+"
    r"[ \t*]*(\S.*?)[ \t*]*$",
    re.IGNORECASE | re.MULTILINE,
)
_SHARE = re.compile(r"(?<![\w.])(?:0?\.[0-9]+|0|1(?:\.0+)?|0\.)(?![\w]|\.[0-9])")
_NUMBER = re.compile(r"(?<![\w.])[0-9]{1,4}(?![\w]|\.[0-9])")


def labelled(texts: Sequence[str], name: str = "Solution") -> str:
    """Texts one below the other, numbered from 1 under a heading each."""
    return "\n\n".join(f"### {name} {i}\n{text.strip()}" for i, text in enumerate(texts, 1))


def shown(response: str) -> str:
    """What of a response others are shown: its answer, or its thinking where it has no other."""
    return final(response).strip() or response.strip()


def shorten(texts: Sequence[str], fits: Callable[[list[str]], bool]) -> list[str]:
    """The texts, the longest without their beginnings, until they fit.

    All are held to one length in characters, the greatest that fits; the end of a text, where its
    answer stands, is what is kept. Empty texts where nothing fits.

    Parameters
    ----------
    texts : any number.
    fits : whether texts, shortened, fit; what fits must fit when it is shorter.
    """

    def cut(length: int) -> list[str]:
        return [
            text if len(text) <= length else f"{ELLIPSIS}{text[len(text) - length :]}"
            for text in texts
        ]

    longest = max(map(len, texts), default=0)
    if fits(list(texts)):
        return list(texts)
    low, high = 0, longest
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(cut(middle)) else (low, middle)
    return cut(low) if low else [""] * len(texts)


def read_number(reply: str, n: int) -> int | None:
    """The last whole number from 1 to n in a reply, None if there is none; thinking is not read."""
    found = [int(match[0]) for match in _NUMBER.finditer(final(reply))]
    return next((number for number in reversed(found) if 1 <= number <= n), None)


def read_items(reply: str, most: int) -> list[str]:
    """The first `most` lines of a numbered list (`1. …`, `Step 2: …`) in a reply."""
    return _ITEM.findall(final(reply))[:most]


def read_share(reply: str) -> float | None:
    """The last number in [0, 1] in a reply, None if there is none; thinking is not read."""
    found = [float(match) for match in _SHARE.findall(final(reply))]
    return found[-1] if found else None
