"""Whose the seconds of a machine were: measured time, shared among the sequences under way."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ttscale.cost.architecture import Amount


def machine_seconds(
    started: npt.ArrayLike, seconds: npt.ArrayLike, replayed: npt.ArrayLike
) -> Amount:
    """Seconds of the machine that each sequence took: every instant is shared equally.

    At an instant with n sequences under way each of them takes 1/n of it, so that the shares of
    those that were paid for add up to the time in which anything ran. A replayed sequence takes
    what it did when it was made: it is what a strategy would have needed by itself in such company.

    Parameters
    ----------
    started, seconds : one entry for each sequence; replayed ones have those of their making.
    replayed : whether another entry, or another run, had paid for it.

    Returns one entry for each sequence. Waiting counts as being under way, and a long prompt no
    more than a short one: this is an account of time, not of work.
    """
    start, span = np.asarray(started, np.float64), np.asarray(seconds, np.float64)
    if not len(start):
        return np.zeros(0)
    made = ~np.asarray(replayed, bool)
    once = _made_elsewhere(start, span, made)
    begin = np.concatenate([start[made], once[:, 0]])
    end = begin + np.concatenate([span[made], once[:, 1]])
    times, place = np.unique(np.concatenate([begin, end]), return_inverse=True)
    change = np.repeat([1, -1], len(begin))
    active = np.cumsum(np.bincount(place, change, len(times)))[:-1]
    share = np.divide(np.diff(times), active, out=np.zeros(len(active)), where=active > 0)
    gone = np.concatenate([[0.0], np.cumsum(share)])
    whole: Amount = np.interp(start + span, times, gone) - np.interp(start, times, gone)
    return whole


def _made_elsewhere(start: Amount, span: Amount, made: npt.NDArray[np.bool_]) -> Amount:
    """Start and duration, (n, 2), of what no entry here paid for, each once."""
    known = set(zip(start[made].tolist(), span[made].tolist(), strict=True))
    others = zip(start[~made].tolist(), span[~made].tolist(), strict=True)
    return np.array(sorted(set(others) - known)).reshape(-1, 2)
