"""What passes between the journals of one run that is spread over machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Span(NamedTuple):
    """The streams first … first + n − 1 of a call."""

    base: bytes
    first: int
    n: int


class Rows(NamedTuple):
    """Rows as they lie in the file.

    Attributes
    ----------
    calls : key, stream index, who paid, and what came of it.
    facts : key and value.
    """

    calls: list[tuple[bytes, int, str, bytes]]
    facts: list[tuple[bytes, bytes]]


class Upstream(Protocol):
    """The journal that another one flows into."""

    def committed(self, rows: Rows) -> None:
        """Take what was committed."""

    async def lookup(self, spans: Sequence[Span], facts: Sequence[bytes]) -> Rows:
        """What is known of these streams and facts."""
