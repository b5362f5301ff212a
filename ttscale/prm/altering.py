"""Wrong steps made of right ones: the last number of a step replaced by another.

A right response with one result changed is wrong from there on, whatever the task, and differs from
the right one in nothing else. Such pairs show where a mistake lies more plainly than rollouts do,
and nothing is sampled for them. (Steps corrupted on purpose are an old source of negatives for
verifiers; here they stand beside the policy's own mistakes, not in their place.)
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

import numpy as np

from ttscale.prm.labelling import Decode, Labelled, Sampled

Encode = Callable[[str], Sequence[int]]

FARTHEST = 10
"""The greatest difference between a number and what takes its place."""


def alter(
    problem: Labelled, n: int, decode: Decode, encode: Encode, rng: np.random.Generator
) -> Labelled:
    """The problem with up to `n` altered versions of every distinct step of its right responses.

    An altered version is a response that ends with its altered step, and is wrong. The number is
    replaced by one at most `FARTHEST` away, nearer ones more often, never below 0. Steps without a
    number in tokens of its own stay as they are.
    """
    seen: set[bytes] = set()
    made = []
    for response in problem.responses:
        start = 0
        for end in response.ends if response.right else ():
            ids = response.token_ids[:end]
            if ids.tobytes() not in seen:
                seen.add(ids.tobytes())
                made += [
                    Sampled(path, (len(path),), (decode(path[start:]),), False, n_prefix=len(path))
                    for path in _altered(ids, start, n, decode, encode, rng)
                ]
            start = end
    return problem._replace(responses=[*problem.responses, *made])


def _altered(
    ids: array[int],
    start: int,
    n: int,
    decode: Decode,
    encode: Encode,
    rng: np.random.Generator,
) -> list[array[int]]:
    """A path whose last step begins at `start`, with other numbers at the end of that step."""
    first, last = _last_number(ids, start, decode)
    if first == last:
        return []
    value = int(decode(ids[first:last]))
    offsets = np.delete(np.arange(-FARTHEST, FARTHEST + 1), FARTHEST)
    offsets = offsets[value + offsets >= 0]
    odds = 1 / np.abs(offsets)
    chosen = rng.choice(offsets, min(n, len(offsets)), replace=False, p=odds / odds.sum())
    others = [array(ids.typecode, encode(str(value + int(offset)))) for offset in chosen]
    return [ids[:first] + other + ids[last:] for other in others]


def _last_number(ids: array[int], start: int, decode: Decode) -> tuple[int, int]:
    """Where the last number from `start` on begins and ends that is written in tokens of its own.

    Both are `start` if there is none.
    """
    last = len(ids)
    while last > start and not _is_number(decode(ids[last - 1 : last])):
        last -= 1
    first = last
    while first > start and _is_number(decode(ids[first - 1 : first])):
        first -= 1
    return first, last


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
