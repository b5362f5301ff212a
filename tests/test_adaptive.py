"""Stopping rules, entropies, confidences and plans: check values, and second ways to them."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import beta as beta_distribution

from tests.scripted_talk import drawn
from ttscale.adaptive.confidence import (
    bar,
    group_confidences,
    self_certainty,
    token_confidences,
    trace_confidence,
)
from ttscale.adaptive.entropy import secretary_stops, semantic_entropy
from ttscale.adaptive.planned import Bin, read_plan
from ttscale.adaptive.stopping import beta_confidence, dirichlet_confidence, enough
from ttscale.errors import InputError


@pytest.mark.parametrize(
    ("counts", "value"),
    [
        ((3, 0), 0.9375),
        ((4, 0), 0.96875),
        ((4, 1), 0.890625),
        ((5, 1), 0.9375),
        ((7, 1), 0.980469),
        ((7, 2), 0.945312),
        ((8, 2), 0.967285),
        ((10, 4), 0.940765),
        ((0, 0), 0.5),
    ],
)
def test_beta_stopping_values(counts: tuple[int, int], value: float) -> None:
    assert beta_confidence(*counts) == pytest.approx(value, abs=1e-6)
    first, second = counts
    assert beta_confidence(*counts) == pytest.approx(
        beta_distribution.sf(0.5, first + 1, second + 1)
    )
    assert dirichlet_confidence(counts) == pytest.approx(value, abs=1e-6)


def test_dirichlet_stopping_against_draws() -> None:
    rng = np.random.default_rng(0)
    for counts in ((5, 2, 1), (3, 3, 2, 1), (9, 1, 1, 1)):
        draws = rng.dirichlet(np.add(counts, 1), size=200_000)
        drawn_value = (draws.argmax(axis=1) == 0).mean()
        assert dirichlet_confidence(counts) == pytest.approx(drawn_value, abs=0.005)
    assert dirichlet_confidence([4]) == pytest.approx(beta_confidence(4, 0), abs=1e-6)


def test_rules() -> None:
    assert not enough([None] * 5, "beta", 0.5)
    assert enough([1, 1, 1, 1], "beta", 0.95) and not enough([1, 1, 1], "beta", 0.95)
    assert enough([1, 1, 1, None], "share", 0.75) and not enough([1, 1, None], "share", 0.75)
    assert enough([2, 1, 1], "window", 1.0, 2) and not enough([1], "window", 1.0, 2)
    assert not enough([1, None], "window", 1.0, 2) and not enough([None] * 2, "window", 1.0, 2)
    assert enough([0, 0, 0, 0], "dirichlet", 0.95) and not enough([0, 0, 0, 1], "dirichlet", 0.95)


def test_semantic_entropy() -> None:
    assert semantic_entropy([0, 0, 1, 2]) == pytest.approx(1.039721, abs=1e-6)
    assert semantic_entropy([3, 3]) == 0
    assert semantic_entropy([None, None, 1, 2]) == pytest.approx(math.log(4))


def test_the_secretary_watches_a_third_and_then_takes_the_first_better() -> None:
    assert not secretary_stops([0.5], 6)
    assert not secretary_stops([0.5, 0.4], 6), "two of six rounds are watched"
    assert secretary_stops([0.5, 0.4, 0.3], 6)
    assert not secretary_stops([0.5, 0.4, 0.45], 6)
    assert not secretary_stops([0.0, 0.0], 3), "below, not at"


def test_the_secretary_finds_the_best_as_often_as_theory_says() -> None:
    n, best = 6, []
    for order in itertools.permutations(range(n)):
        stop = next((k for k in range(1, n + 1) if secretary_stops(order[:k], n)), n)
        best.append(order[stop - 1] == 0)
    # r = 2 watched of n: r / n * sum over k > r of 1 / (k - 1)
    assert np.mean(best) == pytest.approx(2 / n * sum(1 / k for k in range(2, n)))


def test_confidences() -> None:
    assert self_certainty([-np.mean(np.log([0.7, 0.2, 0.1]))], 3) == pytest.approx(
        0.324287, abs=1e-6
    )
    assert math.isnan(self_certainty([], 3))
    values = [5.0, 1.0, 3.0, 3.0, 2.0, 8.0]
    assert group_confidences(values, 2).tolist() == [3, 2, 3, 2.5, 5]
    assert group_confidences(values, 6).tolist() == [np.mean(values)]
    assert group_confidences(values[:3], 6).tolist() == [3]
    assert trace_confidence(values, 2, "mean") == pytest.approx(22 / 6)
    assert trace_confidence(values, 2, "tail") == 5
    assert trace_confidence(values, 2, "lowest") == 2
    assert trace_confidence(values, 2, "bottom") == 2
    twenty = list(np.linspace(1, 21, 21))
    assert trace_confidence(twenty, 2, "bottom") == pytest.approx((1.5 + 2.5) / 2)
    assert math.isnan(trace_confidence([], 2, "tail"))


def test_the_bar_passes_a_share() -> None:
    values = list(range(1, 12))
    assert sum(value >= bar(values, 0.1) for value in values) == 2
    assert bar(values, 1.0) == 1 and bar([math.nan, 2.0], 0.5) == 2
    assert bar([math.nan], 0.5) == -math.inf


def test_only_generated_tokens_have_a_confidence() -> None:
    with pytest.raises(InputError, match="tells none"):
        token_confidences(drawn("abc"))
    assert len(token_confidences(drawn(""))) == 0


def plan(folder: Path, **predicted: object) -> str:
    content = {
        "reason": None,
        "measure": "agreement of a pilot of 2",
        "bins": [
            {"from": None, "below": 0.6, "selector": "majority", "n": 8},
            {"from": 0.6, "below": None, "selector": "best_of:judge", "n": 2},
        ],
    }
    path = folder / f"plan{len(list(folder.iterdir()))}.json"
    path.write_text(json.dumps({"allocation": {"predicted": {**content, **predicted}}}))
    return str(path)


def test_a_plan_is_read(tmp_path: Path) -> None:
    planned = read_plan(plan(tmp_path))
    assert (planned.n_pilot, planned.verifier) == (2, None)
    assert planned.bins == (Bin(0.6, 8, None), Bin(None, 2, "best"))
    assert planned.bin_of(0.5).n == 8 and planned.bin_of(0.6).n == 2
    assert planned.bin_of(math.nan).n == 8
    assert read_plan(plan(tmp_path, measure="mean prm(a=1) of a pilot of 4"))[:2] == (4, "prm(a=1)")


def test_what_is_no_plan_is_told(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("{}")
    bins = [{"from": None, "below": None, "selector": "coverage", "n": 8}]
    for path, message in (
        (str(tmp_path / "missing"), "cannot be read"),
        (str(tmp_path / "other"), "no plan"),
        (plan(tmp_path, reason="too small"), "allots nothing"),
        (plan(tmp_path, bins=bins), "without knowing"),
    ):
        with pytest.raises(InputError, match=message):
            read_plan(path)
