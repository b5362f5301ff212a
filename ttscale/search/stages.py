"""The stages of a search that goes on step by step."""

from __future__ import annotations

from ttscale.strategy import STEP, Until


def stages(max_steps: int, n: int) -> list[Until | None]:
    """Where each stage ends: `max_steps - 1` times at a step, the last time at the response's end.

    So no path is left unfinished. A search with n = 1 has nothing to choose between: it goes to the
    end at once, and is one plain sample.
    """
    return [STEP] * (max_steps - 1 if n > 1 else 0) + [None]
