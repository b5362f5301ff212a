"""What a server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from ttscale.engine.protocol import Engine
from ttscale.record.ledger import Totals
from ttscale.run.work import Status
from ttscale.serve.gate import Gate

CONTENT_TYPE = CONTENT_TYPE_LATEST

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
"""Bounds of the histogram of times."""

Outcome = Status | Literal["refused", "cancelled"]
"""How a request ended: as a run records it, or with an error of the client's, or without one."""


class Metrics:
    """One server's metrics, in a registry of its own.

    Parameters
    ----------
    models : the names that requests are counted under; no client can add one.
    gate, engine : asked how busy they are when the metrics are read.
    """

    def __init__(self, models: Sequence[str], gate: Gate, engine: Engine) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "ttscale_requests",
            "Chat requests by model and how they ended.",
            ["model", "outcome"],
            registry=registry,
        )
        self.seconds = Histogram(
            "ttscale_request_seconds",
            "Time from admission to the end, waiting included.",
            ["model"],
            buckets=SECONDS,
            registry=registry,
        )
        self.sequences = Counter(
            "ttscale_sequences",
            "Sequences sampled or scored.",
            ["model", "call"],
            registry=registry,
        )
        self.tokens = Counter(
            "ttscale_tokens",
            "Tokens of them: prompt, shared and cached among these, generated, and abandoned: "
            "generated for requests that ended before.",
            ["model", "call", "kind"],
            registry=registry,
        )
        self.responses = Counter(
            "ttscale_http_responses", "HTTP responses by status.", ["status"], registry=registry
        )
        for name, about, measure in (
            ("requests_running", "Requests that are being answered.", lambda: gate.running),
            ("requests_waiting", "Requests that wait for a place.", lambda: gate.waiting),
            ("engine_streams_running", "Streams in the policy's batch.",
             lambda: engine.load().running),
            ("engine_streams_waiting", "Streams that wait for it.",
             lambda: engine.load().waiting),
        ):  # fmt: skip
            Gauge(f"ttscale_{name}", about, registry=registry).set_function(measure)
        for model in models:
            self.seconds.labels(model)

    def ended(
        self,
        model: str,
        outcome: Outcome,
        seconds: float,
        spent: Mapping[str, Totals],
        n_abandoned: int,
    ) -> None:
        """Count a request and what it spent, by kind of call, and what was generated in vain."""
        self.requests.labels(model, outcome).inc()
        self.seconds.labels(model).observe(seconds)
        for call, totals in spent.items():
            self.sequences.labels(model, call).inc(totals.n_sequences)
            for kind in ("prompt", "shared", "cached", "generated"):
                self.tokens.labels(model, call, kind).inc(getattr(totals, f"n_{kind}_tokens"))
        if n_abandoned:
            self.tokens.labels(model, "generate", "abandoned").inc(n_abandoned)

    def text(self) -> bytes:
        """All metrics in Prometheus' format."""
        return generate_latest(self.registry)
