"""Reading counts for a fit: what is wrong with them is said here, in the user's terms."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ttscale.errors import InputError
from ttscale.laws.grid import Array
from ttscale.laws.likelihood import Counts


def checked_counts(n_samples: ArrayLike, n_correct: ArrayLike) -> tuple[Counts, Counts]:
    """Counts of each problem as int64 arrays of shape (Q,), or an InputError that says why not."""
    columns: list[Counts] = []
    for name, given in (("n_samples", n_samples), ("n_correct", n_correct)):
        try:
            values = np.atleast_1d(np.asarray(given, dtype=np.float64))
        except (TypeError, ValueError):
            raise InputError("Counts must be numbers.", where=name, got=given) from None
        if values.ndim != 1:
            raise InputError(
                "Counts are one number for each problem.", where=name, got=values.shape
            )
        whole = np.isfinite(values) & (values >= 0) & (values == np.round(values))
        if not whole.all():
            row = int(np.flatnonzero(~whole)[0])
            raise InputError(
                "Counts must be whole numbers, zero or more.",
                where=f"{name}, problem {row}",
                got=float(values[row]),
            )
        columns.append(values.astype(np.int64))
    n, c = columns
    if n.shape != c.shape:
        raise InputError(
            "n_samples and n_correct must have one entry for each problem.",
            got=f"{len(n)} and {len(c)} entries",
        )
    if not len(n):
        raise InputError("There is no problem to fit.", where="n_samples", got="no rows")
    for broken, what in ((c > n, "More correct samples than samples."), (n < 1, "No samples.")):
        if broken.any():
            row = int(np.flatnonzero(broken)[0])
            raise InputError(
                what,
                where=f"problem {row}",
                got=f"n_samples = {n[row]}, n_correct = {c[row]}",
                hint="leave the problem out, or mend its counts",
            )
    return n, c


def checked_budget(fit_up_to: int | None, largest: int) -> int:
    """The largest subset a fit may see."""
    if fit_up_to is None:
        return largest
    if fit_up_to < 1 or fit_up_to != int(fit_up_to):
        raise InputError(
            "A fit needs at least one sample.",
            where="fit_up_to",
            got=fit_up_to,
            hint=f"a whole number from 1 to {largest}, the largest number of samples",
        )
    return min(int(fit_up_to), largest)


def cannot_tell(n_samples: Counts, n_correct: Counts) -> str | None:
    """Why these counts bear no law, or None when they do."""
    if len(n_samples) < 3:
        return (
            f"{len(n_samples)} problem(s): a law of coverage describes how problems differ, "
            "and takes at least 3 of them"
        )
    if not n_correct.any():
        return (
            f"none of the {len(n_samples)} problems was ever solved: their success rates are "
            "only known to be small"
        )
    if (n_correct == n_samples).all():
        return (
            f"all {len(n_samples)} problems were always solved: their failure rates are only "
            "known to be small"
        )
    if n_samples.max() == 1:
        return (
            "one sample a problem: a pool of single samples tells the mean success rate, "
            "not how it differs between problems"
        )
    return None


def checked_ks(ks: ArrayLike) -> Array:
    """Budgets as a float array of shape (K,)."""
    values = np.atleast_1d(np.asarray(ks, dtype=np.float64))
    if values.ndim != 1 or not np.all((values > 0) & np.isfinite(values)):
        raise InputError("Budgets are finite and above zero.", where="k", got=ks)
    return values
