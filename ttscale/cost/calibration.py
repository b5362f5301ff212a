"""Fit what share of its peaks a machine reaches, from measured forward passes."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ttscale.cost.architecture import Amount
from ttscale.cost.hardware import Calibration, Hardware
from ttscale.cost.price import roofline_seconds
from ttscale.cost.work import Work
from ttscale.errors import InputError


class Fit(NamedTuple):
    """A calibration and how it misses the passes it was fitted to.

    Attributes
    ----------
    calibration : to put into a hardware sheet.
    residuals : predicted over measured seconds less 1, one for each pass.
    """

    calibration: Calibration
    residuals: Amount

    @property
    def median_error(self) -> float:
        """Median absolute relative error."""
        return float(np.median(np.abs(self.residuals)))


def calibrate(
    work: Work,
    seconds: npt.ArrayLike,
    hardware: Hardware,
    compute: str = "bf16",
    grain: Literal["phase", "part"] = "part",
) -> Fit:
    """Fit compute and memory shares and the overhead per pass to measured times.

    Parameters
    ----------
    work : an array of at least 3 batches of work, such as single decode steps.
    seconds : measured, one for each.
    hardware : the machine; only its peaks are used.
    compute : number format of the matrix products.
    grain : what the maximum of compute and memory is taken over; see `Calibration`.

    Notes
    -----
    Least squares on log seconds with a soft loss, from nine starts, so that short and long passes
    weigh alike and an outlier little.

    Raises
    ------
    InputError : fewer than 3 passes, or a time that is not above zero.
    """
    from scipy.optimize import least_squares

    measured = np.asarray(seconds, np.float64)
    if measured.ndim != 1 or len(measured) < 3 or not np.all(measured > 0):
        raise InputError("needs at least 3 measured times above zero", where="seconds", got=seconds)
    least = float(measured.min())

    def machine(parameters: Amount) -> Hardware:
        share, reads, overhead = np.exp(parameters)
        fitted = Calibration(float(share), float(reads), float(overhead), grain)
        return dataclasses.replace(hardware, calibration=fitted)

    def miss(parameters: Amount) -> Amount:
        predicted = roofline_seconds(work, machine(parameters), compute)
        return np.log(np.broadcast_to(predicted, measured.shape) / measured)

    starts = [(c, m) for c in (0.1, 0.4, 0.9) for m in (0.1, 0.4, 0.9)]
    fits = [
        least_squares(
            miss,
            np.log([share, reads, least / 4]),
            bounds=(np.log([1e-4, 1e-4, least * 1e-6]), np.log([2.0, 2.0, least])),
            loss="soft_l1",
            f_scale=0.1,
        )
        for share, reads in starts
    ]
    best = min(fits, key=lambda fit: float(fit.cost))
    return Fit(machine(best.x).calibration, np.expm1(miss(best.x)))
