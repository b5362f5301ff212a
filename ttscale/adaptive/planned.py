"""What a plan allots to problems of each difficulty, read from the JSON of `ttscale plan`."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ttscale.errors import InputError
from ttscale.search.fields import Pick

_MEASURE = re.compile(
    r"(?:(?P<agreement>agreement)|mean (?P<verifier>.+)) of a pilot of (?P<n>\d+)"
)


class Bin(NamedTuple):
    """What problems of one difficulty get.

    Attributes
    ----------
    below : the reading under which a problem belongs here; None for the easiest.
    n : samples in all, the pilot's included.
    pick : how a verifier chooses; None for a plain vote.
    """

    below: float | None
    n: int
    pick: Pick | None = None


class Planned(NamedTuple):
    """Bins, hardest first, and the pilot whose reading tells them apart.

    `verifier` is the one whose mean score is read; None for the pilot's agreement.
    """

    n_pilot: int
    verifier: str | None
    bins: tuple[Bin, ...]

    def bin_of(self, reading: float) -> Bin:
        """The bin of a pilot's reading; NaN is hardest."""
        for each in self.bins:
            if each.below is None or not reading >= each.below:
                return each
        raise AssertionError("the last bin has no upper edge")


@lru_cache(maxsize=16)
def read_plan(path: str) -> Planned:
    """The predicted allocation of a plan. Raises InputError where there is none."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        predicted = content["allocation"]["predicted"]
        reason = predicted["reason"]
    except OSError as error:
        raise InputError(f"the plan cannot be read: {error.strerror}", where=path) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            "this is no plan with an allocation by predicted difficulty",
            where=path,
            hint="ttscale plan RUN --budget … --json > plan.json, from a run with answers",
        ) from error
    if reason is not None:
        raise InputError("the plan allots nothing by difficulty", where=path, got=reason)
    measure = _MEASURE.fullmatch(predicted["measure"])
    assert measure is not None, "a plan names its pilot"
    bins = tuple(_bin(each, path) for each in predicted["bins"])
    return Planned(int(measure["n"]), measure["verifier"], bins)


def _bin(each: dict[str, Any], path: str) -> Bin:
    name = each["selector"].partition(":")[0]
    picks: dict[str, Pick | None] = {
        "single": None,
        "majority": None,
        "best_of": "best",
        "weighted_majority": "weighted",
    }
    if name not in picks:
        raise InputError(
            "this selector cannot be run without knowing the answers",
            where=path,
            got=each["selector"],
            hint="plan without --verifiable",
        )
    return Bin(each["below"], each["n"], picks[name])
