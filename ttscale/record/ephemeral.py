"""A journal that is not kept: what one request asked of a model, for as long as it is answered."""

from __future__ import annotations

from collections.abc import Sequence

from ttscale.engine.protocol import Completion, Scores
from ttscale.record.journal import Stored, StoredScore
from ttscale.record.rows import Span


class EphemeralJournal:
    """What a session needs of a journal, in memory; it goes with the session that holds it."""

    def __init__(self) -> None:
        self._calls: dict[tuple[bytes, int], Stored] = {}
        self._scores: dict[bytes, StoredScore] = {}

    def read(self, base: bytes, first: int, n: int) -> dict[int, Stored]:
        """The streams first … first + n − 1 of a call that are known, by stream index."""
        return {
            stream: stored
            for stream in range(first, first + n)
            if (stored := self._calls.get((base, stream))) is not None
        }

    def write(self, base: bytes, stream: int, payer: str, completion: Completion) -> None:
        """Note a finished stream."""
        self._calls.setdefault((base, stream), Stored(completion, payer))

    async def seek(self, spans: Sequence[Span]) -> bool:
        """There is nowhere else."""
        return False

    def read_score(self, key: bytes) -> StoredScore | None:
        """The score of a prefix, if it is known."""
        return self._scores.get(key)

    def write_score(self, key: bytes, payer: str, scores: Scores) -> None:
        """Note the score of a prefix."""
        self._scores.setdefault(key, StoredScore(scores, payer))

    def commit(self) -> None:
        """Nothing to make sure of."""
