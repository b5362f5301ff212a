"""Which replica a request goes to: a problem's tree stays where its cache is.

A sequence belongs to the prompt it begins with, and a prompt to a replica by rendezvous hashing
(Thaler and Ravishankar, 1998): every process finds the same order of replicas, and one that is away
leaves the prompts of the others where they are. A prompt that is met for the first time passes over
a replica that has far more to do than the others, as in consistent hashing with bounded loads
(Mirrokni et al., 2018, 1608.01350).
"""

from __future__ import annotations

from array import array
from collections import Counter, OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

SURPLUS = 1.25
"""Load over the mean above which a replica gets no new prompt."""

REMEMBERED = 65_536
"""Prompts whose home is kept in mind."""


class _Prompt:
    """A prompt that was met: its length in bytes, and its replica once there is one."""

    __slots__ = ("home", "n_bytes")

    def __init__(self, n_bytes: int) -> None:
        self.n_bytes = n_bytes
        self.home: int | None = None


class Routes:
    """The prompts that were met, and the replicas in each one's order.

    Parameters
    ----------
    replicas : their addresses, which are what is hashed.
    """

    def __init__(self, replicas: Sequence[str]) -> None:
        self._replicas = [address.encode() for address in replicas]
        self._prompts: OrderedDict[bytes, _Prompt] = OrderedDict()
        self._lengths: Counter[int] = Counter()

    def note_prompt(self, token_ids: array[int]) -> None:
        """Remember a prompt: what begins with it belongs together."""
        if len(self._replicas) > 1:
            data = token_ids.tobytes()
            self._remember(_digest(data), len(data))

    def order(self, token_ids: array[int], loads: Sequence[int]) -> list[int]:
        """The replicas in the order in which a sequence goes to them.

        Parameters
        ----------
        token_ids : the sequence; it belongs to the longest prompt that it begins with, or else to
            itself.
        loads : what each replica has to do now.
        """
        if len(self._replicas) == 1:
            return [0]
        key, prompt = self._find(token_ids.tobytes())
        ranked = _rank(key, self._replicas)
        if prompt.home is None:
            bound = SURPLUS * (sum(loads) + 1) / len(loads)
            prompt.home = next((place for place in ranked if loads[place] < bound), ranked[0])
        return [prompt.home, *(place for place in ranked if place != prompt.home)]

    def _find(self, sequence: bytes) -> tuple[bytes, _Prompt]:
        """The longest prompt a sequence begins with, the latest in use."""
        for n_bytes in sorted(self._lengths, reverse=True):
            if n_bytes <= len(sequence):
                key = _digest(sequence[:n_bytes])
                prompt = self._prompts.get(key)
                if prompt is not None and prompt.n_bytes == n_bytes:
                    self._prompts.move_to_end(key)
                    return key, prompt
        key = _digest(sequence)
        return key, self._remember(key, len(sequence))

    def _remember(self, key: bytes, n_bytes: int) -> _Prompt:
        if (known := self._prompts.get(key)) is not None:
            return known
        prompt = self._prompts[key] = _Prompt(n_bytes)
        self._lengths[n_bytes] += 1
        if len(self._prompts) > REMEMBERED:
            _, oldest = self._prompts.popitem(last=False)
            self._lengths[oldest.n_bytes] -= 1
            if not self._lengths[oldest.n_bytes]:
                del self._lengths[oldest.n_bytes]
        return prompt


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=8).digest()


def _rank(prompt: bytes, replicas: Sequence[bytes]) -> list[int]:
    """Replicas by falling hash of prompt and address."""
    weights = [_digest(prompt + address) for address in replicas]
    return sorted(range(len(replicas)), key=weights.__getitem__, reverse=True)
