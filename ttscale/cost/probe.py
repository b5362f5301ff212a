"""Measure this machine: matrix-product FLOP/s and memory bandwidth, as a hardware sheet."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ttscale.cost.units import format_quantity

SIZE = 2048  # rows of the square matrices multiplied
STREAM_BYTES = 1 << 28  # of each array streamed, far beyond any cache


class Probe(NamedTuple):
    """What was measured.

    Attributes
    ----------
    flops : FLOP/s by number format.
    bandwidth : bytes/s read, as a decode reads weights and cache.
    stream : bytes/s of a = b + c, two reads and a write (STREAM's add).
    memory : bytes of RAM.
    machine : the processor.
    tool : what did the arithmetic.
    """

    flops: dict[str, float]
    bandwidth: float
    stream: float
    memory: int
    machine: str
    tool: str


def probe(seconds: float = 2.0) -> Probe:
    """Measure matrix products and streaming, the best of repeats that take about `seconds` each.

    With torch installed its matrix products are measured, as they are what vLLM runs on a CPU, in
    float32 and bfloat16; numpy's in float32 otherwise. Bandwidth is numpy's over arrays of 256 MiB
    split among threads: a dot product of an array with itself, and an addition of two.
    """
    try:
        flops, tool = _torch_flops(seconds)
    except ImportError:
        flops, tool = _numpy_flops(seconds)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    read, stream = _bandwidths(seconds)
    return Probe(flops, read, stream, memory, _processor(), tool)


def report(measured: Probe, path: Path | None, *, as_json: bool) -> str:
    """Write the sheet to `path` (`this-machine` in the user's cache when None); what to print."""
    from ttscale.cost.catalog import user_hardware_folder

    name = "this-machine" if path is None else str(path)
    path = path or user_hardware_folder() / f"{name}.yaml"
    write_sheet(measured, path)
    if as_json:
        return json.dumps({**measured._asdict(), "path": str(path)})
    rates = [f"{format_quantity(rate, 'flops/s')} {name}" for name, rate in measured.flops.items()]
    return (
        f"{measured.machine}: {', '.join(rates)} ({measured.tool}), "
        f"{format_quantity(measured.bandwidth, 'bytes/s')} read, "
        f"{format_quantity(measured.memory, 'bytes')} of memory\n"
        f"The sheet is in {path}: --hardware {name}"
    )


def write_sheet(measured: Probe, path: Path) -> None:
    """Write a hardware sheet of what was measured."""
    import yaml

    sheet: dict[str, Any] = {
        "name": measured.machine,
        "flops": {name: format_quantity(rate, "flops/s") for name, rate in measured.flops.items()},
        "bandwidth": format_quantity(measured.bandwidth, "bytes/s"),
        "memory": format_quantity(measured.memory, "bytes"),
        "standing": {"flops": "measured", "bandwidth": "measured", "memory": "measured"},
        "source": f"measured by `ttscale hardware probe`: {measured.tool}, matrices of {SIZE} × "
        f"{SIZE}; reads over {STREAM_BYTES >> 20} MiB (STREAM's add, two reads and a write: "
        f"{format_quantity(measured.stream, 'bytes/s')}); best of repeats",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(sheet, sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")


def _best(work: Callable[[], object], seconds: float) -> float:
    """Seconds of the fastest of the repeats that fit the time, after one to warm up."""
    work()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best


def _torch_flops(seconds: float) -> tuple[dict[str, float], str]:
    import torch

    rates = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = (torch.ones(SIZE, SIZE, dtype=dtype) for _ in range(2))
        rates[name] = 2 * SIZE**3 / _best(partial(torch.nn.functional.linear, a, b), seconds)
    threads = torch.get_num_threads()
    return rates, f"torch {torch.__version__} on {threads} threads"


def _numpy_flops(seconds: float) -> tuple[dict[str, float], str]:
    a = np.ones((SIZE, SIZE), np.float32)
    b, out = np.ones_like(a), np.empty_like(a)
    rate = 2 * SIZE**3 / _best(lambda: np.matmul(a, b, out=out), seconds)
    return {"fp32": rate}, f"numpy {np.__version__}"


def _bandwidths(seconds: float) -> tuple[float, float]:
    """Bytes/s of reading, and of reading two arrays while writing a third."""
    from concurrent.futures import ThreadPoolExecutor

    n_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    a, b, c = (np.ones(STREAM_BYTES // 4, np.float32) for _ in range(3))
    edges = np.linspace(0, len(a), n_threads + 1).astype(int)
    parts = [slice(begin, end) for begin, end in pairwise(edges)]
    with ThreadPoolExecutor(n_threads) as pool:
        read = _best(lambda: list(pool.map(lambda part: np.dot(b[part], b[part]), parts)), seconds)
        add = _best(
            lambda: list(pool.map(lambda part: np.add(b[part], c[part], out=a[part]), parts)),
            seconds,
        )
    return STREAM_BYTES / read, 3 * STREAM_BYTES / add


def _processor() -> str:
    """The processor's model name and how many of its cores there are."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores"
