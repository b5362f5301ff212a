"""A machine as its sheet gives it: peak arithmetic, memory, power and price."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ttscale.cost.precision import BITS
from ttscale.cost.units import parse_quantity
from ttscale.errors import InputError, closest

STANDINGS = ("vendor", "measured", "assumed")
FALLBACKS = {  # what a number format is computed in where the sheet has no figure for it
    "bf16": ("bf16", "fp16", "fp32"),
    "fp16": ("fp16", "bf16", "fp32"),
    "fp8": ("fp8", "bf16", "fp16", "fp32"),
    "int8": ("int8", "bf16", "fp16", "fp32"),
}
KEYS = {
    *("name", "flops", "bandwidth", "memory", "power", "price"),
    *("calibration", "standing", "source", "notes"),
}


@dataclass(frozen=True)
class Calibration:
    """What share of its peaks a machine reaches in an engine; fitted by `calibrate`.

    Attributes
    ----------
    compute, memory : reached shares of peak FLOP/s and bytes/s.
    overhead_seconds : added to every forward pass.
    grain : `phase` takes the larger of compute and memory time once for a whole phase; `part` for
        linear layers, attention and head apart, which run one after the other.
    """

    compute: float = 1.0
    memory: float = 1.0
    overhead_seconds: float = 0.0
    grain: Literal["phase", "part"] = "phase"


@dataclass(frozen=True)
class Hardware:
    """One device, or several that act as one.

    Attributes
    ----------
    name : how it is called.
    flops : peak dense FLOP/s by number format (`bf16`, `fp8`, `fp32` …).
    bandwidth, memory : bytes/s and bytes.
    watts, usd_per_hour : power under load and rent, None where the sheet has none.
    calibration : reached shares of the peaks.
    standing : for each figure `vendor`, `measured` or `assumed`.
    source : where the figures come from.
    n_devices : how many act as one; peaks, memory, power and rent are of all together.
    """

    name: str
    flops: Mapping[str, float]
    bandwidth: float
    memory: float
    watts: float | None = None
    usd_per_hour: float | None = None
    calibration: Calibration = field(default_factory=Calibration)
    standing: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    n_devices: int = 1

    @staticmethod
    def load(source: str | Path) -> Hardware:
        """The sheet of that name (`H100`), or at that path.

        Raises
        ------
        InputError : no such sheet (with those there are), an unknown or missing key, a bad unit.
        """
        from ttscale.cost.catalog import read_hardware

        name, sheet, where = read_hardware(source)
        return read_sheet(sheet, name=name, where=where)

    def peak(self, compute: str = "bf16") -> float:
        """FLOP/s in a number format, or in the next one that the machine has."""
        for name in FALLBACKS.get(compute, (compute,)):
            if name in self.flops:
                return self.flops[name]
        raise InputError(
            f"{self.name} has no figure for {compute} arithmetic",
            where=f"hardware {self.name}: flops",
            hint=f"one of {', '.join(sorted(self.flops))}",
        )

    def intensity(self, compute: str = "bf16") -> float:
        """FLOPs the machine can do for each byte it reads: peak over bandwidth."""
        return self.peak(compute) / self.bandwidth

    def crossover_batch(self, weight_bits: float = 16.0, compute: str = "bf16") -> float:
        """Batch above which weight reads are hidden behind arithmetic: I b_w / 2, weights only."""
        return self.intensity(compute) * weight_bits / 16

    def times(self, n_devices: int) -> Hardware:
        """`n_devices` of it splitting every layer evenly; what they say to each other is free."""
        if n_devices < 1:
            raise InputError("devices must be at least 1", where="devices", got=n_devices)

        def all_of(value: float | None) -> float | None:
            return None if value is None else value * n_devices

        return dataclasses.replace(
            self,
            flops={name: value * n_devices for name, value in self.flops.items()},
            bandwidth=self.bandwidth * n_devices,
            memory=self.memory * n_devices,
            watts=all_of(self.watts),
            usd_per_hour=all_of(self.usd_per_hour),
            n_devices=self.n_devices * n_devices,
        )


def read_sheet(sheet: Mapping[str, Any], *, name: str, where: str) -> Hardware:
    """Build a machine from the contents of its sheet; see `Hardware.load` for errors."""
    unknown = set(sheet) - KEYS
    if unknown:
        key = min(map(str, unknown))
        raise InputError(f"unknown key {key!r}", where=where, hint=closest(key, KEYS))
    flops = sheet.get("flops")
    if not isinstance(flops, Mapping) or not flops or set(flops) - set(BITS):
        raise InputError(
            "flops must give FLOP/s for at least one number format",
            where=f"{where}: flops",
            got=flops,
            hint="flops: {bf16: 989 TFLOP/s}",
        )

    def amount(key: str, dimension: str) -> float:
        value = sheet.get(key)
        if value is None:
            raise InputError(f"the sheet has no {key}", where=where)
        at = f"{where}: {key}"
        return parse_quantity(str(value), dimensions=[dimension], where=at).amount

    standing = {str(k): str(v) for k, v in (sheet.get("standing") or {}).items()}
    for figure, word in standing.items():
        if word not in STANDINGS:
            raise InputError(
                f"unknown standing {word!r}",
                where=f"{where}: standing.{figure}",
                hint="one of " + ", ".join(STANDINGS),
            )
    return Hardware(
        name=name,
        flops={
            str(key): parse_quantity(
                str(value), dimensions=["flops/s"], where=f"{where}: flops.{key}"
            ).amount
            for key, value in flops.items()
        },
        bandwidth=amount("bandwidth", "bytes/s"),
        memory=amount("memory", "bytes"),
        watts=amount("power", "watts") if sheet.get("power") is not None else None,
        usd_per_hour=amount("price", "usd/s") * 3600 if sheet.get("price") is not None else None,
        calibration=_calibration(sheet.get("calibration"), where),
        standing=standing,
        source=str(sheet.get("source", "")),
    )


def _calibration(value: object, where: str) -> Calibration:
    if value is None:
        return Calibration()
    at = f"{where}: calibration"
    names = {entry.name for entry in dataclasses.fields(Calibration)}
    if not isinstance(value, Mapping) or set(value) - names:
        raise InputError(
            "cannot read the calibration", where=at, got=value, hint=str(sorted(names))
        )
    calibration = Calibration(**value)
    numbers = (calibration.compute, calibration.memory, calibration.overhead_seconds)
    is_sound = all(isinstance(n, int | float) for n in numbers) and min(numbers[:2]) > 0
    if not is_sound or numbers[2] < 0 or calibration.grain not in {"phase", "part"}:
        raise InputError("the calibration is out of range", where=at, got=value)
    return calibration
