"""Seconds of the machine: shares of every instant, worked by hand and by a plain simulation."""

from __future__ import annotations

import numpy as np
import pytest

from ttscale.cost import machine_seconds


def test_an_instant_is_shared_by_what_is_under_way() -> None:
    # 0–1 alone, 1–3 two of them, 3–4 alone, 4–6 nothing, 6–7 alone
    shares = machine_seconds([0.0, 1.0, 6.0], [3.0, 3.0, 1.0], [False, False, False])
    assert shares == pytest.approx([2.0, 2.0, 1.0])


def test_a_replayed_sequence_takes_what_its_making_took() -> None:
    shares = machine_seconds([0.0, 0.0, 0.0], [2.0, 2.0, 2.0], [False, False, True])
    assert shares == pytest.approx([1.0, 1.0, 1.0])  # two were made: the third is one of them


def test_what_another_run_made_was_under_way_then() -> None:
    # two arms replay a sample made at 10–12, beside another one made at 11–13
    shares = machine_seconds([0.0, 10.0, 10.0, 11.0], [4.0, 2.0, 2.0, 2.0], [False] + [True] * 3)
    assert shares == pytest.approx([4.0, 1.5, 1.5, 1.5])


def test_the_shares_of_what_was_made_add_up_to_the_time_in_which_anything_ran() -> None:
    rng = np.random.default_rng(1)
    started, seconds = rng.integers(0, 900, 60), rng.integers(1, 40, 60)
    ticks = np.arange(1000)
    under_way = (ticks >= started[:, None]) & (ticks < (started + seconds)[:, None])
    expected = (under_way / np.maximum(under_way.sum(0), 1)).sum(1)
    shares = machine_seconds(started, seconds, np.zeros(60, bool))
    assert shares == pytest.approx(expected)
    assert shares.sum() == pytest.approx(under_way.any(0).sum())


def test_no_sequences_take_no_time() -> None:
    assert len(machine_seconds([], [], [])) == 0
