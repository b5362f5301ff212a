"""What one problem costs: a prompt, some samples, a model, a machine. Behind `ttscale cost`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, get_args

import numpy as np

from ttscale.cost.architecture import Architecture
from ttscale.cost.hardware import Hardware
from ttscale.cost.kinetics import INTENSITY, kinetics_cost
from ttscale.cost.memory import capacity
from ttscale.cost.policy import parse_policy
from ttscale.cost.price import price
from ttscale.cost.work import Split, Work, decode_work, prefill_work
from ttscale.errors import InputError, closest

Mode = Literal["roofline", "kinetics", "kinetics_compat"]


@dataclass(frozen=True)
class Question:
    """What is asked about one problem.

    Attributes
    ----------
    prompt, generate, samples : tokens of the prompt, tokens generated per sample, samples.
    attention : the attention policy while decoding.
    mode : `roofline` counts everything; `kinetics` is the published formula, `kinetics_compat` with
        the released code's sums for sparse attention.
    batch : sequences decoded together; the samples when None.
    prefills : prompts processed: 1 when the samples share it.
    shared_reads : whether one read of the prompt's cache serves all samples (a cascade kernel);
        when None, not so in `roofline` and so in `kinetics`.
    chunk : the most prompt tokens in one pass.
    intensity : FLOPs per byte in eFLOPs; the machine's own when None, the published one in
        `kinetics`.
    """

    prompt: int
    generate: int
    samples: int = 1
    attention: str = "dense"
    mode: Mode = "roofline"
    batch: float | None = None
    prefills: int = 1
    shared_reads: bool | None = None
    chunk: int | None = None
    intensity: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("prompt", 0), ("generate", 0), ("samples", 1), ("prefills", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(
                    f"{name} must be a whole number of at least {least}", where=name, got=value
                )
        for name in ("batch", "chunk", "intensity"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} must be above zero", where=name, got=value)
        if self.mode not in get_args(Mode):
            raise InputError(
                f"unknown mode {self.mode!r}", where="mode", hint=closest(self.mode, get_args(Mode))
            )
        parse_policy(self.attention)


def estimate(architecture: Architecture, hardware: Hardware, question: Question) -> dict[str, Any]:
    """Work, price and memory of one problem as one JSON-ready mapping.

    Returns
    -------
    The question's fields, `model`, `hardware`, `devices`, `compute`, then `flops` and `n_bytes`
    (each with `prefill`, `decode`, `linear`, `attention`, `head`, `total`; bytes also `weights`,
    `kv`, `kv_written`), `eflops`, `seconds`, `usd`, `joules` (None where the sheet has no figure),
    `intensity`, `n_parameters`, `n_active_parameters`, `kv_bytes_per_token`, `memory` and
    `warnings`.
    """
    q = question
    compute = architecture.precision.compute
    if q.mode == "roofline":
        work, shared = _work(architecture, q), bool(q.shared_reads)
        intensity = q.intensity or hardware.intensity(compute)
    else:
        shared = True if q.shared_reads is None else q.shared_reads
        intensity = q.intensity or INTENSITY
        work = _kinetics_work(architecture, q, intensity, shared)
    cost = price(work, hardware, compute)
    fits = capacity(architecture, hardware, q.prompt + q.generate)
    return {
        "model": architecture.name,
        "hardware": hardware.name,
        "devices": hardware.n_devices,
        **dataclasses.asdict(q),
        "batch": q.batch or float(q.samples),
        "shared_reads": shared,
        "compute": compute,
        **work.as_dict(),
        "eflops": float(work.flops.total + intensity * work.n_bytes.total),
        "seconds": float(cost.seconds),
        "usd": _known(cost.usd),
        "joules": _known(cost.joules),
        "intensity": intensity,
        "n_parameters": architecture.n_parameters,
        "n_active_parameters": architecture.n_active_parameters,
        "kv_bytes_per_token": architecture.kv_bytes_per_token,
        "memory": fits._asdict(),
        "warnings": list(_warnings(architecture, hardware, q, fits.n_sequences)),
    }


def sweep(
    architecture: Architecture,
    hardware: Hardware,
    question: Question,
    *,
    prompts: Sequence[int],
    generates: Sequence[int],
    samples: Sequence[int],
) -> list[dict[str, Any]]:
    """`estimate` for every combination, the last list running fastest."""
    return [
        estimate(
            architecture,
            hardware,
            dataclasses.replace(question, prompt=prompt, generate=generate, samples=n),
        )
        for prompt, generate, n in product(prompts, generates, samples)
    ]


def parse_counts(text: str, where: str) -> list[int]:
    """Read a whole number or a comma list of them: `8` or `1,2,4,8`."""
    parts = [part.strip().replace("_", "") for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise InputError(
            f"{where} must be a whole number, or several with commas between",
            where=where,
            got=text,
            hint="256 or 1,2,4,8",
        )
    return [int(part) for part in parts]


def _work(architecture: Architecture, q: Question) -> Work:
    batch = q.batch or float(q.samples)
    prompts = prefill_work(architecture, q.prompt, chunk=q.chunk) * q.prefills
    sharers = q.samples if q.shared_reads else 1
    samples = decode_work(
        architecture, q.prompt, q.generate, attention=q.attention, batch=batch, sharers=sharers
    )
    return prompts + samples * q.samples


def _kinetics_work(
    architecture: Architecture, q: Question, intensity: float, shared_reads: bool
) -> Work:
    """Kinetics' sums in the places they belong: all of it decode, weights never read."""
    cost = kinetics_cost(
        architecture,
        q.prompt,
        q.generate,
        q.samples,
        attention=q.attention,
        intensity=intensity,
        compat=q.mode == "kinetics_compat",
        shared_reads=shared_reads,
    )
    return Work(
        flops=Split(decode_linear=cost.linear, decode_attention=cost.attention),
        n_bytes=Split(decode_attention=cost.n_bytes),
    )


def _known(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def _warnings(
    architecture: Architecture, hardware: Hardware, q: Question, n_fit: int
) -> Iterator[str]:
    beyond = architecture.context_warning(q.prompt + q.generate)
    if beyond:
        yield beyond
    if n_fit == 0:
        yield f"not one sequence of this length fits the memory of {hardware.name}"
    elif n_fit < q.samples:
        yield f"only {n_fit:,} of {q.samples:,} samples fit the memory of {hardware.name} at once"
    yield from architecture.notes
