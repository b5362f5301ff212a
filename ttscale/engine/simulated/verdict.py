"""The simulated model as a judge: asked for one of two words about solutions, it says one.

A prompt is such a question if it ends with two words and `or` between them: `Yes or No.` About one
solution the first word's log-odds are +1 for a right one and −1 for any other; about two, the first
one's +1 or −1 less the second's. Noise is added, normal of standard deviation `NOISE`, that belongs
to the prompt. A right solution has a greater P(Yes) than a wrong one with probability 0.83.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Sequence
from hashlib import blake2b
from statistics import NormalDist
from typing import NamedTuple

from ttscale.engine.protocol import Sampling
from ttscale.engine.simulated import characters
from ttscale.engine.simulated.problems import find_truth
from ttscale.engine.simulated.solution import Draft

NOISE = 1.5

_QUESTION = re.compile(r"\b(\w+) or (\w+)\W*\Z")
_TAIL = 40
"""Tokens of a prompt's end in which a question is looked for."""
_ENDING = re.compile(r"^(?:Answer: (.+)|I do not know\.)$", re.MULTILINE)


class Verdict(NamedTuple):
    """What a question for one of two words will be answered with.

    Attributes
    ----------
    words : the two.
    chance : probability of the first.
    key : hash of the prompt, from which verdicts are drawn.
    """

    words: tuple[str, str]
    chance: float
    key: bytes

    def write(self, sampling: Sampling, seed: int, room: int) -> Draft:
        """One of the words; the likelier one at temperature 0."""
        digest = blake2b(seed.to_bytes(16, "little", signed=True), key=self.key, digest_size=8)
        u = int.from_bytes(digest.digest(), "little") / 2**64
        first = self.chance >= 0.5 if sampling.temperature <= 0 else u < self.chance
        word = self.words[0] if first else self.words[1]
        ids = characters.encode(word)
        ids.append(characters.END)
        logprobs = array("f", [math.log(self.chance if first else 1 - self.chance)])
        logprobs.extend([0.0] * len(word))
        limit = min(sampling.max_tokens, room)
        if len(ids) <= limit:
            return Draft(ids, word, "stop", logprobs)
        return Draft(ids[:limit], word[:limit], "length", logprobs[:limit])

    def watched(self, token_ids: Sequence[int]) -> array[float]:
        """Log-probability of each token as the first one; words that begin alike share it."""
        chances = {ord(word[0]): 0.0 for word in self.words}
        for word, chance in zip(self.words, (self.chance, 1 - self.chance), strict=True):
            chances[ord(word[0])] += chance
        return array("f", [math.log(chances[t]) if t in chances else -math.inf for t in token_ids])


def find_verdict(prefix: array[int], salt: bytes) -> Verdict | None:
    """The verdict that a prompt asks for; None if it asks for none.

    Raises InputError for a marker that cannot be read.
    """
    match = _QUESTION.search(characters.decode(prefix[-_TAIL:]))
    if match is None:
        return None
    text = characters.decode(prefix)
    truth, end = find_truth(text)
    sides = [1.0 if answer == truth.answer else -1.0 for answer in _ENDING.findall(text, end)]
    odds = sides[0] - sides[1] if len(sides) == 2 else sides[0] if len(sides) == 1 else -1.0
    key = blake2b(prefix, digest_size=32, person=salt).digest()
    uniform = (int.from_bytes(key[:8], "big") + 0.5) / 2**64
    odds += NOISE * NormalDist().inv_cdf(uniform)
    return Verdict((match[1], match[2]), 1 / (1 + math.exp(-odds)), key)
