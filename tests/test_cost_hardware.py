"""Machines: sheets, prices, what fits, calibration and the probe."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ttscale.cost import (
    Architecture,
    Calibration,
    Hardware,
    calibrate,
    capacity,
    decode_work,
    hardware_names,
    prefill_work,
    price,
    roofline_seconds,
)
from ttscale.cost.catalog import user_hardware_folder
from ttscale.cost.probe import probe, report
from ttscale.errors import InputError

QWEN = Architecture.from_config("Qwen3-8B")
SHEET = {"flops": {"bf16": "100 TFLOP/s"}, "bandwidth": "1 TB/s", "memory": "20 GB"}


def write(folder: Path, sheet: object) -> Path:
    path = folder / "machine.yaml"
    path.write_text(yaml.safe_dump(sheet))
    return path


@pytest.mark.parametrize(
    ("name", "bf16", "bandwidth", "intensity"),
    [
        ("A100", 312e12, 2.039e12, 153),
        ("H100", 989e12, 3.35e12, 295),
        ("H200", 989e12, 4.8e12, 206),
        ("B200", 2250e12, 8e12, 281),
        ("L40S", 362e12, 864e9, 419),
        ("RTX4090", 165.2e12, 1.008e12, 164),
        ("MI300X", 1307.4e12, 5.3e12, 247),
    ],
)
def test_sheets(name: str, bf16: float, bandwidth: float, intensity: int) -> None:
    machine = Hardware.load(name)
    assert machine.peak("bf16") == pytest.approx(bf16)
    assert machine.bandwidth == pytest.approx(bandwidth)
    assert round(machine.intensity()) == intensity
    assert Hardware.load(name.lower()) == machine


@pytest.mark.parametrize("name", hardware_names())
def test_every_figure_has_a_standing_and_every_sheet_a_source(name: str) -> None:
    machine = Hardware.load(name)
    figures = {"flops", "bandwidth", "memory"}
    figures |= {"power"} if machine.watts else set()
    figures |= {"price"} if machine.usd_per_hour else set()
    assert set(machine.standing) == figures
    assert len(machine.source) > 20


def test_formats_a_machine_lacks_are_computed_in_the_next_one() -> None:
    machine = Hardware.load("A100")
    assert machine.peak("fp8") == machine.peak("bf16")
    assert machine.peak("int8") == 2 * machine.peak("bf16")
    with pytest.raises(InputError, match="no figure for fp64"):
        machine.peak("fp64")


def test_roofline_takes_the_larger_of_compute_and_memory_in_each_phase() -> None:
    machine = dataclasses.replace(
        Hardware.load("H100"), calibration=Calibration(0.5, 0.8, 0.001, "phase")
    )
    work = prefill_work(QWEN, 2048) + decode_work(QWEN, 2048, 100, batch=4)
    rate, width = 989e12 * 0.5, 3.35e12 * 0.8
    expected = sum(
        max(float(getattr(work.flops, p)) / rate, float(getattr(work.n_bytes, p)) / width)
        for p in ("prefill", "decode")
    ) + 0.001 * (1 + 25)
    assert roofline_seconds(work, machine) == pytest.approx(expected)
    apart = dataclasses.replace(machine, calibration=Calibration(0.5, 0.8, 0.001, "part"))
    assert roofline_seconds(work, apart) >= roofline_seconds(work, machine)


def test_prices_are_rates_times_seconds() -> None:
    machine = Hardware.load("H100")
    work = decode_work(QWEN, 256, 1000)
    cost = price(work, machine)
    assert cost.usd == pytest.approx(cost.seconds * 2.95 / 3600)
    assert cost.joules == pytest.approx(cost.seconds * 700)
    assert cost.eflops == pytest.approx(work.flops.total + machine.intensity() * work.n_bytes.total)
    # The additive measure is the roofline's maximum within a factor of two.
    assert cost.seconds <= cost.eflops / machine.peak() <= 2 * cost.seconds
    free = dataclasses.replace(machine, usd_per_hour=None, watts=None)
    assert np.isnan(price(work, free).usd)
    assert np.isnan(price(work, free).joules)


def test_devices_that_split_a_model_are_so_many_times_as_fast_and_dear() -> None:
    one, four = Hardware.load("H100"), Hardware.load("H100").times(4)
    work = prefill_work(QWEN, 1000) + decode_work(QWEN, 1000, 1000)
    assert price(work, four).seconds == pytest.approx(price(work, one).seconds / 4)
    assert price(work, four).usd == pytest.approx(float(price(work, one).usd))
    assert (four.n_devices, four.memory) == (4, 4 * one.memory)


def test_crossover_batch_is_where_weights_hide_behind_arithmetic() -> None:
    machine = Hardware.load("H100")
    batch = machine.crossover_batch()
    flops, n_bytes = 2 * QWEN.n_linear * batch, QWEN.n_linear * 2
    assert flops / machine.peak() == pytest.approx(n_bytes / machine.bandwidth)


def test_what_fits_in_memory() -> None:
    fits = capacity(QWEN, Hardware.load("H100"), 8448)
    assert fits.weight_bytes == QWEN.n_parameters * 2
    assert fits.free_bytes == 72e9 - fits.weight_bytes
    assert fits.n_sequences == fits.free_bytes // (8448 * 147_456)
    assert fits.n_tokens == int(fits.free_bytes / 147_456)
    assert capacity(Architecture.from_config("DeepSeek-V3"), Hardware.load("H100"), 10)[3] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bandwidth": None}, "has no bandwidth"),
        ({"bandwidth": "fast"}, "must begin with a number"),
        ({"bandwidth": "3 TB"}, "measures bytes"),
        ({"memory": "20"}, "has no unit"),
        ({"flops": {"bf17": "1 TFLOP/s"}}, "flops must give"),
        ({"flops": {}}, "flops must give"),
        ({"watts": 300}, "unknown key 'watts'"),
        ({"standing": {"flops": "rumour"}}, "unknown standing 'rumour'"),
        ({"calibration": {"speed": 1}}, "cannot read the calibration"),
        ({"calibration": {"compute": -1}}, "out of range"),
    ],
)
def test_bad_sheets_say_what_is_wrong(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    sheet = {k: v for k, v in (SHEET | changes).items() if v is not None}
    with pytest.raises(InputError, match=message):
        Hardware.load(write(tmp_path, sheet))


def test_an_unknown_machine_lists_those_there_are() -> None:
    with pytest.raises(InputError, match=r"A100, B200, .*H100.*hardware probe") as error:
        Hardware.load("TPU")
    assert "'TPU'" in str(error.value)


def test_calibration_finds_what_made_the_times() -> None:
    machine = Hardware.load("H100")
    batch, context = np.meshgrid([1, 4, 16, 64, 256], [128, 512, 2048, 8192])
    steps = decode_work(QWEN, context.ravel() - 1, 1, batch=batch.ravel()) * batch.ravel()
    true = dataclasses.replace(machine, calibration=Calibration(0.55, 0.7, 2e-3, "part"))
    noise = np.random.default_rng(0).lognormal(0, 0.01, batch.size)
    fit = calibrate(steps, roofline_seconds(steps, true) * noise, machine)
    assert fit.calibration.compute == pytest.approx(0.55, rel=0.05)
    assert fit.calibration.memory == pytest.approx(0.7, rel=0.05)
    assert fit.calibration.overhead_seconds == pytest.approx(2e-3, rel=0.05)
    assert fit.median_error < 0.02
    assert fit.residuals.shape == (20,)
    with pytest.raises(InputError, match="at least 3"):
        calibrate(steps, [1.0, 2.0], machine)


def test_a_probe_writes_a_sheet_that_prices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("ttscale.cost.probe.SIZE", 64)
    monkeypatch.setattr("ttscale.cost.probe.STREAM_BYTES", 1 << 16)
    measured = probe(seconds=0.01)
    assert "this-machine" not in hardware_names()
    assert "--hardware this-machine" in report(measured, None, as_json=False)
    assert user_hardware_folder().is_relative_to(tmp_path)
    assert "this-machine" in hardware_names()
    machine = Hardware.load("this-machine")
    assert machine.peak("fp32") == pytest.approx(measured.flops["fp32"], rel=1e-3)
    assert machine.bandwidth == pytest.approx(measured.bandwidth, rel=1e-3)
    assert machine.standing["flops"] == "measured"
    assert machine.usd_per_hour is None
    assert price(decode_work(QWEN, 9, 9), machine, "fp32").seconds > 0


def test_a_probe_without_torch_uses_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    monkeypatch.setattr("ttscale.cost.probe.SIZE", 64)
    monkeypatch.setattr("ttscale.cost.probe.STREAM_BYTES", 1 << 16)
    measured = probe(seconds=0.01)
    assert measured.tool.startswith("numpy")
    assert set(measured.flops) == {"fp32"}
