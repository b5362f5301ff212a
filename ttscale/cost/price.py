"""What work costs on a machine: eFLOPs, seconds, dollars and joules."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ttscale.cost.architecture import Amount
from ttscale.cost.hardware import Hardware
from ttscale.cost.work import Split, Work

PHASES = ("prefill", "decode")
PARTS = ("linear", "attention", "head")


class Price(NamedTuple):
    """The cost of some work, per sequence where the work is.

    Attributes
    ----------
    eflops : FLOPs + I × bytes, Kinetics' additive measure with the machine's own intensity I.
    seconds : of the machine, by roofline.
    usd, joules : seconds × rent and seconds × power; NaN where the sheet has no figure. Power is
        taken at its full rating, which bounds the energy from above.
    """

    eflops: Amount
    seconds: Amount
    usd: Amount
    joules: Amount


def price(work: Work, hardware: Hardware, compute: str = "bf16") -> Price:
    """Price work on a machine.

    Parameters
    ----------
    work : of one sequence or an array of them.
    hardware : the machine, with its calibration.
    compute : number format of the matrix products (`architecture.precision.compute`).
    """
    eflops = work.flops.total + hardware.intensity(compute) * work.n_bytes.total
    seconds = roofline_seconds(work, hardware, compute)
    rent = np.nan if hardware.usd_per_hour is None else hardware.usd_per_hour / 3600
    watts = np.nan if hardware.watts is None else hardware.watts
    return Price(eflops, seconds, seconds * rent, seconds * watts)


def roofline_seconds(work: Work, hardware: Hardware, compute: str = "bf16") -> Amount:
    """Seconds of the machine: max(FLOPs / (peak e_c), bytes / (bandwidth e_m)) and the overhead.

    The maximum is taken for prefill and decode apart, and where the calibration says so for linear
    layers, attention and head apart as well (FORMULAS 5.9).
    """
    calibration = hardware.calibration
    flop_rate = hardware.peak(compute) * calibration.compute
    byte_rate = hardware.bandwidth * calibration.memory
    steps = work.n_prefill_steps + work.n_decode_steps
    total = steps * calibration.overhead_seconds
    for flops, n_bytes in _pieces(work.flops, work.n_bytes, calibration.grain):
        total = total + np.maximum(flops / flop_rate, n_bytes / byte_rate)
    return total


def _pieces(flops: Split, n_bytes: Split, grain: str) -> list[tuple[Amount, Amount]]:
    """FLOPs and bytes of what the maximum is taken over."""
    names = PHASES if grain == "phase" else [f"{a}_{b}" for a in PHASES for b in PARTS]
    return [(getattr(flops, name), getattr(n_bytes, name)) for name in names]
