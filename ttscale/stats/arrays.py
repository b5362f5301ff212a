"""Arrays as a user hands them in, turned into checked numpy arrays or an `InputError`."""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ttscale.errors import InputError

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
_T = TypeVar("_T", bound=np.generic)


def real_numbers(name: str, value: npt.ArrayLike) -> FloatArray:
    """Real numbers (NaN allowed) as float64; anything else is an InputError."""
    array = _as_array(name, value)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} must be numbers", where=name, got=value, hint="0.5, 1, nan …")
    return array.astype(np.float64, copy=False)


def finite_numbers(
    name: str, value: npt.ArrayLike, low: float = -np.inf, high: float = np.inf
) -> FloatArray:
    """Real numbers without NaN or infinity inside [low, high]."""
    array = real_numbers(name, value)
    refuse(~np.isfinite(array), name, array, f"{name} must be finite", "drop or impute it")
    outside = (array < low) | (array > high)
    refuse(outside, name, array, f"{name} out of range", f"between {low:g} and {high:g}")
    return array


def whole_numbers(name: str, value: npt.ArrayLike, at_least: int = 0) -> IntArray:
    """Whole numbers >= `at_least` as int64; 3.0 passes, 2.5, NaN and -1 do not."""
    array = _as_array(name, value)
    if array.dtype.kind in "biu":
        whole = array.astype(np.int64, copy=False)
    else:
        array = real_numbers(name, array)
        broken = ~np.isfinite(array) | (array != np.floor(array))
        refuse(broken, name, array, f"{name} must be whole numbers", "a count: 0, 1, 2 …")
        whole = array.astype(np.int64)
    what = f"{name} must not be negative" if at_least == 0 else f"{name} must be >= {at_least}"
    refuse(whole < at_least, name, whole, what, f"{at_least} or more")
    return whole


def sample_counts(
    n_samples: npt.ArrayLike, n_correct: npt.ArrayLike, of: str = "n_correct"
) -> tuple[IntArray, IntArray]:
    """Checked (n, c) with 0 <= c <= n, not yet broadcast."""
    n, c = whole_numbers("n_samples", n_samples), whole_numbers(of, n_correct)
    same_shape(n_samples=n, **{of: c})
    refuse(
        c > n,
        of,
        np.broadcast_to(c, np.broadcast_shapes(c.shape, n.shape)),
        f"{of} is greater than n_samples",
        "counts with 0 <= n_correct <= n_samples, one pair per problem",
    )
    return n, c


def same_shape(**arrays: npt.NDArray[np.generic]) -> tuple[int, ...]:
    """The shape the arrays broadcast to, or an InputError that names all of theirs."""
    try:
        return np.broadcast_shapes(*(array.shape for array in arrays.values()))
    except ValueError as error:
        raise InputError(
            "arrays do not fit together",
            where=", ".join(arrays),
            got=", ".join(f"{name}: shape {array.shape}" for name, array in arrays.items()),
            hint="shapes that numpy can broadcast, e.g. n_samples[:, None] against a row of k",
        ) from error


def as_rows(array: npt.NDArray[_T], shape: tuple[int, ...]) -> npt.NDArray[_T]:
    """The array broadcast to `shape`, all axes but the last made one."""
    return np.broadcast_to(array, shape).reshape(-1, shape[-1])


def refuse(
    broken: npt.NDArray[np.bool_], name: str, array: npt.NDArray[np.generic], what: str, hint: str
) -> None:
    """Raise InputError for the first broken element, if there is one."""
    if np.any(broken):
        index = tuple(int(i) for i in np.argwhere(broken)[0])
        where = name + ("[" + ", ".join(map(str, index)) + "]" if index else "")
        raise InputError(what, where=where, got=array[index].item(), hint=hint)


def _as_array(name: str, value: npt.ArrayLike) -> npt.NDArray[np.generic]:
    try:
        array = np.asarray(value)
        if array.dtype.kind == "O":
            array = array.astype(np.float64)
        return array
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} cannot be read as an array of numbers",
            where=name,
            got=value,
            hint="numbers in equally long rows",
        ) from error
