"""The long measurement in tests/benchmarks/serve_soak.py, for a few seconds."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.serve_soak import growth, measure


def test_a_short_soak_leaves_nothing_behind() -> None:
    result = measure(minutes=2 / 60, n_clients=16, round_seconds=0.002)
    assert result["errors"] == 0, result["first_errors"]
    assert result["answered"] > 0 and result["left"] > 0
    both = result["answered"] + result["left"]
    servers = result["answered_by_the_servers_count"] + result["cancelled_by_the_servers_count"]
    assert servers == both
    assert result["cancelled_by_the_servers_count"] <= result["left"]
    assert result["requests_left_behind"] == result["streams_left_behind"] == 0
    assert (
        result["completion_tokens_by_the_clients"]
        <= (result["generated_tokens_by_the_servers_count"])
    )
    assert result["exit_status"] == 0


def test_growth_is_the_slope_after_the_warm_up() -> None:
    memory = [(float(t), int(2**20 * min(t, 60) + 1024 * t)) for t in np.arange(0, 600, 5)]
    assert growth(memory, warm_up=120) == pytest.approx((60, 475))
    assert growth(memory, warm_up=590) is None
